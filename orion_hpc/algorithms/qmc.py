"""Quasi-random search: points of a low-discrepancy sequence, spaced more evenly than random ones.

The sequences are those of :mod:`scipy.stats.qmc`. Point ``n`` of a sequence depends on the seed
alone, so the points are the same with any number of workers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from orion_hpc.algorithms.libraries import missing_library
from orion_hpc.algorithms.options import check_flag
from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.model.dimension import Dimension

if TYPE_CHECKING:
    import random

    from orion_hpc.algorithms.base import History
    from orion_hpc.model.space import Space
    from orion_hpc.model.trial_record import Params

_KINDS = ("sobol", "halton")
_TRIES = 10_000
_AT_ONCE = 64
_MOST_SOBOL = 21_201
"""The number of dimensions for which scipy has direction numbers."""


class Qmc:
    """Suggests the points of a sequence in order, each coordinate transformed by its prior.

    A point that was tried is skipped; after many in a row the space counts as exhausted.

    Parameters
    ----------
    space : Space
    seed : int, optional
        Seed of the scrambling; by default 0.
    qmc_type : {"sobol", "halton"}, default "sobol"
        Sobol' points are most even if their number is a power of two, Halton points at any number.
    scramble : bool, default True
        Whether the sequence is randomised, which also moves its first point out of a corner.

    References
    ----------
    A. B. Owen, "Scrambling Sobol' and Niederreiter-Xing points", J. Complexity 14 (1998) 466-489.
    """

    cheap = True
    learns = False

    def __init__(
        self,
        space: Space,
        *,
        seed: int | None = None,
        qmc_type: Literal["sobol", "halton"] = "sobol",
        scramble: bool = True,
    ) -> None:
        self.check(qmc_type=qmc_type, scramble=scramble)
        self._space = space
        self._count = sum(_size(dimension) for dimension in space.values())
        self._seed, self._kind, self._scramble = seed or 0, qmc_type, scramble
        if qmc_type == "sobol" and self._count > _MOST_SOBOL:
            raise ConfigurationError(
                f"the space has {self._count:,} dimensions; Sobol' points have {_MOST_SOBOL:,}",
                "Write qmc_type: halton.",
            )
        self._points: list[list[float]] = []
        self._start()

    @staticmethod
    def check(*, qmc_type: Any, scramble: Any, seed: Any = None) -> None:
        """Raise ConfigurationError unless the values of the options are valid."""
        if qmc_type not in _KINDS:
            raise ConfigurationError(
                f"qmc_type is {qmc_type!r:.60}{did_you_mean(str(qmc_type), _KINDS)}",
                f"There are: {', '.join(_KINDS)}.",
            )
        check_flag("scramble", scramble)

    def suggest(self, history: History, number: int, rng: random.Random) -> Params | None:
        """Return the first point at or after index ``number`` that isn't registered yet."""
        for place in range(number, number + _TRIES):
            shares = iter(self._point(place))
            params = {name: one.at(shares) for name, one in self._space.items()}
            if not history.has(params):
                return params
        return None

    def _start(self) -> None:
        try:
            from numpy.random import PCG64, Generator
            from scipy.stats import qmc
        except ImportError as error:
            raise missing_library("qmc", error, "search") from None
        made: Any = qmc.Sobol if self._kind == "sobol" else qmc.Halton
        options = {"d": max(1, self._count), "scramble": self._scramble}
        generator = Generator(PCG64(_own_seed(self._seed)))
        try:
            self._engine = made(**options, rng=generator)
        except TypeError:  # scipy before 1.15
            self._engine = made(**options, seed=generator)

    def _point(self, place: int) -> list[float]:
        while len(self._points) <= place:
            # scipy warns if the first draw of a Sobol' engine isn't a power of two.
            more = max(_AT_ONCE, 1 << max(0, place - len(self._points)).bit_length())
            self._points += [
                [min(max(share, 1e-12), 1 - 1e-12) for share in row]
                for row in self._engine.random(more).tolist()
            ]
        return self._points[place]


def _own_seed(seed: int) -> Any:
    """Return a seed whose first child is ``seed`` itself.

    Of a generator that it is given, scipy uses a child. An integer gives other points for each of
    its two spellings of the argument, so it can't be passed; experiments that exist have those of
    ``default_rng(seed)``.
    """
    from numpy.random import SeedSequence
    from numpy.random.bit_generator import ISpawnableSeedSequence

    class OwnSeed(ISpawnableSeedSequence):
        def generate_state(self, n_words: int, dtype: Any = "uint32") -> Any:
            return SeedSequence(seed).generate_state(n_words, dtype)

        def spawn(self, n_children: int) -> list[Any]:
            return [SeedSequence(seed) for _ in range(n_children)]

    return OwnSeed()


def _size(dimension: Dimension) -> int:
    return math.prod(dimension.shape)
