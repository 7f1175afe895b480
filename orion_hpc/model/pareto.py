"""The Pareto front of trials with several objectives, all of which are minimised. Pure.

Computed on demand, never in replay. Which trials can be compared is decided by
:meth:`orion_hpc.model.state.ExperimentState.finalists`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import le
from typing import Protocol

from orion_hpc.model.trial_record import COMPLETED, TrialRecord

Values = Sequence[float]


def front(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the Pareto front: the trials that no other one dominates.

    One trial dominates another if it is at most as large in every objective, and smaller in one.
    Trials with equal objectives don't dominate each other: either all of them are on the front or
    none is.

    Parameters
    ----------
    trials : iterable of TrialRecord
        In the order in which they were completed, as ``ExperimentState.finalists()`` gives them.
        Only completed and feasible ones count, and of those only the ones with as many objectives
        as the first completed one that has any.

    Returns
    -------
    list of TrialRecord
        By the first objective, then the second, and so on; of equals, in the order given.

    Notes
    -----
    Sorted by the first objective a trial can only be dominated by those before it. With up to three
    objectives a sweep over the rest takes O(n log n) comparisons (Kung, Luccio and Preparata,
    Journal of the ACM 22(4), 1975); with more, each trial is compared with the front so far.
    """
    completed = [(trial, trial.objectives) for trial in trials if trial.status == COMPLETED]
    wanted = next((len(values) for _, values in completed if values), 0)
    if not wanted:
        return []
    points: dict[tuple[float, ...], list[TrialRecord]] = {}
    for trial, values in completed:
        if len(values) == wanted and trial.feasible:
            points.setdefault(values, []).append(trial)
    kept: _Front = _Staircase() if wanted <= 3 else _Unordered()
    return [trial for values in sorted(points) if kept.add(values[1:]) for trial in points[values]]


class _Front(Protocol):
    """The front so far, without the first objective."""

    def add(self, rest: Values) -> bool:
        """Add ``rest`` unless an element is at most as large in every value; return whether it was
        added."""


class _Staircase:
    """For up to two values: a staircase, where the second value falls as the first one rises.

    Elements above the staircase dominate nothing that it doesn't dominate, so they are dropped.
    """

    def __init__(self) -> None:
        self._firsts: list[float] = []
        self._seconds: list[float] = []

    def add(self, rest: Values) -> bool:
        first, second = (*rest, 0.0, 0.0)[:2]
        firsts, seconds = self._firsts, self._seconds
        before = bisect_right(firsts, first)
        if before and seconds[before - 1] <= second:
            return False
        begin = end = bisect_left(firsts, first)
        while end < len(seconds) and seconds[end] >= second:
            end += 1
        firsts[begin:end] = [first]
        seconds[begin:end] = [second]
        return True


class _Unordered:
    """For any number of values: a list."""

    def __init__(self) -> None:
        self._kept: list[Values] = []

    def add(self, rest: Values) -> bool:
        if any(all(map(le, one, rest)) for one in self._kept):
            return False
        self._kept.append(rest)
        return True
