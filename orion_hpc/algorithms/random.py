"""Random search: each trial is drawn from the priors, whatever became of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial import Params

_FEWEST_TRIES = 1_000
_MOST_TRIES = 100_000
_TRIES_PER_POINT = 20
"""Twenty draws for each of n equally likely points miss a given one with probability e**-20."""


class Random:
    """Draws points of the space and never one twice.

    A point with the params of an earlier trial is drawn again. If that goes on for long, the space
    counts as exhausted. In a small space with an improbable choice a point may so be left out.

    Parameters
    ----------
    space : Space
    seed : int, optional
        Kept for the record; the generator that ``suggest`` is given comes of it.
    """

    cheap = True
    learns = False

    def __init__(self, space: Space, *, seed: int | None = None) -> None:
        self.seed = seed
        self._space = space
        tries = min(_MOST_TRIES, _TRIES_PER_POINT * space.cardinality)
        self._tries = max(_FEWEST_TRIES, int(tries))

    def suggest(self, history: History, number: int, rng: random.Random) -> Params | None:
        """Return the first draw that isn't registered yet; None after too many that are."""
        for _ in range(self._tries):
            params = self._space.sample(rng)
            if not history.has(params):
                return params
        return None
