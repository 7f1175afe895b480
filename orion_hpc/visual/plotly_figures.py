"""The only importer of plotly: draws charts as its figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from orion_hpc.errors import ConfigurationError
from orion_hpc.plugins import install_command
from orion_hpc.visual.chart import Axis, Chart, Coordinate, Panel, Series

if TYPE_CHECKING:
    import plotly.graph_objects as go

    Figure: TypeAlias = go.Figure

_COLORS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5",
           "#9c6b4e", "#9498a0")  # fmt: skip

_PANEL = 280
"""Pixels of the height of a panel where there are several rows."""


def figure(chart: Chart, **layout: Any) -> Figure:
    """Return the chart as a figure; ``layout`` is for its ``update_layout``.

    Raises
    ------
    ConfigurationError
        plotly isn't installed.
    """
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError as error:
        raise ConfigurationError(
            "figures need plotly, which isn't installed",
            f"Install it with: {install_command('plot')}",
        ) from error
    if chart.dimensions:
        found = go.Figure(_parallel(go, chart.dimensions))
    else:
        rows = math.ceil(len(chart.panels) / chart.columns)
        titles = [escaped(panel.title) for panel in chart.panels]
        found = make_subplots(
            rows=rows, cols=chart.columns, subplot_titles=titles if any(titles) else None
        )
        for index, panel in enumerate(chart.panels):
            _draw(go, found, panel, index // chart.columns + 1, index % chart.columns + 1)
        if rows > 1:
            found.update_layout(height=max(450, _PANEL * rows))
    found.update_layout(title=escaped(chart.title), template="plotly_white", barmode="overlay")
    if layout:
        found.update_layout(**layout)
    return found


def _draw(go: Any, found: Any, panel: Panel, row: int, column: int) -> None:
    for index, series in enumerate(panel.series):
        color = _COLORS[index % len(_COLORS)]
        for trace in _TRACES[series.kind](go, series, color, panel):
            found.add_trace(trace, row=row, col=column)
    found.update_xaxes(**_axis(panel.x), row=row, col=column)
    found.update_yaxes(**_axis(panel.y), row=row, col=column)


def _axis(axis: Axis) -> dict[str, Any]:
    options: dict[str, Any] = {"title_text": escaped(axis.label)}
    if axis.scale == "log":
        options["type"] = "log"
    if axis.scale == "category":
        names = [*map(escaped, axis.categories)]
        options |= {"type": "category", "categoryorder": "array", "categoryarray": names}
    return options


def _values(axis: Axis, values: tuple[Any, ...]) -> list[Any]:
    return [*map(escaped, values)] if axis.scale == "category" else list(values)


def _places(panel: Panel, series: Series) -> dict[str, Any]:
    return {"x": _values(panel.x, series.x), "y": _values(panel.y, series.y)}


def _hover(series: Series) -> dict[str, Any]:
    if not series.labels:
        return {}
    return {
        "hovertext": [escaped(one).replace("\n", "<br>") for one in series.labels],
        "hoverinfo": "text",
    }


def escaped(text: str) -> str:
    """Return a text whose marks plotly doesn't take for HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _points(go: Any, series: Series, color: str, panel: Panel) -> list[Any]:
    marker: dict[str, Any] = {"color": color}
    if series.colors:
        marker = {
            "color": list(series.colors), "colorscale": "Blues", "showscale": False,
            "line": {"width": 0.5, "color": "grey"},
        }  # fmt: skip
    return [
        go.Scatter(
            **_places(panel, series), mode="markers", name=escaped(series.name),
            showlegend=bool(series.name), marker=marker, **_hover(series),
        )
    ]  # fmt: skip


def _line(go: Any, series: Series, color: str, panel: Panel) -> list[Any]:
    faint = "lightgrey" if not series.name and len(series.x) == 2 and not series.low else color
    line = {"color": faint} | ({"shape": "hv"} if series.kind == "steps" else {})
    errors = {"error_y": {"type": "data", "array": list(series.error)}} if any(series.error) else {}
    traces, x = [], _values(panel.x, series.x)
    if series.low:
        traces.append(
            go.Scatter(
                x=[*x, *reversed(x)], y=[*series.high, *reversed(series.low)],
                fill="toself", mode="lines", line={"width": 0}, fillcolor=color, opacity=0.2,
                showlegend=False, hoverinfo="skip",
            )
        )  # fmt: skip
    traces.append(
        go.Scatter(
            **_places(panel, series), mode="lines+markers" if errors else "lines",
            name=escaped(series.name), showlegend=bool(series.name), line=line, **errors,
            **_hover(series),
        )
    )  # fmt: skip
    return traces


def _bars(go: Any, series: Series, color: str, panel: Panel) -> list[Any]:
    errors = {"error_y": {"type": "data", "array": list(series.error)}} if series.error else {}
    return [
        go.Bar(
            **_places(panel, series), name=escaped(series.name), marker_color=color,
            showlegend=bool(series.name), **errors,
        )
    ]  # fmt: skip


def _spans(go: Any, series: Series, color: str, panel: Panel) -> list[Any]:
    lengths = [end - begin for begin, end in zip(series.x, series.until, strict=True)]
    return [
        go.Bar(
            base=list(series.x), x=lengths, y=_values(panel.y, series.y), orientation="h",
            name=escaped(series.name), marker={"color": color, "line": {"width": 0.5}},
            **_hover(series),
        )
    ]  # fmt: skip


def _heat(go: Any, series: Series, color: str, panel: Panel) -> list[Any]:
    return [
        go.Contour(
            **_places(panel, series), z=[list(row) for row in series.z],
            colorscale="Blues", showscale=False, contours_coloring="heatmap",
        )
    ]  # fmt: skip


_TRACES: dict[str, Callable[[Any, Series, str, Panel], list[Any]]] = {
    "points": _points,
    "line": _line,
    "steps": _line,
    "bars": _bars,
    "spans": _spans,
    "heat": _heat,
}


def _parallel(go: Any, dimensions: tuple[Coordinate, ...]) -> Any:
    lines = []
    for one in dimensions:
        values, axis = list(one.values), one.axis
        options: dict[str, Any] = {"label": escaped(axis.label)}
        if axis.scale == "category":
            values = [axis.categories.index(value) for value in values]
            options |= {
                "tickvals": list(range(len(axis.categories))),
                "ticktext": [escaped(text) for text in axis.categories],
            }
        elif axis.scale == "log":
            values = [math.log10(value) for value in values]
            ticks = range(math.floor(min(values)), math.ceil(max(values)) + 1)
            options |= {
                "tickvals": list(ticks),
                "ticktext": [json.dumps(float(f"1e{tick}")) for tick in ticks],
            }
        lines.append({**options, "values": values})
    color = {"color": list(dimensions[-1].values), "colorscale": "YlOrRd", "showscale": True}
    return go.Parcoords(dimensions=lines, line=color)
