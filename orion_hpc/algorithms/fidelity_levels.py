"""Levels of the fidelity, and suggestion of new points at a level.

For the algorithms that start many trials at a low fidelity and continue the best. Which trials are
continued is left to them.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from orion_hpc.algorithms import factory
from orion_hpc.algorithms.base import WAIT, Algorithm, Branch, History, Wait
from orion_hpc.algorithms.space_adapter import HistoryView
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.dimension import Fidelity
from orion_hpc.model.trial_record import BROKEN, Params, TrialRecord

if TYPE_CHECKING:
    import random

    from orion_hpc.model.space import Space


def fidelity_of(space: Space) -> Fidelity:
    """Return the fidelity dimension of a space that has one."""
    name = space.fidelity
    assert name is not None
    dimension = space[name]
    assert isinstance(dimension, Fidelity)
    return dimension


def levels(fidelity: Fidelity, factor: float, count: int | None) -> list[int]:
    """Return the levels of the fidelity, ascending, each about ``factor`` times the one before.

    Parameters
    ----------
    fidelity : Fidelity
    factor : float
        Above 1.
    count : int, optional
        How many levels; by default as many as fit.

    Raises
    ------
    ConfigurationError
        The fidelity has fewer levels than ``count``.
    """
    low, high = fidelity.low, fidelity.high
    if count is None:
        return _spread(low, high, 1 + int(math.log(high / low) / math.log(factor) + 1e-9))
    found = _spread(low, high, count)
    if len(found) < count:
        most = max(n for n in range(1, count) if len(_spread(low, high, n)) == n)
        raise ConfigurationError(
            f"num_rungs is {count}, but {fidelity.name} from {low} to {high} has no such levels, "
            "each higher than the one before",
            f"Write num_rungs: {most} or less, or leave it out.",
        )
    return found


def _spread(low: int, high: int, count: int) -> list[int]:
    """Return ``count`` levels spaced evenly in logarithm, or fewer if some are equal."""
    if count == 1:
        return [high]
    steps = (low * (high / low) ** (step / (count - 1)) for step in range(count))
    return sorted({min(max(round(step), low), high) for step in steps})


def reduction_factor(fidelity: Fidelity, given: float | None) -> float:
    """Return ``given``, or the fidelity's base by default.

    Raises
    ------
    ConfigurationError
        The base is 1, and no factor is given.
    """
    if given is not None:
        return given
    if fidelity.base <= 1:
        raise ConfigurationError(
            f"{fidelity.name} has the base {fidelity.base}, so its levels don't grow",
            f"Write fidelity({fidelity.low}, {fidelity.high}, base=3).",
        )
    return fidelity.base


def check_factor(value: Any) -> None:
    """Raise ConfigurationError unless ``value`` is None or a number of at least 2."""
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not 2 <= value < math.inf
    ):
        raise ConfigurationError(
            f"reduction_factor is {value!r:.60}, not a number of at least 2",
            "Write reduction_factor: 3, or leave it out for the base of the fidelity.",
        )


def check_sampler(sampler: Any) -> None:
    """Raise ConfigurationError unless ``sampler`` is an algorithm that needs no fidelity."""
    if not isinstance(sampler, str | Mapping):
        raise ConfigurationError(
            f"sampler is {sampler!r:.60}, not an algorithm", "Write sampler: random, or tpe."
        )
    (name,) = factory.normalise(sampler)
    if factory.needs_fidelity(name):
        raise ConfigurationError(
            f"sampler is {name}, which needs a fidelity itself", "Write sampler: random, or tpe."
        )


class LevelSampler:
    """Suggests points at a level, by an algorithm that ignores the fidelity.

    An algorithm that learns gets all completed trials as if they were at the highest fidelity. A
    trial of a higher level counts as better than any of a lower one; within a level the objective
    decides. A failed trial counts as far below the lowest level. So a model uses trials that
    weren't continued, doesn't confuse the results of different levels, and learns from the first
    rung on.

    An algorithm that doesn't learn goes through the space separately at each level, and may keep
    its position, so each level has its own instance.

    Parameters
    ----------
    sampler : str or dict
        The algorithm's configuration.
    space : Space
    levels : sequence of int
        All levels, ascending.
    """

    def __init__(self, sampler: str | dict[str, Any], space: Space, levels: Sequence[int]) -> None:
        algorithm = factory.make_algorithm(sampler, space)
        self._algorithms: defaultdict[int, Algorithm] = defaultdict(
            lambda: factory.make_algorithm(sampler, space)
        )
        self._algorithms[levels[0]] = algorithm
        self._fidelity = fidelity_of(space)
        self._levels = levels
        self.cheap = algorithm.cheap
        self._learns = getattr(algorithm, "learns", True)

    def draw(
        self, history: History, number: int, rng: random.Random, level: int
    ) -> Params | Literal[Wait.WAIT] | None:
        """Return a new point at ``level``, ``WAIT``, or None if there is no further one."""
        view = levelled(history, self._fidelity, level, self._judged if self._learns else None)
        one = self._algorithms[self._levels[0] if self._learns else level]
        found = one.suggest(view, number, rng)
        if found is None or found is WAIT:
            return found
        # Only the rungs decide which trial is continued.
        params = found.params if isinstance(found, Branch) else found
        return at_level(params, self._fidelity.name, level)

    def _judged(self, trial: TrialRecord) -> float | None:
        if trial.status == BROKEN:
            # Far enough for a Gaussian process, to which promoted points look noisy.
            return 2.0 * len(self._levels)
        objective, level = trial.objective, trial.params.get(self._fidelity.name)
        if objective is None or not isinstance(level, int | float):
            return None
        below = len(self._levels) - bisect_right(self._levels, level)
        # Between -1/2 and 1/2, in the same order.
        return below + math.copysign(math.log1p(abs(objective)) / _MOST, objective)


_MOST = 2 * math.log(sys.float_info.max)


def at_level(params: Params, name: str, level: int) -> Params:
    """Return ``params`` with the fidelity ``name`` at ``level``."""
    return {key: level if key == name else value for key, value in params.items()}


def raised(trial: TrialRecord, name: str, level: int) -> Branch:
    """Return the point that continues ``trial`` at a higher level of the fidelity ``name``."""
    return Branch(at_level(trial.params, name, level), trial.number)


def levelled(
    history: History,
    fidelity: Fidelity,
    level: int,
    judge: Callable[[TrialRecord], float | None] | None = None,
) -> HistoryView:
    """Return a view of the history in which all trials have the highest fidelity.

    A point counts as new if no trial has it at ``level``.
    """
    name, most = fidelity.name, fidelity.high
    return HistoryView(
        history,
        forward=lambda params: at_level(params, name, most),
        backward=lambda params: at_level(params, name, level),
        judge=judge,
    )
