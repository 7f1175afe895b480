"""The dimensions of a search space: the values of one hyperparameter and how they are drawn.

A dimension can write its prior; parsing is left to :mod:`orion_hpc.model.prior`. Values are plain
Python: numbers, strings, booleans, None, and nested lists of them if the dimension has a shape.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from numbers import Real as RealNumber
from typing import TYPE_CHECKING, Any, ClassVar

from orion_hpc.errors import ConfigurationError
from orion_hpc.model.distribution import Distribution, Number, written

if TYPE_CHECKING:
    import random

PRECISION = 4
"""Significant digits of a real number, unless its prior sets them or they leave too few values."""

MAX_PRECISION = 17
"""Significant digits of a float; more have no effect."""

_FEWEST_VALUES = 50
"""Values between the quartiles of a prior with which four digits are enough."""

_MANY_VALUES = 5_000
"""Values there otherwise: as many as ``uniform(0, 1)`` has with four digits."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dimension(ABC):
    """Base class of all dimensions.

    Parameters
    ----------
    name : str
        Levels are joined by a dot.
    shape : tuple of int, default ()
        Lengths of the nested lists; () for a single value.
    default : default None
        The value if none is given, with tuples for lists; None for no default.
    """

    type: ClassVar[str]
    name: str
    shape: tuple[int, ...] = ()
    default: Any = None

    @property
    @abstractmethod
    def prior_name(self) -> str:
        """The distribution's name in the language of priors."""

    @abstractmethod
    def interval(self) -> tuple[Any, ...]:
        """Return the least and the greatest value, both inclusive; all values of a categorical."""

    @abstractmethod
    def allowed(self) -> str:
        """Return a description of the allowed values, for messages."""

    @abstractmethod
    def grid(self, n: int) -> list[Any]:
        """Return the distinct values of this dimension in a grid with ``n`` values along it.

        Raises
        ------
        ConfigurationError
            The dimension has a shape.
        """

    @abstractmethod
    def cast(self, value: Any) -> Any:
        """Return a single value (not a list) in the dimension's own type."""

    @abstractmethod
    def _arguments(self) -> list[str]: ...

    @abstractmethod
    def _draw(self, rng: random.Random) -> Any: ...

    @abstractmethod
    def _at(self, share: float) -> Any: ...

    @abstractmethod
    def _allows(self, value: Any) -> bool: ...

    @abstractmethod
    def _count(self) -> Number: ...

    def settled(self) -> Dimension:
        """Return the dimension as a new experiment records it: with every default decided."""
        return self

    @property
    def default_value(self) -> Any:
        """The default, with lists if the dimension has a shape; None if there is none."""
        return _thaw(self.default)

    @property
    def cardinality(self) -> Number:
        """The number of values; infinite for reals."""
        return self._count() ** math.prod(self.shape)

    def sample(self, rng: random.Random | None = None) -> Any:
        """Return a random value drawn from the prior; without ``rng`` not reproducible."""
        if rng is None:
            from random import Random

            rng = Random()
        return _fill(self.shape, lambda: self._draw(rng))

    def at(self, shares: Iterator[float]) -> Any:
        """Return a quantile of the prior: the value below which a share of it lies.

        Takes one of ``shares``, which are in the open interval (0, 1), for each element.
        """
        return _fill(self.shape, lambda: self._at(next(shares)))

    def __contains__(self, value: object) -> bool:
        return _matches(self.shape, value, self._allows)

    def get_prior_string(self) -> str:
        """Return the prior's text. Equal dimensions have the same text; parsing it gives an equal
        dimension."""
        arguments = self._arguments()
        if self.shape:
            shape = self.shape[0] if len(self.shape) == 1 else self.shape
            arguments.append(f"shape={shape}")
        if self.default is not None:
            arguments.append(f"default_value={written(self.default)}")
        return f"{self.prior_name}({', '.join(arguments)})"

    def get_string(self) -> str:
        """Return name and prior as Oríon writes them: ``x~uniform(0, 1)``."""
        return f"{self.name}~{self.get_prior_string()}"

    # By the text, since 1 == True, but they are two choices.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dimension):
            return NotImplemented
        return (self.name, self.get_prior_string()) == (other.name, other.get_prior_string())

    def __hash__(self) -> int:
        return hash((self.name, self.get_prior_string()))

    def _refuse_shape(self) -> None:
        if self.shape:
            raise ConfigurationError(
                f"{self.name} has the shape {self.shape}; gridsearch takes single values only",
                "Write a dimension for each element, or choose the algorithm random.",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Real(Dimension):
    """Real numbers with ``precision`` significant digits (None: all digits of a float).

    ``precision_given`` is False if the prior's text doesn't set it. That isn't part of the text.
    """

    type: ClassVar[str] = "real"
    distribution: Distribution
    precision: int | None = PRECISION
    precision_given: bool = True

    @property
    def prior_name(self) -> str:
        return self.distribution.name

    def settled(self) -> Real:
        # Recorded experiments without a precision keep four digits, so a later default must be
        # written out.
        if self.precision_given:
            return self
        return replace(self, precision=enough_digits(self.distribution), precision_given=True)

    def interval(self) -> tuple[float, float]:
        low, high = self.distribution.support()
        return float(low), float(high)

    def allowed(self) -> str:
        return "a number" + _between(*self.distribution.support())

    def grid(self, n: int) -> list[Any]:
        self._refuse_shape()
        return list(dict.fromkeys(map(self.rounded, self.distribution.grid(n))))

    def cast(self, value: Any) -> float:
        return float(value)

    def rounded(self, value: float) -> float:
        """Return ``value`` inside the interval, with ``precision`` significant digits.

        If rounding takes it out of the interval, because a bound has more digits, the value keeps
        all its digits.
        """
        low, high = self.interval()
        value = min(max(float(value), low), high)
        if self.precision is None:
            return value
        rounded = float(f"{value:.{self.precision - 1}e}")
        return rounded if low <= rounded <= high else value

    def _arguments(self) -> list[str]:
        arguments = self.distribution.arguments()
        if self.precision != PRECISION:
            arguments.append(f"precision={self.precision}")
        return arguments

    def _draw(self, rng: random.Random) -> float:
        return self.rounded(self.distribution.draw(rng))

    def _at(self, share: float) -> float:
        return self.rounded(self.distribution.at(share))

    def _allows(self, value: Any) -> bool:
        low, high = self.distribution.support()
        return _is_number(value) and low <= value <= high

    def _count(self) -> Number:
        return math.inf


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Integer(Dimension):
    """Whole numbers, as its distribution yields only these."""

    type: ClassVar[str] = "integer"
    distribution: Distribution

    @property
    def prior_name(self) -> str:
        return self.distribution.name

    def interval(self) -> tuple[Number, Number]:
        return self.distribution.support()

    def allowed(self) -> str:
        return "a whole number" + _between(*self.interval())

    def grid(self, n: int) -> list[Any]:
        self._refuse_shape()
        return [int(value) for value in self.distribution.grid(n)]

    def cast(self, value: Any) -> int:
        return int(value)

    def _arguments(self) -> list[str]:
        return self.distribution.arguments()

    def _draw(self, rng: random.Random) -> int:
        return int(self.distribution.draw(rng))

    def _at(self, share: float) -> int:
        return int(self.distribution.at(share))

    def _allows(self, value: Any) -> bool:
        low, high = self.interval()
        return _is_number(value) and value == int(value) and low <= value <= high

    def _count(self) -> Number:
        low, high = self.interval()
        return high - low + 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Categorical(Dimension):
    """One of several plain values.

    A choice with probability 0 is never proposed, but an inserted trial may have it.
    """

    type: ClassVar[str] = "categorical"
    choices: tuple[Any, ...]
    probabilities: tuple[float, ...]

    @property
    def categories(self) -> tuple[Any, ...]:
        """The same as ``choices``, as in Oríon."""
        return self.choices

    @property
    def prior_name(self) -> str:
        return "choices"

    def interval(self) -> tuple[Any, ...]:
        return self.choices

    def allowed(self) -> str:
        shown = ", ".join(map(repr, self.choices[:20]))
        return f"one of {shown}" + (", …" if len(self.choices) > 20 else "")

    def grid(self, n: int) -> list[Any]:
        self._refuse_shape()
        pairs = zip(self.choices, self.probabilities, strict=True)
        return [choice for choice, probability in pairs if probability > 0]

    def cast(self, value: Any) -> Any:
        return next(choice for choice in self.choices if same_choice(choice, value))

    def _arguments(self) -> list[str]:
        if len(set(self.probabilities)) == 1:
            return [written(self.choices)]
        pairs = zip(self.choices, self.probabilities, strict=True)
        return ["{" + ", ".join(f"{written(c)}: {written(p)}" for c, p in pairs) + "}"]

    def _draw(self, rng: random.Random) -> Any:
        return self._at(rng.random())

    def _at(self, share: float) -> Any:
        mark = share * math.fsum(self.probabilities)
        last = None
        for choice, probability in zip(self.choices, self.probabilities, strict=True):
            if probability > 0:
                last = choice
                mark -= probability
                if mark < 0:
                    return choice
        return last  # a rounding error is left

    def _allows(self, value: Any) -> bool:
        return any(same_choice(choice, value) for choice in self.choices)

    def _count(self) -> Number:
        return sum(probability > 0 for probability in self.probabilities)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fidelity(Dimension):
    """How much of a resource a trial gets, for algorithms that start with a little of it.

    It isn't searched: an algorithm that doesn't use fidelities gives every trial the maximum.
    """

    type: ClassVar[str] = "fidelity"
    low: int
    high: int
    base: int = 2

    @property
    def prior_name(self) -> str:
        return "fidelity"

    @property
    def default_value(self) -> int:
        return self.high

    def interval(self) -> tuple[int, int]:
        return self.low, self.high

    def allowed(self) -> str:
        return "a number" + _between(*self.interval())

    def grid(self, n: int) -> list[Any]:
        return [self.high]

    def cast(self, value: Any) -> Any:
        return value

    def _arguments(self) -> list[str]:
        base = [] if self.base == 2 else [f"base={self.base}"]
        return [str(self.low), str(self.high), *base]

    def _draw(self, rng: random.Random) -> int:
        return self.high

    def _at(self, share: float) -> int:
        return self.high

    def _allows(self, value: Any) -> bool:
        return _is_number(value) and self.low <= value <= self.high

    def _count(self) -> Number:
        return 1


def enough_digits(distribution: Distribution) -> int:
    """Return the default precision: four digits, or more where these leave too few values.

    In ``uniform(10000, 10001)`` four digits would leave a single one; it gets nine, so that the
    values are as close as those of ``uniform(0, 1)``.
    """
    low, high = float(distribution.at(0.25)), float(distribution.at(0.75))
    width, size = high - low, max(abs(low), abs(high))
    if not math.isfinite(width):
        return PRECISION
    if width <= 0:
        return MAX_PRECISION
    # The last of n digits is worth 10 ** (exponent + 1 - n).
    exponent = math.floor(math.log10(size))

    def needed(values: int) -> int:
        return math.ceil(exponent + 1 + math.log10(values) - math.log10(width) - 1e-9)

    if needed(_FEWEST_VALUES) <= PRECISION:
        return PRECISION
    return min(needed(_MANY_VALUES), MAX_PRECISION)


def same_choice(one: Any, other: Any) -> bool:
    """Return whether two choices are equal: 1 equals 1.0, but not True."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def freeze(value: Any) -> Any:
    """Return ``value`` with tuples in place of lists, at all levels."""
    return tuple(map(freeze, value)) if isinstance(value, list | tuple) else value


def _thaw(value: Any) -> Any:
    return [_thaw(element) for element in value] if isinstance(value, tuple) else value


def _fill(shape: tuple[int, ...], draw: Callable[[], Any]) -> Any:
    return [_fill(shape[1:], draw) for _ in range(shape[0])] if shape else draw()


def _matches(shape: tuple[int, ...], value: Any, allows: Callable[[Any], bool]) -> bool:
    if not shape:
        return not isinstance(value, list | tuple) and allows(value)
    if not isinstance(value, list | tuple) or len(value) != shape[0]:
        return False
    return all(_matches(shape[1:], element, allows) for element in value)


def _is_number(value: Any) -> bool:
    """Return whether it is a finite real number, including numpy's, but not True or False."""
    if isinstance(value, bool) or not isinstance(value, RealNumber):
        return False
    return isinstance(value, Integral) or math.isfinite(value)


def _between(low: Number, high: Number) -> str:
    if math.isinf(low):
        return "" if math.isinf(high) else f" of at most {written(high)}"
    return f" from {written(low)}" + ("" if math.isinf(high) else f" to {written(high)}")
