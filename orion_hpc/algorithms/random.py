"""Random search: each trial is drawn from the priors, independently of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import Params

_FEWEST_TRIES = 1_000
_MOST_TRIES = 100_000
_TRIES_PER_POINT = 20
"""Twenty draws for each of n equally likely points miss a given one with probability e**-20."""


class Random:
    """Draws points of the space, and none twice.

    If a point is the same as an earlier trial's, another is drawn. After many such draws the space
    counts as exhausted, so an improbable point of a small space may be left out.

    Parameters
    ----------
    space : Space
    seed : int, optional
        The seed of the random generator that ``suggest`` gets; by default a random one is recorded.
    """

    cheap = True
    learns = False

    def __init__(self, space: Space, *, seed: int | None = None) -> None:
        self.seed = seed
        self._space = space
        tries = min(_MOST_TRIES, _TRIES_PER_POINT * space.cardinality)
        self._tries = max(_FEWEST_TRIES, int(tries))

    def suggest(self, history: History, number: int, rng: random.Random) -> Params | None:
        """Return the first draw that isn't registered yet, or None after too many that are."""
        for _ in range(self._tries):
            params = self._space.sample(rng)
            if not history.has(params):
                return params
        return None
