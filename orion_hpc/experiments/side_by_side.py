"""Compares experiments at equal cost: equal numbers of trials, equal time, equal core-hours. Pure.

How the trials of one experiment compare is in :mod:`orion_hpc.experiments.comparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from orion_hpc.experiments.resources import cpu_shares
from orion_hpc.experiments.trial_views import short, took
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import COMPLETED, TrialRecord

_HOUR = 3600.0


def compare(states: Sequence[ExperimentState]) -> dict[str, Any]:
    """Return the best objective of each experiment, in all and at equal cost.

    Returns
    -------
    dict
        ``equal``: the cost that all have reached, as ``trials`` (completed ones), ``seconds`` (from
        the start of the first trial) and ``core_hours`` (of ended trials); ``experiments``: for
        each ``title``, ``completed``, ``seconds``, ``core_hours``, ``best``, and
        ``best_at_trials``, ``best_at_seconds``, ``best_at_core_hours``, each None where no trial
        had completed.

    Examples
    --------
    >>> from orion_hpc.experiments.side_by_side import compare
    >>> compare([])["experiments"]
    []
    """
    costs = {
        "trials": [_trials(one) for one in states],
        "seconds": [_seconds(one) for one in states],
        "core_hours": [_core_hours(one) for one in states],
    }
    totals = {kind: [cost(None) for cost in found] for kind, found in costs.items()}
    equal = {kind: min(found, default=0) for kind, found in totals.items()}
    return {
        "equal": equal,
        "experiments": [
            {
                "title": f"{state.name} v{state.version}",
                "completed": state.count(COMPLETED),
                "seconds": totals["seconds"][index],
                "core_hours": totals["core_hours"][index],
                "best": None if state.best is None else state.best.objective,
                **{
                    f"best_at_{kind}": _best_at(state, costs[kind][index], equal[kind])
                    for kind in costs
                },
            }
            for index, state in enumerate(states)
        ],
    }


Cost = Callable[[TrialRecord | None], float]
"""What had been spent when a trial completed; None: at the end."""


def _best_at(state: ExperimentState, cost: Cost, limit: float) -> float | None:
    # The sum of many durations depends on their order in the last digit.
    within = (one for one in state.ranked() if cost(one) <= limit * (1 + 1e-9))
    found = next(within, None)
    return None if found is None else found.objective


def _trials(state: ExperimentState) -> Cost:
    order = {number: place for place, number in enumerate(state.by_status[COMPLETED], 1)}
    return lambda one: len(order) if one is None else order[one.number]


def _seconds(state: ExperimentState) -> Cost:
    first = min((one.start_time for one in _ended(state) if one.start_time is not None), default=0)
    last = max((one.end_time for one in _ended(state) if one.end_time is not None), default=first)
    return lambda one: max(0.0, (last if one is None else one.end_time or last) - first)


def _core_hours(state: ExperimentState) -> Cost:
    share = cpu_shares(state)
    spent, by_number = 0.0, {}
    for one in sorted(_ended(state), key=lambda one: one.end_time or 0.0):
        if one.end_time is not None and one.start_time is not None:
            spent += max(0.0, one.end_time - one.start_time) * share(one.worker) / _HOUR
        by_number[one.number] = spent
    total = spent
    return lambda one: total if one is None else by_number[one.number]


def _ended(state: ExperimentState) -> Iterable[TrialRecord]:
    return (one for one in state.trials if not one.live)


def comparison_table(found: dict[str, Any]) -> dict[str, list[str]]:
    """Return the table of :func:`compare`: for each heading the cells of its column."""
    equal, experiments = found["equal"], found["experiments"]

    def column(key: str, text: Callable[[Any], str] = short) -> list[str]:
        return ["-" if one[key] is None else text(one[key]) for one in experiments]

    return {
        "experiment": column("title"),
        "completed": column("completed"),
        "time": column("seconds", took),
        "core-hours": column("core_hours", lambda hours: f"{hours:.3g}"),
        "best": column("best"),
        f"at {equal['trials']} trials": column("best_at_trials"),
        f"at {took(equal['seconds'])}": column("best_at_seconds"),
        f"at {equal['core_hours']:.3g} core-hours": column("best_at_core_hours"),
    }
