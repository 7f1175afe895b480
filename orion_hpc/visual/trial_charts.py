"""Charts of one experiment's trials: regret, parallel coordinates, slices, fronts, time. Pure.

Those that fit a model are in ``model_charts``, those of several experiments in
``comparison_charts``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.experiments.trial_views import local_clock, short, took
from orion_hpc.model.dimension import Categorical, Dimension, Fidelity
from orion_hpc.model.distribution import Discretised, LogUniform
from orion_hpc.model.pareto import front
from orion_hpc.model.result import OBJECTIVE
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED, TrialRecord
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.visual.chart import Axis, Chart, Coordinate, Panel, Series

ORDERS = {"suggested": "submit_time", "reserved": "start_time", "completed": "end_time"}
"""By Oríon's name of an order, the time by which trials are ordered."""

_COLUMNS = 3
"""Panels in a row."""


# -- what several charts need ----------------------------------------------------------------------


def title_of(state: ExperimentState) -> str:
    """Return an experiment's name for titles and legends."""
    return f"{state.name}-v{state.version}"


def objective_name(state: ExperimentState) -> str:
    """Return the name of the first objective."""
    for one in state.comparable()[:1]:
        for result in one.results or ():
            if result["type"] == OBJECTIVE:
                return str(result["name"])
    return "objective"


def in_order(state: ExperimentState, order_by: str) -> list[TrialRecord]:
    """Return the completed trials that can be compared, by one of :data:`ORDERS`.

    Raises
    ------
    ConfigurationError
        There is no such order, or no completed trial.
    """
    if order_by not in ORDERS:
        raise ConfigurationError(
            f"trials can't be ordered by {order_by!r:.100}{did_you_mean(order_by, ORDERS)}",
            f"There are: {', '.join(ORDERS)}.",
        )
    trials = compared(state)
    field = ORDERS[order_by]
    return sorted(trials, key=lambda one: (getattr(one, field) or 0.0, one.number))


def compared(state: ExperimentState) -> list[TrialRecord]:
    """Return the completed trials that can be compared; ConfigurationError if there are none."""
    trials = [one for one in state.comparable() if one.objective is not None]
    if not trials:
        raise ConfigurationError(
            f"{state.title} has no completed trial that could be drawn",
            "'orion-hpc status CONFIG' shows whether it has workers.",
        )
    return trials


def running_best(trials: Sequence[TrialRecord]) -> list[float]:
    """Return the least objective up to each trial. Infeasible ones count only before any other."""
    found: list[float] = []
    best, feasible = float("inf"), False
    for one in trials:
        value = float("inf") if one.objective is None else one.objective
        if (one.feasible, -value) > (feasible, -best):
            best, feasible = value, one.feasible
        found.append(best)
    return found


def label(trial: TrialRecord) -> str:
    """Return what is shown of a trial on demand, in lines."""
    lines = [f"trial {trial.number}: {trial.status}"]
    lines += [f"{one['name']} = {short(one['value'])}" for one in trial.results or ()]
    lines += [f"{name}: {short(value)}" for name, value in trial.params.items()]
    return "\n".join(lines)


def numbers(trials: Sequence[TrialRecord]) -> tuple[int, ...]:
    """Return the trials' numbers."""
    return tuple(one.number for one in trials)


def space_of(state: ExperimentState) -> Space:
    """Return the experiment's space."""
    return Space.parse(state.configuration["space"])


def axis_of(dimension: Dimension, name: str = "") -> Axis:
    """Return the axis of a dimension, or of one element of it, which is called ``name``."""
    title = name or dimension.name
    if isinstance(dimension, Categorical):
        return Axis(title, "category", tuple(map(text_of, dimension.interval())))
    return Axis(title, "log" if _is_logarithmic(dimension) else "linear")


def _is_logarithmic(dimension: Dimension) -> bool:
    """Return whether equal factors of its values are equally likely."""
    if isinstance(dimension, Fidelity):
        return dimension.low > 0 and dimension.base > 1
    distribution = getattr(dimension, "distribution", None)
    if isinstance(distribution, Discretised):
        distribution = distribution.real
    return isinstance(distribution, LogUniform)


