"""Asynchronous successive halving: many trials begin with little of the fidelity, few get all.

Nobody ever waits for the slowest trial, so this is the one for many workers.
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
    from orion_hpc.model.trial import Trial

_Key = tuple[float, int]
"""A completed trial: its objective and its number."""


@dataclass(slots=True)
class _Rung:
    """The completed trials of a level, best first, and those that nobody has promoted."""

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
        """Return the trial to be promoted: the best one left, if it is among the best
        ``1 / factor``."""
        if self.left and bisect_left(self.done, self.left[0]) < int(len(self.done) / factor):
            return self.left[0][1]
        return None


class Asha:
    """Promotes a trial to the next rung as soon as it is among the best of its own.

    A promotion is a new trial: the same hyperparameters with more of the fidelity. It starts with a
    copy of the working directory of the one before, so it can go on from its checkpoint.

    Parameters
    ----------
    space : Space
        With a fidelity.
    seed : int, optional
        Kept for the record; the generator that ``suggest`` is given comes of it.
    num_rungs : int, optional
        Levels of the fidelity; by default as many as the reduction factor allows.
    num_brackets : int, default 1
        How many different levels trials may begin at, from the lowest. With one, good trials that
        begin slowly are given up; the others are for them.
    reduction_factor : float, optional
        Of as many trials one goes on; by default the fidelity's base.
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
        # As many trials for a bracket as Hyperband would give it.
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
        """Raise ConfigurationError unless the options have their forms."""
        if num_rungs is not None:
            check_count("num_rungs", num_rungs, "4, or leave it out", most=1_000)
        check_count("num_brackets", num_brackets, "1")
        fidelity_levels.check_factor(reduction_factor)
        fidelity_levels.check_sampler(sampler)

    def advice(self, max_trials: int) -> list[str]:
        """Return what there is to say of a search with so many trials."""
        count = sum(int(self._factor**place) for place in range(len(self._levels)))
        if max_trials >= count:
            return []
        return [
            f"the first trial with {self._name}: {self._levels[-1]} comes after about {count} "
            f"trials, and max_trials is {max_trials}"
        ]

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return a promotion, from the highest rung down, else a new point."""
        self._update(history)
        if promotion := self._promotion(history):
            return promotion
        first = 0
        if len(self._weights) > 1:
            mark = rng.random() * sum(self._weights)
            while first < len(self._weights) - 1 and mark >= self._weights[first]:
                mark -= self._weights[first]
                first += 1
        # In a finite space one level may be used up before the others.
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
                    # Somebody inserted that very point, or it came up in another bracket.
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

    def _place(self, trial: Trial, history: History) -> None:
        """Find the bracket and the rung of a trial; a point that is on no level has none."""
        level = trial.params.get(self._name)
        if level not in self._levels:
            return
        place = self._levels.index(level)
        # Of one that came without its parent, the bracket can only be guessed.
        bracket = min(place, len(self._weights) - 1)
        if trial.parent is not None and trial.parent in self._places:
            bracket = self._places[trial.parent][0]
            self._mark(history.trials[trial.parent])
        self._places[trial.number] = (bracket, place)

    def _mark(self, trial: Trial) -> None:
        self._promoted.add(trial.number)
        bracket, place = self._places[trial.number]
        if trial.objective is not None:
            self._brackets[bracket][place].drop((trial.objective, trial.number))
