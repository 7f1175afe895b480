"""Hyperband: rounds of successive halving that start at different levels of the fidelity.

The paper and Oríon wait for a rung to be complete. Here the next round starts at once, so that
workers don't idle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms import fidelity_levels
from orion_hpc.algorithms.base import WAIT, Branch
from orion_hpc.algorithms.options import check_count
from orion_hpc.model.trial_record import BROKEN, COMPLETED

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History, Suggestion
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import Params, TrialRecord


@dataclass(slots=True)
class _Bracket:
    """One round of successive halving.

    ``first`` is the index of its lowest level, ``sizes`` are the numbers of trials that its rungs
    take, ``rungs`` the numbers of those registered.
    """

    first: int
    sizes: list[int]
    rungs: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rungs = [[] for _ in self.sizes]


class Hyperband:
    """Runs brackets, in which trials start at one level and the best of each rung are promoted.

    A promotion starts with a copy of the working directory of the promoted trial.

    Parameters
    ----------
    space : Space
        With a fidelity.
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    repetitions : int, optional
        How many times all brackets are run; by default until ``max_trials``.
    reduction_factor : float, optional
        One of so many trials is promoted; by default the fidelity's base.
    sampler : str or dict, default "random"
        The algorithm that draws new points; with ``tpe`` this resembles BOHB.

    References
    ----------
    L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", JMLR 18
    (2018) 1-52.
    """

    needs_fidelity = True
    learns = True

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        repetitions: int | None = None,
        reduction_factor: float | None = None,
        sampler: str | dict[str, Any] = "random",
    ) -> None:
        self.check(repetitions=repetitions, reduction_factor=reduction_factor, sampler=sampler)
        fidelity = fidelity_levels.fidelity_of(space)
        self._name = fidelity.name
        self._factor = fidelity_levels.reduction_factor(fidelity, reduction_factor)
        self._levels = fidelity_levels.levels(fidelity, self._factor, None)
        self._repetitions = repetitions
        self._sampler = fidelity_levels.LevelSampler(sampler, space, self._levels)
        self.cheap = self._sampler.cheap
        self._places: dict[int, tuple[_Bracket, int]] = {}
        self._begun = 0
        self._open: list[_Bracket] = []
        self._registered = 0

    @staticmethod
    def check(*, repetitions: Any, reduction_factor: Any, sampler: Any, seed: Any = None) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        if repetitions is not None:
            check_count("repetitions", repetitions, "1, or leave it out")
        fidelity_levels.check_factor(reduction_factor)
        fidelity_levels.check_sampler(sampler)

    def advice(self, max_trials: int) -> list[str]:
        """Return advice for a search with ``max_trials`` trials."""
        count = sum(sum(self.sizes(first)) for first in range(len(self._levels)))
        if max_trials >= count:
            return []
        return [f"one round of all brackets takes {count} trials, and max_trials is {max_trials}"]

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return a promotion of the oldest bracket that has one, or a new point."""
        self._update(history)
        for bracket in list(self._open):
            if promotion := self._promotion(bracket, history):
                return promotion
        if filling := self._filling():
            point = self._sampler.draw(history, number, rng, self._levels[filling.first])
            if point is not None:
                return point
            # The space is exhausted, so the bracket continues with fewer trials.
            if promotion := self._promotion(filling, history, exhausted=True):
                return promotion
        return WAIT if history.pending() else None

    def wants(self, history: History, suggestion: Params | Branch) -> bool:
        """Return whether a bracket still has room for a suggestion that was made without the lock.

        Several workers may have suggested a point for the last place of a rung.
        """
        self._update(history)
        if isinstance(suggestion, Branch):
            return True
        filling = self._filling()
        return filling is not None and suggestion[self._name] == self._levels[filling.first]

    def sizes(self, first: int) -> list[int]:
        """Return the sizes of the rungs of a bracket that starts at the level ``first``."""
        more = len(self._levels) - 1 - first
        begin = math.ceil(len(self._levels) / (more + 1) * self._factor**more)
        return [int(begin * self._factor**-step) for step in range(more + 1)]

    def _filling(self) -> _Bracket | None:
        """Return the bracket that takes new points, if there is one."""
        if self._open and len(self._open[-1].rungs[0]) < self._open[-1].sizes[0]:
            return self._open[-1]
        count = len(self._levels)
        if self._repetitions is not None and self._begun >= self._repetitions * count:
            return None
        first = self._begun % count
        self._begun += 1
        self._open.append(_Bracket(first, self.sizes(first)))
        return self._open[-1]

    def _promotion(
        self, bracket: _Bracket, history: History, exhausted: bool = False
    ) -> Branch | None:
        """Return the bracket's next promotion, or None; close it when all its trials have ended."""
        if len(bracket.rungs[0]) < bracket.sizes[0] and not exhausted:
            return None
        for place, members in enumerate(bracket.rungs):
            trials = [history.trials[number] for number in members]
            if any(trial.status not in (COMPLETED, BROKEN) for trial in trials):
                return None
            if place + 1 < len(bracket.rungs) and (
                found := self._outstanding(bracket, place, trials, history)
            ):
                return found
        if not exhausted:
            self._open.remove(bracket)
        return None

    def _outstanding(
        self, bracket: _Bracket, place: int, trials: list[TrialRecord], history: History
    ) -> Branch | None:
        """Return the promotion of the best trial of a rung that isn't promoted yet, or None."""
        above = bracket.rungs[place + 1]
        if len(above) >= bracket.sizes[place + 1]:
            return None
        promoted = {history.trials[number].parent for number in above}
        level = self._levels[bracket.first + place + 1]
        ranked = sorted(
            (trial.objective, trial.number)
            for trial in trials
            if trial.status == COMPLETED and trial.objective is not None
        )
        for _, number in ranked:
            found = fidelity_levels.raised(history.trials[number], self._name, level)
            # A user may have inserted that point; then the next best trial is promoted.
            if number not in promoted and not history.has(found.params):
                return found
        return None

    def _update(self, history: History) -> None:
        for trial in history.trials[self._registered :]:
            self._place(trial)
        self._registered = len(history.trials)

    def _place(self, trial: TrialRecord) -> None:
        level = trial.params.get(self._name)
        if trial.parent is not None:
            found = self._places.get(trial.parent)
            if found is None:
                return
            bracket, place = found
            if place + 1 < len(bracket.rungs):
                bracket.rungs[place + 1].append(trial.number)
                self._places[trial.number] = (bracket, place + 1)
            return
        filling = self._filling()
        if filling is None:
            return
        if level == self._levels[filling.first]:
            filling.rungs[0].append(trial.number)
            self._places[trial.number] = (filling, 0)
