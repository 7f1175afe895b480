"""A chart as plain data: panels with axes and series, which each renderer draws in its way.

What is drawn is computed in ``trial_charts``, ``comparison_charts`` and ``model_charts``;
``plotly_figures`` and ``matplotlib_figures`` draw it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Values: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a panel.

    Attributes
    ----------
    label : str
    scale : {"linear", "log", "category"}
        On an axis of categories, values are texts of ``categories``.
    categories : tuple of str
        In the order from the origin.
    """

    label: str
    scale: Literal["linear", "log", "category"] = "linear"
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn of one thing in a panel.

    Attributes
    ----------
    kind : {"points", "line", "steps", "bars", "spans", "heat"}
        ``spans`` are bars from ``x`` to ``until`` in the row ``y``; ``heat`` is a grid of ``z``
        over ``x`` and ``y``.
    name : str
        Stands in the legend; ``''`` for none.
    x, y : tuple
        Of the same length, ``heat`` aside.
    low, high : tuple
        The limits of a band around a line; empty for none.
    error : tuple
        The half lengths of error bars; empty for none.
    until : tuple
        The ends of spans.
    z : tuple of tuple
        A row for each y.
    colors : tuple of float
        A value for each point, which is shown as its colour; empty for none.
    labels : tuple of str
        What is shown of each point on demand.
    trials : tuple of int
        The number of each point's trial, where points are trials.
    """

    kind: Literal["points", "line", "steps", "bars", "spans", "heat"]
    name: str
    x: Values
    y: Values
    low: Values = ()
    high: Values = ()
    error: Values = ()
    until: Values = ()
    z: tuple[Values, ...] = ()
    colors: Values = ()
    labels: tuple[str, ...] = ()
    trials: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One coordinate system. ``color`` names what the colours of points mean."""

    x: Axis
    y: Axis
    series: tuple[Series, ...]
    title: str = ""
    color: str = ""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """An axis of parallel coordinates, with a value for each line; ``None``: no value."""

    axis: Axis
    values: Values


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes
    ----------
    kind : str
        As in :data:`orion_hpc.visual.kinds.KINDS`.
    title : str
    panels : tuple of Panel
        In rows of ``columns``.
    columns : int
    dimensions : tuple of Coordinate
        Of parallel coordinates, which have no panels; the last one gives the lines their colours.
    note : str
        What limits the chart, such as trials that it leaves out; ``''`` for nothing.
    """

    kind: str
    title: str
    panels: tuple[Panel, ...] = ()
    columns: int = 1
    dimensions: tuple[Coordinate, ...] = ()
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the chart as values that JSON has; numbers that it lacks are None."""
        found: dict[str, Any] = _plain(dataclasses.asdict(self))
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
