"""Sees to it that an algorithm's points are of the space and new, whoever wrote it.

A model proposes a point for the second time where it believes the best to be, and the journal would
refuse it for ever. Such a proposal is made again, and at last drawn at random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orion_hpc.algorithms.base import WAIT, Algorithm, Branch, History, Suggestion
from orion_hpc.algorithms.random import Random
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.dimension import Categorical
from orion_hpc.model.trial import Params

if TYPE_CHECKING:
    import random

    from orion_hpc.model.space import Space

_TRIES = 3
"""Each may take a model's whole time."""


class Guarded:
    """Asks ``algorithm``, which the user knows as ``name``."""

    def __init__(self, name: str, algorithm: Algorithm, space: Space) -> None:
        self._name = name
        self._algorithm = algorithm
        self._space = space
        self._random = Random(space)
        self._never = {
            key: [c for c, p in zip(one.choices, one.probabilities, strict=True) if not p]
            for key, one in space.items()
            if isinstance(one, Categorical) and not one.shape and 0 in one.probabilities
        }
        self.cheap = algorithm.cheap
        self.learns = getattr(algorithm, "learns", True)
        self.n_initial_points = getattr(algorithm, "n_initial_points", 0)

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return the algorithm's suggestion, or a new point if it has none.

        Raises
        ------
        ConfigurationError
            It isn't of the space.
        """
        for _ in range(_TRIES):
            found = self._algorithm.suggest(history, number, rng)
            if found is None or found is WAIT:
                return found
            params = found.params if isinstance(found, Branch) else found
            try:
                self._space.check(params)
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"algorithm {self._name} suggested what isn't in the search space: "
                    f"{error.message}",
                    f"This is a fault of the algorithm. {error.hint or ''}".strip(),
                ) from None
            if not history.has(params) and not self._is_never(params):
                return found
        return self._random.suggest(history, number, rng)

    def _is_never(self, params: Params) -> bool:
        return any(params[name] in choices for name, choices in self._never.items())
