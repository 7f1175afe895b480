"""Parser of priors, in Oríon's language: from ``"loguniform(1e-5, 1)"`` to a dimension.

Holds the distributions, their arguments and the conditions on these. The syntax of calls is left to
:mod:`orion_hpc.model.expression`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orion_hpc.errors import InvalidPrior, did_you_mean
from orion_hpc.model.dimension import (
    MAX_PRECISION,
    PRECISION,
    Categorical,
    Dimension,
    Fidelity,
    Integer,
    Real,
    freeze,
    same_choice,
)
from orion_hpc.model.distribution import (
    Discretised,
    Distribution,
    LogUniform,
    Normal,
    Number,
    Uniform,
    Whole,
)
from orion_hpc.model.expression import MAX_TEXT, Argument, Call, MalformedExpression, Pairs
from orion_hpc.model.expression import parse as parse_call

_MAX_ELEMENTS = 10_000
_TOLERANCE = 1e-4  # for probabilities with four digits
_SHOWN = 76
_SPECIAL = ("discrete", "default_value", "precision", "shape")
_SCIPY_FIXED = {
    "size": "Write shape=… instead of size.",
    "random_state": "The seed is an option of the algorithm.",
    "seed": "The seed is an option of the algorithm.",
}


def parse(name: str, text: str) -> Dimension:
    """Return the dimension ``name`` with the prior ``text``.

    Raises
    ------
    InvalidPrior
        The text isn't a prior. The message says what is wrong and where, the hint how to write it.
    """
    try:
        call = parse_call(text)
        dimension = _build(name, call)
        if len(dimension.get_prior_string()) > MAX_TEXT:  # else it couldn't be parsed again
            raise MalformedExpression(
                f"the prior is longer than {MAX_TEXT:,} characters when written out"
            )
    except MalformedExpression as error:
        raise _invalid(name, text, error) from None
    return dimension


def _invalid(name: str, text: str, error: MalformedExpression) -> InvalidPrior:
    start = min(error.start, len(text))
    line = "".join(c if c.isprintable() else " " for c in text)
    # A window of a long text, with a third of the window before the error.
    first = max(0, min(start - _SHOWN // 3, len(line) - _SHOWN))
    shown = line[first : first + _SHOWN]
    caret = " " * (start - first) + "^" * max(1, min(error.length, first + len(shown) - start))
    pointer = f"  {shown}\n  {caret}" if text.strip() else ""
    hint = "\n".join(filter(None, (pointer, error.hint)))
    quoted = line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
    return InvalidPrior(f"{name}: {error.reason}, at column {start + 1} of {quoted!r}", hint)


def _build(name: str, call: Call) -> Dimension:
    if build := _BUILDERS.get(call.name.value):
        return build(name, call)
    return _scipy(name, call)


@dataclass(frozen=True, slots=True)
class _Arguments:
    """The given arguments of a call, by name."""

    call: Call
    given: dict[str, Argument]

    def number(self, key: str) -> Number:
        value = self.given[key].value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.given[key].wrong(f"{key} isn't a number")
        # 1e3, 1000.0 and 1000 are the same bound, so that equal spaces have the same text.
        small = isinstance(value, float) and abs(value) <= 2**53
        return int(value) if small and value == int(value) else value

    def whole(self, key: str) -> int:
        value = self.number(key)
        if isinstance(value, float):
            raise self.given[key].wrong(f"{key} isn't a whole number")
        return value

    def interval(self, number: Callable[[str], Number]) -> tuple[Number, Number]:
        low, high = number("low"), number("high")
        if low >= high:
            raise self.given["high"].wrong(f"high isn't above low ({low})")
        return low, high

    def flag(self, key: str, default: bool) -> bool:
        value = self.given[key].value if key in self.given else default
        if not isinstance(value, bool):
            raise self.given[key].wrong(f"{key} is neither True nor False")
        return value

    def precision(self) -> int | None:
        if "precision" not in self.given or self.given["precision"].value is None:
            return None if "precision" in self.given else PRECISION
        value = self.whole("precision")
        if not 1 <= value <= MAX_PRECISION:
            hint = "It is the number of significant digits; None keeps them all."
            raise self.given["precision"].wrong(f"precision isn't from 1 to {MAX_PRECISION}", hint)
        return value

    def shape(self) -> tuple[int, ...]:
        if "shape" not in self.given or self.given["shape"].value is None:
            return ()
        value = self.given["shape"].value
        lengths = value if isinstance(value, list) else [value]
        hint = "Write a length, such as shape=3, or several, such as shape=(2, 3)."
        if not all(type(length) is int and length >= 1 for length in lengths):
            raise self.given["shape"].wrong("shape isn't made of positive whole numbers", hint)
        if math.prod(lengths) > _MAX_ELEMENTS or len(lengths) > 8:
            raise self.given["shape"].wrong(
                f"shape has more than {_MAX_ELEMENTS:,} elements or 8 levels", hint
            )
        return tuple(lengths)

    def finish(self, dimension: Dimension) -> Dimension:
        """Return the dimension with its default; raise if that isn't one of its values."""
        default = self.given.get("default_value")
        if default is None or default.value is None:
            return dimension
        if default.value not in dimension:
            elements = f" in lists of shape {dimension.shape}" if dimension.shape else ""
            raise default.wrong(
                "the default isn't a value of the dimension",
                f"It takes {dimension.allowed()}{elements}.",
            )
        return replace(dimension, default=_cast(dimension, freeze(default.value)))


