"""The only importer of matplotlib: writes charts as images, without a display or a browser."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from orion_hpc.errors import ConfigurationError
from orion_hpc.plugins import install_command
from orion_hpc.visual.chart import Axis, Chart, Coordinate, Panel, Series

FORMATS = ("png", "svg", "pdf")

_COLORS = ("#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#6cc5b0", "#ff8ab7", "#9c6b4e",
           "#97bbf5", "#9498a0")  # fmt: skip
_WIDTH, _HEIGHT = 7.0, 4.5
"""Inches of a chart with one panel."""

_SMALL = 3.0
"""Inches of a panel where there are several."""


def write(chart: Chart, file: BinaryIO, format_: str) -> None:
    """Write the chart to ``file`` as one of :data:`FORMATS`.

    Raises
    ------
    ConfigurationError
        matplotlib isn't installed.
    """
    try:
        with _without_warnings():
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigurationError(
            "images need matplotlib, which isn't installed",
            f"Install it with: {install_command('plot')}; or write an .html or .json file.",
        ) from error
    columns = chart.columns
    rows = 1 if chart.dimensions else math.ceil(len(chart.panels) / columns)
    size = (_WIDTH, _HEIGHT) if rows * columns == 1 else (_SMALL * columns + 1, _SMALL * rows + 1)
    if chart.dimensions:
        size = (max(_WIDTH, 1.5 * len(chart.dimensions)), _HEIGHT)
    found = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(found)
    found.suptitle(_plain(chart.title))
    if chart.dimensions:
        _parallel(found.add_subplot(), chart.dimensions)
    for index, panel in enumerate(chart.panels):
        if panel.series:
            _draw(found.add_subplot(rows, columns, index + 1), panel)
    # Without a date the same chart is the same file.
    metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[format_]
    found.savefig(file, format=format_, dpi=150, metadata=metadata)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep matplotlib quiet while it is imported: it warns of a home that can't be written."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _plain(text: str) -> str:
    """Return a text in which matplotlib takes no dollar sign for mathematics."""
    return text.replace("$", r"\$")


def _draw(axes: Any, panel: Panel) -> None:
    for index, series in enumerate(panel.series):
        _MARKS[series.kind](axes, series, _COLORS[index % len(_COLORS)], panel)
    _scale(axes.set_xscale, axes.set_xticks, panel.x)
    _scale(axes.set_yscale, axes.set_yticks, panel.y)
    axes.set_xlabel(_plain(panel.x.label))
    axes.set_ylabel(_plain(panel.y.label))
    if panel.x.scale == "category" and sum(map(len, panel.x.categories)) > 30:
        axes.tick_params(axis="x", rotation=45)
    if panel.title:
        axes.set_title(_plain(panel.title))
    if any(series.name for series in panel.series):
        axes.legend()


def _scale(set_scale: Callable[[str], Any], set_ticks: Callable[..., Any], axis: Axis) -> None:
    if axis.scale == "log":
        set_scale("log")
    if axis.scale == "category":
        set_ticks(range(len(axis.categories)), [_plain(one) for one in axis.categories])


def _places(axis: Axis, values: tuple[Any, ...]) -> list[Any]:
    """Return values as numbers: a category by its place."""
    if axis.scale != "category":
        return list(values)
    places = {name: place for place, name in enumerate(axis.categories)}
    return [places[value] for value in values]


def _points(axes: Any, series: Series, color: str, panel: Panel) -> None:
    x, y = _places(panel.x, series.x), _places(panel.y, series.y)
    options = {"c": list(series.colors), "cmap": "Blues"} if series.colors else {"color": color}
    axes.scatter(
        x, y, s=14, label=_plain(series.name) or None, edgecolors="grey", linewidths=0.3, **options
    )


def _line(axes: Any, series: Series, color: str, panel: Panel) -> None:
    x, y = _places(panel.x, series.x), _places(panel.y, series.y)
    faint = "lightgrey" if not series.name and len(x) == 2 and not series.low else color
    style = {"drawstyle": "steps-post"} if series.kind == "steps" else {}
    if any(series.error):
        axes.errorbar(x, y, yerr=list(series.error), color=color, label=_plain(series.name) or None)
        return
    marker = "o" if len(x) == 1 else None
    axes.plot(x, y, color=faint, marker=marker, label=_plain(series.name) or None, **style)
    if series.low:
        axes.fill_between(x, list(series.low), list(series.high), color=color, alpha=0.2)


def _bars(axes: Any, series: Series, color: str, panel: Panel) -> None:
    axes.bar(
        _places(panel.x, series.x), list(series.y), yerr=list(series.error) or None, color=color,
        label=_plain(series.name) or None, capsize=3,
    )  # fmt: skip


def _spans(axes: Any, series: Series, color: str, panel: Panel) -> None:
    lengths = [end - begin for begin, end in zip(series.x, series.until, strict=True)]
    axes.barh(
        _places(panel.y, series.y), lengths, left=list(series.x), color=color, edgecolor="white",
        linewidth=0.5, label=_plain(series.name) or None,
    )  # fmt: skip


def _heat(axes: Any, series: Series, color: str, panel: Panel) -> None:
    x, y = _places(panel.x, series.x), _places(panel.y, series.y)
    axes.pcolormesh(x, y, [list(row) for row in series.z], cmap="Blues", shading="nearest")


_MARKS: dict[str, Callable[[Any, Series, str, Panel], None]] = {
    "points": _points,
    "line": _line,
    "steps": _line,
    "bars": _bars,
    "spans": _spans,
    "heat": _heat,
}


def _parallel(axes: Any, dimensions: tuple[Coordinate, ...]) -> None:
    from matplotlib import colormaps

    shares = [_shares(one) for one in dimensions]
    colors = colormaps["YlOrRd_r"]
    for line, by in zip(zip(*shares, strict=True), shares[-1], strict=True):
        axes.plot(range(len(dimensions)), line, color=colors(by), linewidth=0.8)
    for place, one in enumerate(dimensions):
        axes.axvline(place, color="grey", linewidth=0.5)
        low, high = _ends(one)
        axes.annotate(_plain(high), (place, 1.02), ha="center", fontsize=8)
        axes.annotate(_plain(low), (place, -0.06), ha="center", fontsize=8)
    labels = [_plain(one.axis.label) for one in dimensions]
    axes.set_xticks(range(len(dimensions)), labels)
    axes.tick_params(axis="x", pad=14)
    axes.set_yticks([])
    axes.set_ylim(-0.08, 1.08)
    axes.spines[:].set_visible(False)


def _numbers(dimension: Coordinate) -> list[float]:
    values = _places(dimension.axis, dimension.values)
    return [math.log10(one) for one in values] if dimension.axis.scale == "log" else values


def _shares(dimension: Coordinate) -> list[float]:
    """Return where on its axis each value lies, from 0 to 1."""
    values = _numbers(dimension)
    low, high = min(values), max(values)
    if dimension.axis.scale == "category":
        low, high = 0, len(dimension.axis.categories) - 1
    return [(one - low) / (high - low) if high > low else 0.5 for one in values]


def _ends(dimension: Coordinate) -> tuple[str, str]:
    if dimension.axis.scale == "category":
        return dimension.axis.categories[0], dimension.axis.categories[-1]
    return f"{min(dimension.values):.4g}", f"{max(dimension.values):.4g}"
