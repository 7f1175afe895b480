"""The distributions of ``scipy.stats`` that aren't built in, by their names there.

Imported only when a prior uses such a distribution, since the import of scipy takes half a second.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from orion_hpc.errors import ConfigurationError
from orion_hpc.model.distribution import Number, quantiles, written

if TYPE_CHECKING:
    import random

_TRIES = 100
_FAR = 100_000


class ScipyMissing(ImportError):
    """scipy isn't installed, so its distributions aren't available."""


@cache
def _distributions() -> dict[str, Any]:
    try:
        from scipy import stats
    except ImportError as error:
        raise ScipyMissing(str(error)) from error
    kinds = (stats.rv_continuous, stats.rv_discrete)
    return {name: value for name, value in vars(stats).items() if isinstance(value, kinds)}


def names() -> list[str]:
    """Return the names of the distributions, sorted.

    Raises
    ------
    ScipyMissing
    """
    return sorted(_distributions())


def parameters(name: str) -> list[str]:
    """Return the names of a distribution's parameters, in the order of positional arguments."""
    distribution = _distributions()[name]
    shapes = [shape.strip() for shape in (distribution.shapes or "").split(",") if shape.strip()]
    return [*shapes, "loc"] if is_discrete(name) else [*shapes, "loc", "scale"]


def is_discrete(name: str) -> bool:
    """Return whether the distribution yields whole numbers."""
    from scipy import stats

    return isinstance(_distributions()[name], stats.rv_discrete)


@dataclass(frozen=True, slots=True)
class Scipy:
    """A distribution of ``scipy.stats`` with its arguments."""

    name: str
    settings: tuple[tuple[str, Number], ...]
    bounds: tuple[Number, Number]

    def arguments(self) -> list[str]:
        return [f"{name}={written(value)}" for name, value in self.settings]

    def support(self) -> tuple[Number, Number]:
        return self.bounds

    def draw(self, rng: random.Random) -> Number:
        import numpy as np

        generator = np.random.default_rng(rng.getrandbits(128))
        for _ in range(_TRIES):
            value = _quietly(
                _distributions()[self.name].rvs, random_state=generator, **dict(self.settings)
            )
            if math.isfinite(value):
                return self._plain(value)
        raise ConfigurationError(
            f"scipy drew nothing finite from {self.name}({', '.join(self.arguments())})",
            "Choose other arguments, or bounds that make sense with loguniform.",
        )

    def at(self, share: float) -> Number:
        value = _quietly(_distributions()[self.name].ppf, share, **dict(self.settings))
        return self._plain(value)

    def share(self, value: Number) -> float:
        distribution, settings = _distributions()[self.name], dict(self.settings)
        below = float(_quietly(distribution.cdf, value, **settings))
        if is_discrete(self.name):
            return (float(_quietly(distribution.cdf, value - 1, **settings)) + below) / 2
        return below

    def grid(self, n: int) -> list[Number]:
        distribution, settings = _distributions()[self.name], dict(self.settings)
        shares = quantiles(n)
        if is_discrete(self.name) and math.isfinite(self.bounds[0]):
            # Where scipy has no formula, it sums up one probability after the other, and a heavy
            # tail (zipf) would fill the memory.
            far = self.bounds[0] + _FAR
            if far < self.bounds[1] and _quietly(distribution.cdf, far, **settings) < shares[-1]:
                raise ConfigurationError(
                    f"{self.name}({', '.join(self.arguments())}) reaches too far for a grid",
                    "Choose the algorithm random, or a prior with bounds such as randint.",
                )
        values = (_quietly(distribution.ppf, share, **settings) for share in shares)
        return list(dict.fromkeys(self._plain(value) for value in values if math.isfinite(value)))

    def _plain(self, value: Any) -> Number:
        return int(value) if is_discrete(self.name) else float(value)


def build(name: str, settings: Mapping[str, Number]) -> Scipy:
    """Return the distribution, after a test of its arguments.

    Raises
    ------
    ValueError
        scipy doesn't take these arguments.
    """
    order: Sequence[str] = parameters(name)
    distribution = _distributions()[name]
    # Above 2**53 numpy would use object arrays for the integers.
    plain = {
        key: float(settings[key]) if abs(settings[key]) > 2**53 else settings[key]
        for key in order
        if key in settings
    }
    try:
        low, high = (float(bound) for bound in _quietly(distribution.support, **plain))
        if math.isnan(low) or math.isnan(high) or not low < high:
            raise ValueError("they are out of its domain")
        if is_discrete(name):
            low, high = (int(bound) if math.isfinite(bound) else bound for bound in (low, high))
        built = Scipy(name, tuple(plain.items()), (low, high))
        import random

        built.draw(random.Random(0))
    except Exception as error:  # for wrong arguments, scipy and numpy raise a dozen types
        reason = getattr(error, "message", None) or error
        raise ValueError(f"{name} can't be drawn from with these arguments ({reason})") from error
    return built


def _quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call numpy without its warnings; what they are about shows in the result."""
    import numpy as np

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)
