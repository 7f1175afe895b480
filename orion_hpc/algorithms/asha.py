"""Asynchronous successive halving: many trials start at a low fidelity, few reach the highest.

No worker ever waits for the slowest trial, so it suits many workers.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms import fidelity_levels
from orion_hpc.algorithms.base import WAIT
from orion_hpc.algorithms.options import check_count
from orion_hpc.errors import ConfigurationError

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import Branch, History, Suggestion
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import TrialRecord

_Key = tuple[float, int]
"""A completed trial: its objective (smaller is better) and its number."""


@dataclass(slots=True)
class _Rung:
    """The completed trials of a level, best first, and those that aren't promoted yet."""

    done: list[_Key] = field(default_factory=list)
    left: list[_Key] = field(default_factory=list)

    def add(self, key: _Key, promoted: bool) -> None:
        insort(self.done, key)
        if not promoted:
            insort(self.left, key)

    def drop(self, key: _Key) -> None:
        place = bisect_left(self.left, key)
        if place < len(self.left) and self.left[place] == key:
            del self.left[place]

    def candidate(self, factor: float) -> int | None:
        """Return the number of the best trial not promoted yet, if it is among the best
        ``1 / factor`` of all, or None."""
        if self.left and bisect_left(self.done, self.left[0]) < int(len(self.done) / factor):
            return self.left[0][1]
        return None


class Asha:
    """Promotes a trial to the next rung as soon as it is among the best of its rung.

    A promotion is a new trial: the same hyperparameters at a higher fidelity. It starts with a copy
    of the working directory of the promoted trial, so it can continue from the checkpoint there.

    Parameters
    ----------
    space : Space
        With a fidelity.
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    num_rungs : int, optional
        Levels of the fidelity; by default as many as the reduction factor allows.
    num_brackets : int, default 1
        At how many levels trials may start, counted from the lowest. With a single one, trials that
        improve slowly at first are never continued; the others give them a chance.
    reduction_factor : float, optional
        One of so many trials is promoted; by default the fidelity's base.
    sampler : str or dict, default "random"
        The algorithm that draws new points.

    References
    ----------
    L. Li et al., "A system for massively parallel hyperparameter tuning", MLSys 2020.
    """

    needs_fidelity = True
    learns = True

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        num_rungs: int | None = None,
        num_brackets: int = 1,
        reduction_factor: float | None = None,
        sampler: str | dict[str, Any] = "random",
    ) -> None:
        self.check(
            num_rungs=num_rungs,
            num_brackets=num_brackets,
            reduction_factor=reduction_factor,
            sampler=sampler,
        )
        fidelity = fidelity_levels.fidelity_of(space)
        self._name = fidelity.name
        self._factor = fidelity_levels.reduction_factor(fidelity, reduction_factor)
        self._levels = fidelity_levels.levels(fidelity, self._factor, num_rungs)
        if num_brackets > len(self._levels):
            raise ConfigurationError(
                f"num_brackets is {num_brackets}, but there are {len(self._levels)} rungs: "
                f"{', '.join(map(str, self._levels))}",
                f"Write num_brackets: {len(self._levels)}, or less.",
            )
        # Each bracket gets the share of trials that Hyperband gives it.
        self._weights = [
            self._factor**-first * len(self._levels) / (len(self._levels) - first)
            for first in range(num_brackets)
        ]
        self._sampler = fidelity_levels.LevelSampler(sampler, space, self._levels)
        self.cheap = self._sampler.cheap
        self._undone: int | None = None

    @staticmethod
    def check(
        *,
        num_rungs: Any,
        num_brackets: Any,
        reduction_factor: Any,
        sampler: Any,
        seed: Any = None,
    ) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        if num_rungs is not None:
            check_count("num_rungs", num_rungs, "4, or leave it out", most=1_000)
        check_count("num_brackets", num_brackets, "1")
        fidelity_levels.check_factor(reduction_factor)
        fidelity_levels.check_sampler(sampler)

    def advice(self, max_trials: int) -> list[str]:
        """Return advice for a search with ``max_trials`` trials."""
        count = sum(int(self._factor**place) for place in range(len(self._levels)))
        if max_trials >= count:
            return []
        return [
            f"the first trial with {self._name}: {self._levels[-1]} comes after about {count} "
            f"trials, and max_trials is {max_trials}"
        ]

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return a promotion, from the highest rung down, or a new point if there is none."""
        self._update(history)
        if promotion := self._promotion(history):
            return promotion
        first = 0
        if len(self._weights) > 1:
            mark = rng.random() * sum(self._weights)
            while first < len(self._weights) - 1 and mark >= self._weights[first]:
                mark -= self._weights[first]
                first += 1
        # In a finite space, one level may be exhausted before the others.
        for level in dict.fromkeys((self._levels[first], *self._levels[: len(self._weights)])):
            point = self._sampler.draw(history, number, rng, level)
            if point is not None:
                return point
        return WAIT if history.pending() else None

    def _promotion(self, history: History) -> Branch | None:
        for place in range(len(self._levels) - 2, -1, -1):
            for bracket in self._brackets:
                if place not in bracket:
                    continue
                while (number := bracket[place].candidate(self._factor)) is not None:
                    trial = history.trials[number]
                    found = fidelity_levels.raised(trial, self._name, self._levels[place + 1])
                    if not history.has(found.params):
                        return found
                    # A user inserted that point, or another bracket has it.
                    self._mark(trial)
        return None

    def _update(self, history: History) -> None:
        if history.undone != self._undone:
            self._undone = history.undone
            self._registered = self._completed = 0
            self._places: dict[int, tuple[int, int]] = {}
            self._promoted: set[int] = set()
            self._brackets: list[dict[int, _Rung]] = [
                {place: _Rung() for place in range(first, len(self._levels))}
                for first in range(len(self._weights))
            ]
        for trial in history.trials[self._registered :]:
            self._place(trial, history)
        self._registered = len(history.trials)
        for number in history.completions[self._completed :]:
            trial = history.trials[number]
            found, objective = self._places.get(number), trial.objective
            if found is not None and objective is not None:
                bracket, place = found
                key = (objective, number)
                self._brackets[bracket][place].add(key, number in self._promoted)
        self._completed = len(history.completions)

    def _place(self, trial: TrialRecord, history: History) -> None:
        """Record the bracket and the rung of a trial; a fidelity that is no level has none."""
        level = trial.params.get(self._name)
        if level not in self._levels:
            return
        place = self._levels.index(level)
        # Without a parent (an inserted trial), the bracket can only be guessed.
        bracket = min(place, len(self._weights) - 1)
        if trial.parent is not None and trial.parent in self._places:
            bracket = self._places[trial.parent][0]
            self._mark(history.trials[trial.parent])
        self._places[trial.number] = (bracket, place)

    def _mark(self, trial: TrialRecord) -> None:
        self._promoted.add(trial.number)
        bracket, place = self._places[trial.number]
        if trial.objective is not None:
            self._brackets[bracket][place].drop((trial.objective, trial.number))