def _cast(dimension: Dimension, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_cast(dimension, element) for element in value)
    return dimension.cast(value)


def _bind(
    call: Call, names: Sequence[str], options: Sequence[str], optional: Sequence[str] = ()
) -> _Arguments:
    """Return the arguments by name: ``names`` by position or keyword, ``options`` by keyword.

    All ``names`` except the ``optional`` ones must be given.
    """
    title = call.name.value
    hint = f"It is written {title}({', '.join(names)})."
    if options:
        hint += f" Keywords it takes: {', '.join(options)}."
    if len(call.positional) > len(names):
        takes = " and ".join(names) or "keywords only"
        raise call.positional[len(names)].wrong(f"{title} takes {takes}, and nothing more", hint)
    given = dict(zip(names, call.positional, strict=False))
    for key, argument in call.keywords.items():
        if key in given:
            raise argument.wrong(f"{key} is given twice", hint)
        if key not in names and key not in options:
            near = did_you_mean(key, [*names, *options])
            raise argument.wrong(f"{title} has no argument {key}{near}", hint)
        given[key] = argument
    for key in names:
        if key not in given and key not in optional:
            raise call.name.wrong(f"{title} lacks its argument {key}", hint)
    return _Arguments(call, given)


def _numeric(name: str, given: _Arguments, distribution: Distribution) -> Dimension:
    """Return the dimension of a distribution of reals, which is integer with ``discrete=True``."""
    shape = given.shape()
    if not given.flag("discrete", False):
        real = Real(
            name=name,
            distribution=distribution,
            precision=given.precision(),
            precision_given="precision" in given.given,
            shape=shape,
        )
        return given.finish(real)
    if "precision" in given.given:
        raise given.given["precision"].wrong("precision doesn't go with discrete=True")
    discrete: Distribution = Discretised(distribution)
    low, high = discrete.support()
    if not low < high:
        raise given.call.name.wrong("there aren't two whole numbers between its bounds")
    if isinstance(distribution, Uniform):
        discrete = Whole("uniform", int(low), int(high))
    return given.finish(Integer(name=name, distribution=discrete, shape=shape))


def _uniform(name: str, call: Call) -> Dimension:
    given = _bind(call, ("low", "high"), _SPECIAL)
    return _numeric(name, given, Uniform(*given.interval(given.number)))


def _loguniform(name: str, call: Call) -> Dimension:
    given = _bind(call, ("low", "high"), _SPECIAL)
    low, high = given.interval(given.number)
    if low <= 0:
        hint = "A logarithmic scale has no zero; begin at a small number such as 1e-6."
        raise given.given["low"].wrong("low isn't above 0", hint)
    return _numeric(name, given, LogUniform(low, high))


def _normal(name: str, call: Call) -> Dimension:
    given = _bind(call, ("loc", "scale"), _SPECIAL)
    loc, scale = given.number("loc"), given.number("scale")
    if scale <= 0:
        raise given.given["scale"].wrong("scale isn't above 0", "It is the standard deviation.")
    return _numeric(name, given, Normal(loc, scale))


def _randint(name: str, call: Call) -> Dimension:
    given = _bind(call, ("low", "high"), ("discrete", "default_value", "shape"))
    _must_be_discrete(given)
    low, high = given.interval(given.whole)
    integers = Whole("randint", int(low), int(high) - 1)
    return given.finish(Integer(name=name, distribution=integers, shape=given.shape()))


def _must_be_discrete(given: _Arguments) -> None:
    if not given.flag("discrete", True):
        title = given.call.name.value
        raise given.given["discrete"].wrong(f"{title} yields whole numbers only")


