"""Charts that compare experiments: regrets, rankings, durations, parallel assessment. Pure.

They take experiments, or groups of them whose mean is shown with its standard deviation, as those
of one algorithm with several seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from orion_hpc.errors import ConfigurationError
from orion_hpc.model.state import ExperimentState
from orion_hpc.visual.chart import Axis, Chart, Panel, Series
from orion_hpc.visual.trial_charts import compared, in_order, objective_name, running_best, title_of

Groups: TypeAlias = Mapping[str, Sequence[ExperimentState]]
"""Experiments by the name that stands in the legend."""


def grouped(
    experiments: Sequence[ExperimentState]
    | Mapping[str, ExperimentState | Sequence[ExperimentState]],
) -> dict[str, list[ExperimentState]]:
    """Return experiments in groups; those of a sequence are groups by themselves.

    Raises
    ------
    ConfigurationError
        There is none, or a group is empty.
    """
    if isinstance(experiments, Mapping):
        groups = {
            name: [some] if isinstance(some, ExperimentState) else list(some)
            for name, some in experiments.items()
        }
    else:
        groups = {title_of(one): [one] for one in experiments}
    if not groups or not all(groups.values()):
        raise ConfigurationError(
            "there is no experiment to compare", "Give a list of experiments, or lists by name."
        )
    return groups


def regrets(groups: Groups, order_by: str = "suggested") -> Chart:
    """Return the best objective so far of each group, by the number of trials."""
    series = []
    for name, some in groups.items():
        rows = [running_best(in_order(one, order_by)) for one in some]
        means, deviations = _mean_at_each_place(rows)
        series.append(_line(name, tuple(range(len(means))), means, deviations))
    return _chart("regrets", "Average regret", f"Trials ordered by {order_by} time", groups, series)


def rankings(groups: Groups, order_by: str = "suggested") -> Chart:
    """Return the rank of each group by its best objective so far; the first has rank 0.

    Of groups with several experiments, the first ones are ranked against each other, the second
    ones, and so on.

    Raises
    ------
    ConfigurationError
        The groups aren't of the same size.
    """
    sizes = {len(some) for some in groups.values()}
    if len(sizes) > 1:
        raise ConfigurationError(
            f"groups of {' and '.join(map(str, sorted(sizes)))} experiments can't be ranked",
            "Each needs as many experiments: they are compared one by one.",
        )
    places: dict[str, list[list[float]]] = {name: [] for name in groups}
    for index in range(*sizes):
        best = {
            name: running_best(in_order(some[index], order_by)) for name, some in groups.items()
        }
        for name, ranks in _ranks(best).items():
            places[name].append(ranks)
    series = []
    for name, rows in places.items():
        means, deviations = _mean_at_each_place(rows)
        series.append(_line(name, tuple(range(len(means))), means, deviations))
    of = f"Ranking based on {_objective(groups)}"
    return _chart(
        "rankings", "Average rankings", f"Trials ordered by {order_by} time", groups, series, of
    )


def _ranks(rows: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return the rank of each at each place, among those that got so far; of equals the first."""
    found: dict[str, list[float]] = {name: [] for name in rows}
    for place in range(max(map(len, rows.values()))):
        there = [name for name, row in rows.items() if place < len(row)]
        for rank, name in enumerate(sorted(there, key=lambda name: rows[name][place])):
            found[name].append(float(rank))
    return found


def durations(groups: Groups) -> Chart:
    """Return the best objective so far of each experiment, by the seconds since its first trial."""
    series = []
    for name, some in groups.items():
        for count, one in enumerate(some):
            trials = in_order(one, "completed")
            first = min((trial.start_time or trial.submit_time) for trial in trials)
            x = tuple(max(0.0, (trial.end_time or first) - first) for trial in trials)
            series.append(Series("steps", "" if count else name, x, tuple(running_best(trials))))
    return _chart("durations", "Time to result", "Seconds since the first trial", groups, series)


def parallel_assessment(groups: Groups) -> Chart:
    """Return the best objective of each experiment, by the number of its workers.

    A worker counts if it completed a trial. Experiments of a group with as many workers are shown
    by their mean.
    """
    series = []
    for name, some in groups.items():
        by_workers: dict[int, list[float]] = {}
        for one in some:
            trials = compared(one)
            workers = len({trial.worker for trial in trials})
            by_workers.setdefault(workers, []).append(running_best(trials)[-1])
        counts = tuple(sorted(by_workers))
        means = [_mean(by_workers[count]) for count in counts]
        errors = tuple(_deviation(by_workers[count]) for count in counts)
        series.append(Series("line", name, counts, tuple(means), error=errors))
    return _chart("parallel_assessment", "Parallel assessment", "Number of workers", groups, series)


def _chart(
    kind: str, title: str, x: str, groups: Groups, series: Sequence[Series], y: str | None = None
) -> Chart:
    panel = Panel(Axis(x), Axis(y or _objective(groups)), tuple(series))
    return Chart(kind, title, (panel,))


def _objective(groups: Groups) -> str:
    return objective_name(next(iter(groups.values()))[0])


def _line(
    name: str, x: tuple[int, ...], means: Sequence[float], deviations: Sequence[float]
) -> Series:
    band = any(deviations)
    return Series(
        "line", name, x, tuple(means),
        low=tuple(m - d for m, d in zip(means, deviations, strict=True)) if band else (),
        high=tuple(m + d for m, d in zip(means, deviations, strict=True)) if band else (),
    )  # fmt: skip


def _mean_at_each_place(rows: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation at each place, of the rows that reach it."""
    length = max(map(len, rows))
    columns = [[row[place] for row in rows if place < len(row)] for place in range(length)]
    return [_mean(one) for one in columns], [_deviation(one) for one in columns]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    """Return the sample's standard deviation; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(math.fsum((one - mean) ** 2 for one in values) / (len(values) - 1))
