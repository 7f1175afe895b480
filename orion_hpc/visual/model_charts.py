"""Charts for which a model is fitted to the trials: importance and partial dependence.

The model itself is in ``surrogate``.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from orion_hpc.algorithms.transform import Transform
from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import TrialRecord
from orion_hpc.plugins import install_command
from orion_hpc.visual.chart import Axis, Chart, Panel, Series
from orion_hpc.visual.surrogate import Surrogate, decode, encode, grid
from orion_hpc.visual.trial_charts import (
    columns_of,
    in_order,
    label,
    numbers,
    objective_name,
    space_of,
    title_of,
)

_FEWEST = 4
"""Trials below which a model says nothing."""

Options = Mapping[str, Any] | None


class _Points:
    """The completed trials as rows of numbers, with an axis for each column."""

    def __init__(self, state: ExperimentState, most: int | None = None) -> None:
        space = space_of(state)
        self.trials: list[TrialRecord] = [
            one for one in in_order(state, "completed") if all(name in one.params for name in space)
        ]
        if most is not None:
            self.trials = self.trials[-most:]
        if len(self.trials) < _FEWEST:
            raise ConfigurationError(
                f"{state.title} has {len(self.trials)} completed trials, too few for a model",
                f"It takes {_FEWEST}, and means little below twenty.",
            )
        columns = columns_of(space, self.trials)
        self.axes: list[Axis] = [axis for axis, _ in columns]
        encoded = [[encode(axis, one) for one in values] for axis, values in columns]
        self.rows: list[list[float]] = [list(row) for row in zip(*encoded, strict=True)]
        self.objectives: list[float] = [one.objective or 0.0 for one in self.trials]
        bounds = [
            space[name].interval() for name in space for _ in columns_of(space, self.trials, [name])
        ]
        self.bounds: list[tuple[float, float]] = [
            _bounds(axis, bound, values)
            for axis, bound, values in zip(self.axes, bounds, encoded, strict=True)
        ]

    def best(self) -> list[float]:
        """Return the row of the best trial."""
        place = min(range(len(self.rows)), key=self.objectives.__getitem__)
        return self.rows[place]


def _bounds(axis: Axis, bound: tuple[Any, ...], seen: Sequence[float]) -> tuple[float, float]:
    """Return the limits of a dimension as numbers of the model; of an unbounded one, those seen."""
    if axis.scale == "category":
        return 0.0, float(len(axis.categories) - 1)
    low, high = (float(bound[0]), float(bound[-1]))
    finite = float("-inf") < low and high < float("inf") and (axis.scale != "log" or low > 0)
    return (encode(axis, low), encode(axis, high)) if finite else (min(seen), max(seen))


def lpi(
    state: ExperimentState,
    model: str = "RandomForestRegressor",
    model_kwargs: Options = None,
    n_points: int = 20,
    n_runs: int = 10,
    most: int | None = None,
) -> Chart:
    """Return each hyperparameter's local parameter importance.

    That is its share in the variance of the model's predictions when it alone is varied around the
    best trial (Biedenkapp, Marben, Lindauer and Hutter, LION 2018).

    Parameters
    ----------
    state : ExperimentState
    model : str
        See :class:`~orion_hpc.visual.surrogate.Surrogate`.
    model_kwargs : mapping, optional
        Options of the model. With ``random_state`` the chart is the same each time.
    n_points : int, default 20
        Values of each dimension.
    n_runs : int, default 10
        Models, with different seeds; their mean and standard deviation are shown.
    most : int, optional
        Only so many trials, the last ones.
    """
    points = _Points(state, most)
    best = points.best()
    runs: list[list[float]] = []
    for options in _seeds(model_kwargs, n_runs):
        surrogate = Surrogate(points.rows, points.objectives, model, options)
        variances = []
        for place, (axis, (low, high)) in enumerate(zip(points.axes, points.bounds, strict=True)):
            rows = [
                [*best[:place], value, *best[place + 1 :]]
                for value in grid(axis, low, high, n_points)
            ]
            variances.append(statistics.pvariance(surrogate.predict(rows)))
        total = sum(variances)
        runs.append([one / total if total else 0.0 for one in variances])
    means = tuple(statistics.fmean(one) for one in zip(*runs, strict=True))
    errors = tuple(statistics.pstdev(one) for one in zip(*runs, strict=True))
    labels = tuple(axis.label for axis in points.axes)
    panel = Panel(
        Axis("Hyperparameters", "category", labels),
        Axis("Local parameter importance (LPI)"),
        (Series("bars", "", labels, means, error=errors),),
    )
    return Chart("lpi", f"Local parameter importance of {title_of(state)}", (panel,))


def _seeds(options: Options, runs: int) -> list[dict[str, Any]]:
    """Return the options of each run, whose seeds are drawn from the one that is given."""
    given = dict(options or {})
    draw = random.Random(given.get("random_state"))
    return [{**given, "random_state": draw.randrange(2**31)} for _ in range(max(1, runs))]


def partial_dependencies(
    state: ExperimentState,
    params: Collection[str] | None = None,
    n_grid_points: int = 10,
    n_samples: int = 50,
    model: str = "RandomForestRegressor",
    model_kwargs: Options = None,
    most: int | None = None,
) -> Chart:
    """Return the model's mean objective over each hyperparameter, and over each pair of them.

    Parameters
    ----------
    state : ExperimentState
    params : collection of str, optional
        Only these hyperparameters.
    n_grid_points : int, default 10
        Values of each dimension.
    n_samples : int, default 50
        Random points of the space over which the others are averaged.
    model, model_kwargs, most
        As of :func:`lpi`.
    """
    points, options = _Points(state, most), dict(model_kwargs or {})
    space = space_of(state)
    wanted = {axis.label for axis, _ in columns_of(space, points.trials, params)}
    places = [place for place, axis in enumerate(points.axes) if axis.label in wanted]
    draw = random.Random(options.get("random_state", 0))
    samples = [
        [_drawn(axis, *bound, draw) for axis, bound in zip(points.axes, points.bounds, strict=True)]
        for _ in range(n_samples)
    ]
    surrogate = Surrogate(points.rows, points.objectives, model, options)
    grids = [
        grid(axis, *bound, n_grid_points)
        for axis, bound in zip(points.axes, points.bounds, strict=True)
    ]
    panels: dict[tuple[int, int], Panel] = {}
    for place in places:
        panels[place, place] = _of_one(state, points, surrogate, samples, place, grids[place])
    for column, row in combinations(places, 2):
        panels[row, column] = _of_two(points, surrogate, samples, (column, row), grids)
    blank = Panel(Axis(""), Axis(""), ())
    return Chart(
        "partial_dependencies",
        f"Partial dependencies of {title_of(state)}",
        tuple(panels.get((row, column), blank) for row in places for column in places),
        len(places),
    )


def _drawn(axis: Axis, low: float, high: float, draw: random.Random) -> float:
    if axis.scale == "category":
        return float(draw.randrange(len(axis.categories)))
    return draw.uniform(low, high)


def _of_one(
    state: ExperimentState,
    points: _Points,
    surrogate: Surrogate,
    samples: Sequence[Sequence[float]],
    place: int,
    values: Sequence[float],
) -> Panel:
    rows = [[*one[:place], value, *one[place + 1 :]] for value in values for one in samples]
    found = surrogate.predict(rows)
    size = len(samples)
    parts = [found[start : start + size] for start in range(0, len(found), size)]
    means = [statistics.fmean(part) for part in parts]
    spread = [statistics.pstdev(part) for part in parts]
    axis = points.axes[place]
    x = tuple(decode(axis, one) for one in values)
    curve = Series(
        "line", "", x, tuple(means),
        low=tuple(mean - one for mean, one in zip(means, spread, strict=True)),
        high=tuple(mean + one for mean, one in zip(means, spread, strict=True)),
    )  # fmt: skip
    return Panel(axis, Axis(objective_name(state)), (curve, _trials(points, place)))


def _trials(points: _Points, place: int) -> Series:
    axis = points.axes[place]
    return Series(
        "points", "", tuple(decode(axis, row[place]) for row in points.rows),
        tuple(points.objectives), labels=tuple(map(label, points.trials)),
trials=numbers(points.trials),
    )  # fmt: skip


def _of_two(
    points: _Points,
    surrogate: Surrogate,
    samples: Sequence[Sequence[float]],
    places: tuple[int, int],
    grids: Sequence[Sequence[float]],
) -> Panel:
    column, row = places
    rows = []
    for y in grids[row]:
        for x in grids[column]:
            for one in samples:
                point = list(one)
                point[column], point[row] = x, y
                rows.append(point)
    found = surrogate.predict(rows)
    size, width = len(samples), len(grids[column])
    means = [statistics.fmean(found[at : at + size]) for at in range(0, len(found), size)]
    across, up = points.axes[column], points.axes[row]
    heat = Series(
        "heat", "",
        tuple(decode(across, one) for one in grids[column]),
        tuple(decode(up, one) for one in grids[row]),
        z=tuple(tuple(means[at : at + width]) for at in range(0, len(means), width)),
    )  # fmt: skip
    seen = Series(
        "points", "", tuple(decode(across, one[column]) for one in points.rows),
        tuple(decode(up, one[row]) for one in points.rows), labels=tuple(map(label, points.trials)),
trials=numbers(points.trials),
    )  # fmt: skip
    return Panel(across, up, (heat, seen))


def contour(
    state: ExperimentState,
    params: Collection[str] | None = None,
    n_grid_points: int = 20,
    n_samples: int = 50,
    model: str = "RandomForestRegressor",
    model_kwargs: Options = None,
) -> Chart:
    """Return only the pairs of :func:`partial_dependencies`, whose parameters it has."""
    found = partial_dependencies(state, params, n_grid_points, n_samples, model, model_kwargs)
    panels = tuple(one for one in found.panels if any(s.kind == "heat" for s in one.series))
    if not panels:
        raise ConfigurationError(
            "a contour needs two hyperparameters", "The chart 'slice' shows one."
        )
    return Chart("contour", f"Contours of {title_of(state)}", panels, min(3, len(panels)))


def importance(state: ExperimentState, evaluator: str = "ped-anova") -> Chart:
    """Return each hyperparameter's importance for the objective, the greatest first.

    Parameters
    ----------
    state : ExperimentState
    evaluator : {"ped-anova", "fanova"}
        See :func:`~orion_hpc.algorithms.optuna_study.importances`.

    Raises
    ------
    ConfigurationError
        There is no such evaluator, or Optuna isn't installed.
    """
    try:
        from orion_hpc.algorithms.optuna_study import EVALUATORS, importances, quiet
    except ImportError as error:
        raise ConfigurationError(
            f"the plot importance needs a library that can't be imported: {error}",
            install_command("plot"),
        ) from None
    if evaluator not in EVALUATORS:
        raise ConfigurationError(
            f"there is no evaluator {evaluator!r:.100}{did_you_mean(evaluator, EVALUATORS)}",
            f"There are: {', '.join(EVALUATORS)}.",
        )
    points = _Points(state)
    transform = Transform(space_of(state), dist="bounded", shape="flattened")
    trials = [replace(one, params=transform.forward(one.params)) for one in points.trials]
    quiet()
    found = importances(transform.space, trials, evaluator)
    names = sorted(found, key=lambda name: -found[name])
    panel = Panel(
        Axis("Hyperparameters", "category", tuple(names)),
        Axis(f"Importance ({evaluator})"),
        (Series("bars", "", tuple(names), tuple(found[name] for name in names)),),
    )
    return Chart("importance", f"Importance in {title_of(state)}", (panel,))
