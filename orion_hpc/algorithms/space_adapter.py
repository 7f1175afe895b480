"""Adapter for an algorithm that gets a transformed space, and the transformed history.

How dimensions are transformed is left to ``transform``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, overload

from orion_hpc.algorithms.base import (
    WAIT,
    Advise,
    Algorithm,
    Branch,
    History,
    Suggestion,
    no_advice,
)
from orion_hpc.model.trial_record import BROKEN, Params, TrialRecord

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.transform import Transform


class SpaceAdapter:
    """Calls an algorithm with its own space and history, and transforms its points back.

    Parameters
    ----------
    algorithm : Algorithm
        Constructed with the space of ``transform``.
    transform : Transform
    """

    def __init__(self, algorithm: Algorithm, transform: Transform) -> None:
        self._algorithm = algorithm
        self._transform = transform
        self.cheap = algorithm.cheap
        self.learns = getattr(algorithm, "learns", True)
        self.advice: Advise = getattr(algorithm, "advice", no_advice)

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return the algorithm's suggestion as a point of the user's space."""
        view = HistoryView(history, self._transform.forward, self._transform.backward)
        found = self._algorithm.suggest(view, number, rng)
        if found is None or found is WAIT:
            return found
        if isinstance(found, Branch):
            return Branch(self._back(found.params), found.parent)
        return self._back(found)

    def _back(self, params: Params) -> Params:
        try:
            return self._transform.backward(params)
        except (KeyError, ValueError, IndexError, TypeError):
            return params  # not a point of either space, which ValidatedAlgorithm reports


class HistoryView:
    """A history with transformed params; each trial is transformed when it is read.

    Parameters
    ----------
    history : History
    forward, backward : callable
        From the history's params to the view's, and back. If ``forward`` raises KeyError or
        ValueError, the trial has no params in the view.
    judge : callable, optional
        Returns the objective that a completed or broken trial has in the view, instead of its
        results.
    """

    def __init__(
        self,
        history: History,
        forward: Callable[[Params], Params],
        backward: Callable[[Params], Params],
        judge: Callable[[TrialRecord], float | None] | None = None,
    ) -> None:
        self._history = history
        self._judge = judge
        self._forward = forward
        self._backward = backward
        self.trials = _Shown(history.trials, self._show)
        self.learned = _Shown(history.learned, self._show)
        self.completions: Sequence[int] = history.completions
        self.undone: int = history.undone

    def pending(self) -> list[TrialRecord]:
        """Return the trials that are neither completed nor broken."""
        return [self._show(trial) for trial in self._history.pending()]

    def failed(self) -> list[TrialRecord]:
        """Return the broken trials that count against their points."""
        return [self._show(trial) for trial in self._history.failed()]

    def has(self, params: Params) -> bool:
        """Return whether the history has a trial with these params, transformed back."""
        return self._history.has(self._backward(params))

    def _show(self, trial: TrialRecord) -> TrialRecord:
        try:
            params = self._forward(trial.params)
        except (KeyError, ValueError, IndexError, TypeError):
            params = {}
        if self._judge is None or not (trial.results or trial.status == BROKEN):
            return replace(trial, params=params)
        value = self._judge(trial)
        results = [] if value is None else [{"name": "o", "type": "objective", "value": value}]
        return replace(trial, params=params, results=results)


class _Shown(Sequence[TrialRecord]):
    def __init__(
        self, trials: Sequence[TrialRecord], show: Callable[[TrialRecord], TrialRecord]
    ) -> None:
        self._trials = trials
        self._show = show

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, index: int) -> TrialRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrialRecord]: ...
    def __getitem__(self, index: int | slice) -> TrialRecord | list[TrialRecord]:
        if isinstance(index, slice):
            return [self._show(trial) for trial in self._trials[index]]
        return self._show(self._trials[index])

    def __iter__(self) -> Iterator[TrialRecord]:
        return map(self._show, self._trials)
