"""Validation of an algorithm's suggestions: points of the space that are new.

A model suggests the same point again where it expects the best result, and the journal would refuse
it every time. So the model is called again, and after several such points one is drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NoReturn

from orion_hpc.algorithms.base import (
    WAIT,
    Advise,
    Algorithm,
    Branch,
    History,
    Suggestion,
    no_advice,
)
from orion_hpc.algorithms.random import Random
from orion_hpc.errors import AlgorithmError, ConfigurationError, OrionHpcError
from orion_hpc.model.dimension import Categorical
from orion_hpc.model.trial_record import Params
from orion_hpc.plugins import describe_error

if TYPE_CHECKING:
    import random

    from orion_hpc.model.space import Space

_TRIES = 3
"""Calls for one suggestion; each of them may be slow."""


class ValidatedAlgorithm:
    """Calls an algorithm and validates its suggestions.

    Parameters
    ----------
    name : str
        The algorithm's name in the configuration, for errors.
    algorithm : Algorithm
    space : Space
        The user's space.
    """

    def __init__(self, name: str, algorithm: Algorithm, space: Space) -> None:
        self._name = name
        self._algorithm = algorithm
        self._space = space
        self._random = Random(space)
        self._never = {
            key: [c for c, p in zip(one.choices, one.probabilities, strict=True) if not p]
            for key, one in space.items()
            if isinstance(one, Categorical) and 0 in one.probabilities
        }
        self.cheap = algorithm.cheap
        self.learns = getattr(algorithm, "learns", True)
        self.advice: Advise = getattr(algorithm, "advice", no_advice)

    def suggest(self, history: History, number: int, rng: random.Random) -> Suggestion:
        """Return the algorithm's suggestion, or a random point if it only suggests known ones.

        Raises
        ------
        AlgorithmError
            The suggestion isn't a point of the space or has another form, or the algorithm failed.
        """
        for _ in range(_TRIES):
            try:
                found: Any = self._algorithm.suggest(history, number, rng)
            except OrionHpcError:
                raise
            except Exception as error:
                raise AlgorithmError(
                    f"algorithm {self._name} failed at trial {number}: {describe_error(error)}"
                ) from error
            if found is WAIT and number == len(history.trials) and not history.pending():
                self._refuse("to wait", "No trial is pending that it could wait for.")
            if found is None or found is WAIT:
                return found
            params, parent = found if isinstance(found, Branch) else (found, None)
            if not isinstance(params, Mapping):
                self._refuse(f"what is no point: {params!a:.80}", "It must map names to values.")
            if parent is not None and not (
                isinstance(parent, Integral)
                and not isinstance(parent, bool)
                and 0 <= parent < min(number, len(history.trials))
            ):
                self._refuse(
                    f"to continue {parent!a:.80}, which isn't the number of a trial",
                    f"There are {len(history.trials)}, from 0.",
                )
            try:
                point = self._space.point(params)
            except ConfigurationError as error:
                self._refuse(f"what isn't in the search space: {error.message}", error.hint or "")
            if not history.has(point) and not self._is_never(point):
                return point if parent is None else Branch(point, int(parent))
        return self._random.suggest(history, number, rng)

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise AlgorithmError(f"algorithm {self._name} suggested {what}", hint) from None

    def _is_never(self, params: Params) -> bool:
        return any(
            value in choices
            for name, choices in self._never.items()
            for value in _elements(params[name], self._space[name].shape)
        )


def _elements(value: Any, shape: Sequence[int]) -> Iterator[Any]:
    """Yield the elements of a value of this shape; a choice may itself be a list."""
    if not shape:
        yield value
        return
    for inner in value:
        yield from _elements(inner, shape[1:])