def text_of(choice: Any) -> str:
    """Return a choice as the text of a category."""
    return choice if isinstance(choice, str) else repr(choice)


def columns_of(
    space: Space, trials: Sequence[TrialRecord], params: Collection[str] | None = None
) -> list[tuple[Axis, list[Any]]]:
    """Return for each dimension, or element of one, its axis and the value of each trial.

    Parameters
    ----------
    space : Space
    trials : sequence of TrialRecord
    params : collection of str, optional
        Only these dimensions, in this order.

    Raises
    ------
    ConfigurationError
        There is no such dimension.
    """
    for name in params or ():
        if name not in space:
            raise ConfigurationError(
                f"there is no hyperparameter {name!r:.100}{did_you_mean(name, space)}",
                f"There are: {', '.join(space)}.",
            )
    found: list[tuple[Axis, list[Any]]] = []
    for name in params or space:
        dimension = space[name]
        values = [one.params.get(name) for one in trials]
        for place, element in _elements(values):
            axis = axis_of(dimension, f"{name}{place}")
            if axis.scale == "category":
                element = [text_of(one) for one in element]
            found.append((axis, element))
    return found


def _elements(values: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """Return the values of each element of nested lists with its place, as ``[0,1]``."""
    first = next((one for one in values if one is not None), None)
    if not isinstance(first, list):
        return [("", list(values))]
    found = []
    for index in range(len(first)):
        inner = _elements([one[index] if one is not None else None for one in values])
        found += [
            (f"[{index}{',' + place[1:-1] if place else ''}]", element) for place, element in inner
        ]
    return found


# -- the charts ------------------------------------------------------------------------------------


def regret(state: ExperimentState, order_by: str = "suggested") -> Chart:
    """Return the objectives in order, and the best of them so far."""
    trials = in_order(state, order_by)
    x = tuple(range(len(trials)))
    points = Series(
        "points", "trials", x, tuple(one.objective for one in trials),
        labels=tuple(map(label, trials)),
trials=numbers(trials),
    )  # fmt: skip
    best = Series("steps", "best-to-date", x, tuple(running_best(trials)))
    panel = Panel(
        Axis(f"Trials ordered by {order_by} time"), Axis(objective_name(state)), (points, best)
    )
    return Chart("regret", f"Regret of {title_of(state)}", (panel,))


def parallel_coordinates(state: ExperimentState, order: Sequence[str] | None = None) -> Chart:
    """Return a line for each trial through its hyperparameters, to its objective."""
    trials = in_order(state, "suggested")
    dimensions = [
        Coordinate(axis, tuple(values))
        for axis, values in columns_of(space_of(state), trials, order)
    ]
    values = tuple(one.objective for one in trials)
    dimensions.append(Coordinate(Axis(objective_name(state)), values))
    return Chart(
        "parallel_coordinates",
        f"Parallel coordinates of {title_of(state)}",
        dimensions=tuple(dimensions),
    )


def slices(state: ExperimentState, params: Collection[str] | None = None) -> Chart:
    """Return a panel for each hyperparameter: its values, and the objectives; later ones darker."""
    trials = in_order(state, "completed")
    panels = tuple(
        Panel(
            axis,
            Axis(objective_name(state)),
            (
                Series(
                    "points", "", tuple(values), tuple(one.objective for one in trials),
                    colors=tuple(one.number for one in trials), labels=tuple(map(label, trials)),
trials=numbers(trials),
                ),
            ),
            color="trial",
        )
        for axis, values in columns_of(space_of(state), trials, params)
    )  # fmt: skip
    return Chart("slice", f"Slices of {title_of(state)}", panels, min(_COLUMNS, len(panels)))


def pareto_front(state: ExperimentState) -> Chart:
    """Return the objectives of all trials against each other, with those of the Pareto front.

    Raises
    ------
    ConfigurationError
        The trials have one objective only.
    """
    trials = compared(state)
    names = [one["name"] for one in trials[0].results or () if one["type"] == OBJECTIVE]
    if len(names) < 2:
        raise ConfigurationError(
            f"the trials of {state.title} have one objective: there is no Pareto front",
            "The chart 'regret' shows one objective.",
        )
    best = front(state.finalists())
    on_front = {one.number for one in best}
    rest = [one for one in trials if one.number not in on_front]
    panels = []
    for row, other in enumerate(names):
        for column, name in enumerate(names[:row]):
            panels.append(
                Panel(
                    Axis(name),
                    Axis(other),
                    tuple(
                        Series(
                            "points",
                            title,
                            tuple(one.objectives[column] for one in some),
                            tuple(one.objectives[row] for one in some),
                            labels=tuple(map(label, some)),
                            trials=numbers(some),
                        )
                        for title, some in (("other trials", rest), ("Pareto front", best))
                    ),
                )
            )
    return Chart(
        "pareto_front", f"Pareto front of {title_of(state)}", tuple(panels),
        min(_COLUMNS, len(panels)),
    )  # fmt: skip


def timeline(state: ExperimentState) -> Chart:
    """Return for each worker the spans of its trials' last attempts over time, by their ends.

    Gaps are time in which a worker had no trial, or one that another worker has run again since.
    """
    trials = [one for one in state.trials if one.start_time is not None]
    if not trials:
        raise ConfigurationError(
            f"no trial of {state.title} has begun",
            "'orion-hpc status CONFIG' shows whether it has workers.",
        )
    first = min(one.start_time or 0.0 for one in trials)
    last = max((one.end_time or one.start_time or 0.0) for one in trials)
    workers = sorted({one.worker or "unknown" for one in trials})
    names = _short_names(workers)
    groups: dict[str, list[TrialRecord]] = {}
    for one in trials:
        outcome = one.status if one.cause is None else f"{one.status}: {one.cause}"
        groups.setdefault(outcome, []).append(one)
    series = tuple(
        Series(
            "spans",
            outcome,
            tuple((one.start_time or 0.0) - first for one in some),
            tuple(names[one.worker or "unknown"] for one in some),
            until=tuple((one.end_time or last) - first for one in some),
            labels=tuple(
                f"{label(one)}\nfrom {local_clock(one.start_time or 0.0)}, "
                f"{took((one.end_time or last) - (one.start_time or 0.0))}"
                for one in some
            ),
            trials=numbers(some),
        )
        for outcome, some in sorted(groups.items(), key=lambda pair: _place(pair[0]))
    )
    panel = Panel(
        Axis(f"Seconds since {local_clock(first)}"),
        Axis("Worker", "category", tuple(names[one] for one in workers)),
        series,
    )
    return Chart("timeline", f"Timeline of {title_of(state)}", (panel,))


def _place(outcome: str) -> tuple[int, str]:
    """Return the place of an outcome in the legend."""
    order = (COMPLETED, BROKEN)
    status = outcome.partition(":")[0]
    return (order.index(status) if status in order else len(order), outcome)


def _short_names(workers: Sequence[str]) -> dict[str, str]:
    """Return for each worker its host, with its job where it has one, or else its process."""
    names = {}
    for worker in workers:
        who = Identity.parse(worker)
        names[worker] = worker if who is None else f"{who.host} {who.job or who.pid}"
    return names


def fidelity(state: ExperimentState) -> Chart:
    """Return the objectives by the fidelity that trials got; lines lead from a trial to the one
    that it was promoted to.

    Raises
    ------
    ConfigurationError
        The space has no fidelity.
    """
    space = space_of(state)
    if space.fidelity is None:
        raise ConfigurationError(
            f"the space of {state.title} has no fidelity", "Charts such as 'regret' need none."
        )
    trials = compared(state)
    name = space.fidelity
    by_number = {one.number: one for one in trials}
    points = Series(
        "points", "trials", tuple(one.params.get(name) for one in trials),
        tuple(one.objective for one in trials), labels=tuple(map(label, trials)),
trials=numbers(trials),
    )  # fmt: skip
    promotions = [
        Series(
            "line",
            "",
            (before.params.get(name), one.params.get(name)),
            (before.objective, one.objective),
        )
        for one in trials
        if one.parent is not None and (before := by_number.get(one.parent)) is not None
    ]
    panel = Panel(axis_of(space[name]), Axis(objective_name(state)), (*promotions, points))
    return Chart("fidelity", f"Fidelity of {title_of(state)}", (panel,))