def _choices(name: str, call: Call) -> Dimension:
    options = ("default_value", "shape")
    hint = "Write choices(['a', 'b']), or choices({'a': 0.3, 'b': 0.7}) with probabilities."
    if not call.positional:
        raise call.name.wrong("choices lacks what to choose from", hint)
    first = call.positional[0]
    if isinstance(first.value, Pairs | list):
        given = _bind(call, ("options",), options)
    else:
        names = [f"choice {i}" for i in range(1, len(call.positional) + 1)]
        given = _bind(call, names, options)
    if isinstance(first.value, Pairs):
        choices = [choice for choice, _ in first.value]
        probabilities = _probabilities(first, [value for _, value in first.value])
    else:
        listed = isinstance(first.value, list)
        choices = first.value if listed else [argument.value for argument in call.positional]
        probabilities = (1 / max(1, len(choices)),) * len(choices)
    if not choices:
        raise first.wrong("there is nothing to choose from", hint)
    _check_choices(first, choices)
    dimension = Categorical(
        name=name, choices=tuple(choices), probabilities=probabilities, shape=given.shape()
    )
    return given.finish(dimension)


def _check_choices(place: Argument, choices: Sequence[Any]) -> None:
    seen: set[tuple[bool, Any]] = set()
    for choice in choices:
        if isinstance(choice, list | Pairs):
            hint = "Choices are numbers, texts, True, False and None; a text can name the rest."
            raise place.wrong("a choice is itself a list or a dictionary", hint)
        key = (isinstance(choice, bool), choice)
        if key in seen:
            equal = next(c for c in choices if same_choice(c, choice))
            other = "" if repr(equal) == repr(choice) else f" (as {equal!r})"
            raise place.wrong(f"the choice {choice!r} is there twice{other}")
        seen.add(key)


def _probabilities(place: Argument, values: Sequence[Any]) -> tuple[float, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise place.wrong(f"the probability {value!r} isn't a number")
        if value < 0:
            raise place.wrong(f"the probability {value!r} is negative")
    total = math.fsum(values)
    if values and abs(total - 1) > _TOLERANCE:
        raise place.wrong(f"the probabilities add up to {total:.6g} and not to 1")
    if len(set(values)) == 1:
        return (1 / len(values),) * len(values)
    return tuple(map(float, values))


def _fidelity(name: str, call: Call) -> Dimension:
    given = _bind(call, ("low", "high", "base"), (), optional=("base",))
    low, high = given.whole("low"), given.whole("high")
    base = given.whole("base") if "base" in given.given else 2
    if low < 1:
        raise given.given["low"].wrong("low isn't at least 1")
    if high < low:
        raise given.given["high"].wrong(f"high is below low ({low})")
    if base < 1:
        raise given.given["base"].wrong("base isn't at least 1")
    return Fidelity(name=name, low=low, high=high, base=base)


_BUILDERS: dict[str, Callable[[str, Call], Dimension]] = {
    "uniform": _uniform,
    "loguniform": _loguniform,
    "normal": _normal,
    "gaussian": _normal,
    "randint": _randint,
    "choices": _choices,
    "fidelity": _fidelity,
}

DISTRIBUTIONS = tuple(_BUILDERS)
"""The names that need no scipy."""


def _scipy(name: str, call: Call) -> Dimension:
    """Return the dimension of a distribution of scipy's; raise if there is none of this name."""
    from orion_hpc.model import scipy_prior

    title = call.name.value
    try:
        known = scipy_prior.names()
    except scipy_prior.ScipyMissing:
        hint = f"There are {', '.join(DISTRIBUTIONS)}. For those of scipy.stats: pip install scipy."
        near = did_you_mean(title, DISTRIBUTIONS)
        raise call.name.wrong(f"unknown distribution '{title}'{near}", hint) from None
    if title not in known:
        near = did_you_mean(title, DISTRIBUTIONS) or did_you_mean(title, known)
        hint = f"There are {', '.join(DISTRIBUTIONS)}, and those of scipy.stats."
        raise call.name.wrong(f"unknown distribution '{title}'{near}", hint)
    for key, hint in _SCIPY_FIXED.items():
        if key in call.keywords:
            raise call.keywords[key].wrong(f"{title} has no argument {key} here", hint)
    names = scipy_prior.parameters(title)
    discrete = scipy_prior.is_discrete(title)
    options = [key for key in _SPECIAL if not (discrete and key == "precision")]
    given = _bind(call, names, options, optional=("loc", "scale"))
    settings = {key: given.number(key) for key in names if key in given.given}
    try:
        distribution = scipy_prior.build(title, settings)
    except ValueError as error:
        raise call.name.wrong(str(error)) from None
    if not discrete:
        return _numeric(name, given, distribution)
    _must_be_discrete(given)
    return given.finish(Integer(name=name, distribution=distribution, shape=given.shape()))
