"""The built-in distributions: draws, quantiles and grids.

Every draw uses only ``random()`` and ``getrandbits()``, whose sequences are the same in all
versions of Python. For ``uniform``, ``gauss`` or ``randrange`` Python doesn't guarantee that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random

Number = int | float


class Distribution(Protocol):
    """A distribution of numbers."""

    @property
    def name(self) -> str:
        """Its name in the language of priors."""

    def arguments(self) -> list[str]:
        """Return its arguments, as text."""

    def support(self) -> tuple[Number, Number]:
        """Return the least and the greatest value, both inclusive; infinite if there is none."""

    def draw(self, rng: random.Random) -> Number:
        """Return a random value. Rounding errors may put it outside the support."""

    def at(self, share: float) -> Number:
        """Return the quantile: the value below which ``share``, from 0 to 1, of it lies."""

    def share(self, value: Number) -> float:
        """Return the share below ``value``, plus half the probability of a whole number itself."""

    def grid(self, n: int) -> list[Number]:
        """Return ``n`` ascending values, or all if there are fewer, that cover the support."""


def written(value: object) -> str:
    """Return the literal of ``value``, a plain scalar or lists of them."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    return repr(value)


def steps(n: int) -> list[float]:
    """Return ``n`` shares from 0 to 1, evenly spaced; the middle for ``n = 1``."""
    return [i / (n - 1) for i in range(n)] if n > 1 else [0.5]


def quantiles(n: int) -> list[float]:
    """Return the middles of ``n`` equal parts: 0 and 1, whose quantiles may be infinite, are
    excluded."""
    return [(i + 0.5) / n for i in range(n)]


@dataclass(frozen=True, slots=True)
class Uniform:
    """Real numbers from ``low`` to ``high``, all equally likely."""

    low: Number
    high: Number

    @property
    def name(self) -> str:
        return "uniform"

    def arguments(self) -> list[str]:
        return [written(self.low), written(self.high)]

    def support(self) -> tuple[Number, Number]:
        return self.low, self.high

    def at(self, share: float) -> float:
        return self.low * (1 - share) + self.high * share

    def share(self, value: Number) -> float:
        return (value - self.low) / (self.high - self.low)

    def draw(self, rng: random.Random) -> float:
        return self.at(rng.random())

    def grid(self, n: int) -> list[Number]:
        return [self.at(share) for share in steps(n)]


@dataclass(frozen=True, slots=True)
class LogUniform:
    """Positive numbers from ``low`` to ``high`` whose logarithm is uniform."""

    low: Number
    high: Number

    @property
    def name(self) -> str:
        return "loguniform"

    def arguments(self) -> list[str]:
        return [written(self.low), written(self.high)]

    def support(self) -> tuple[Number, Number]:
        return self.low, self.high

    def at(self, share: float) -> float:
        return math.exp(math.log(self.low) * (1 - share) + math.log(self.high) * share)

    def share(self, value: Number) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)

    def draw(self, rng: random.Random) -> float:
        return self.at(rng.random())

    def grid(self, n: int) -> list[Number]:
        return [self.at(share) for share in steps(n)]


@dataclass(frozen=True, slots=True)
class Normal:
    """The normal distribution with mean ``loc`` and standard deviation ``scale``."""

    loc: Number
    scale: Number

    @property
    def name(self) -> str:
        return "normal"

    def arguments(self) -> list[str]:
        return [written(self.loc), written(self.scale)]

    def support(self) -> tuple[Number, Number]:
        return -math.inf, math.inf

    def at(self, share: float) -> float:
        from statistics import NormalDist  # takes 20 ms, and few searches need it

        return self.loc + self.scale * NormalDist().inv_cdf(share)

    def share(self, value: Number) -> float:
        from statistics import NormalDist

        return NormalDist().cdf((value - self.loc) / self.scale)

    def draw(self, rng: random.Random) -> float:
        return self.at(rng.random() or 2**-54)  # the quantile of 0 is minus infinity

    def grid(self, n: int) -> list[Number]:
        return [self.at(share) for share in quantiles(n)]


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers from ``low`` to ``high``, both included, all equally likely.

    Exact for any size, unlike a rounded real above 2**53. The upper bound in the text of
    ``randint`` is exclusive (as in numpy and scipy), that of ``uniform`` inclusive.
    """

    name: str
    low: int
    high: int

    def arguments(self) -> list[str]:
        if self.name == "randint":
            return [str(self.low), str(self.high + 1)]
        return [str(self.low), str(self.high), "discrete=True"]

    def support(self) -> tuple[Number, Number]:
        return self.low, self.high

    def draw(self, rng: random.Random) -> int:
        count = self.high - self.low + 1
        bits = count.bit_length() + 64  # the bias is below 2**-64
        return self.low + (count * rng.getrandbits(bits) >> bits)

    def at(self, share: float) -> int:
        return min(self.low + int(share * (self.high - self.low + 1)), self.high)

    def share(self, value: Number) -> float:
        return (value - self.low + 0.5) / (self.high - self.low + 1)

    def grid(self, n: int) -> list[Number]:
        span = self.high - self.low
        if span < n:
            return list(range(self.low, self.high + 1))
        if n == 1:
            return [self.low + span // 2]
        return [self.low + (2 * i * span + n - 1) // (2 * (n - 1)) for i in range(n)]


@dataclass(frozen=True, slots=True)
class Discretised:
    """Whole numbers drawn from a distribution of reals.

    A draw is rounded down, as in Oríon. With two bounds it is scaled first, so that the upper bound
    is as likely as its neighbour.
    """

    real: Distribution

    @property
    def name(self) -> str:
        return self.real.name

    def arguments(self) -> list[str]:
        return [*self.real.arguments(), "discrete=True"]

    def support(self) -> tuple[Number, Number]:
        low, high = self.real.support()
        return (
            math.ceil(low) if math.isfinite(low) else low,
            math.floor(high) if math.isfinite(high) else high,
        )

    def draw(self, rng: random.Random) -> Number:
        return self._whole(self.real.draw(rng))

    def at(self, share: float) -> Number:
        return self._whole(self.real.at(share))

    def share(self, value: Number) -> float:
        (first, last), (low, high) = self.support(), self.real.support()
        middle: float = value + 0.5
        if math.isfinite(low) and math.isfinite(high):
            middle = low + (middle - first) / (last - first + 1) * (high - low)
        return self.real.share(middle)

    def _whole(self, value: Number) -> Number:
        (first, last), (low, high) = self.support(), self.real.support()
        if math.isfinite(low) and math.isfinite(high):
            value = first + (value - low) / (high - low) * (last - first + 1)
        return min(max(math.floor(value), first), last)

    def grid(self, n: int) -> list[Number]:
        first, last = self.support()
        if last - first < n:
            return list(range(int(first), int(last) + 1))
        near = (min(max(round(value), first), last) for value in self.real.grid(n))
        return list(dict.fromkeys(near))
