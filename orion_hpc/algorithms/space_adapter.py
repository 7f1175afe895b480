"""An algorithm that doesn't take the user's space as it is, and the history that it is shown."""

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
from orion_hpc.model.trial import Params, Trial

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.transform import Transform


class SpaceAdapter:
    """Asks ``algorithm`` in its own space.

    Parameters
    ----------
    algorithm : Algorithm
        On the space of ``transform``.
    transform : Transform
    """

    def __init__(self, algorithm: Algorithm, transform: Transform) -> None:
        self._algorithm = algorithm
        self._transform = transform
        self.cheap = algorithm.cheap
        self.learns = getattr(algorithm, "learns", True)
        self.advice: Advise = getattr(algorithm, "advice", no_advice)

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return what the algorithm suggests, as a point of the user's space."""
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
            return params  # no point of its space, nor of the user's, as whoever asked will tell


class HistoryView:
    """A history with other params: each is translated when it is looked at.

    Parameters
    ----------
    history : History
    forward, backward : callable
        From its params to those that are shown, and back. ``forward`` raises KeyError or ValueError
        for what can't be shown: such trials are shown without params.
    judge : callable, optional
        Gives the objective that a completed trial is shown with, instead of its results.
    """

    def __init__(
        self,
        history: History,
        forward: Callable[[Params], Params],
        backward: Callable[[Params], Params],
        judge: Callable[[Trial], float | None] | None = None,
    ) -> None:
        self._history = history
        self._judge = judge
        self._forward = forward
        self._backward = backward
        self.trials = _Shown(history.trials, self._show)
        self.learned = _Shown(history.learned, self._show)
        self.completions: Sequence[int] = history.completions
        self.undone: int = history.undone

    def pending(self) -> list[Trial]:
        """Return the trials that are neither completed nor broken."""
        return [self._show(trial) for trial in self._history.pending()]

    def has(self, params: Params) -> bool:
        """Return whether a trial stands at what ``params`` are in the other history."""
        return self._history.has(self._backward(params))

    def _show(self, trial: Trial) -> Trial:
        try:
            params = self._forward(trial.params)
        except (KeyError, ValueError, IndexError, TypeError):
            params = {}
        if self._judge is None or not trial.results:
            return replace(trial, params=params)
        value = self._judge(trial)
        results = [] if value is None else [{"name": "o", "type": "objective", "value": value}]
        return replace(trial, params=params, results=results)


class _Shown(Sequence[Trial]):
    def __init__(self, trials: Sequence[Trial], show: Callable[[Trial], Trial]) -> None:
        self._trials = trials
        self._show = show

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | list[Trial]:
        if isinstance(index, slice):
            return [self._show(trial) for trial in self._trials[index]]
        return self._show(self._trials[index])

    def __iter__(self) -> Iterator[Trial]:
        return map(self._show, self._trials)
