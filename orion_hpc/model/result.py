"""Validation of a trial's results: plain data, with one objective or several.

Pure. Uses only the methods of numpy's scalars and arrays, without an import. Where results come
from (a function's return value, a script's JSON) is left to :mod:`orion_hpc.worker`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orion_hpc.errors import InvalidResult, did_you_mean
from orion_hpc.model import wire
from orion_hpc.model.event import CompleteTrial
from orion_hpc.model.trial_record import Results

OBJECTIVE = "objective"
CONSTRAINT = "constraint"
GRADIENT = "gradient"
STATISTIC = "statistic"

TYPES = (OBJECTIVE, CONSTRAINT, GRADIENT, STATISTIC)
"""All types of results. Algorithms read the first three; statistics are only stored."""

_KEYS = ("name", "type", "value")

EXPECTED = (
    "Return a number to be minimised, or a list such as "
    '[{"name": "loss", "type": "objective", "value": 0.1}].'
)


MOST_NUMBERS = 100_000
"""The most numbers in one trial's results, as every worker reads all of them."""


def check_results(value: Any) -> Results:
    """Return ``value`` in Oríon's form, as plain Python data.

    Parameters
    ----------
    value : number, or list of mappings
        A number is the objective. A list holds mappings with ``name``, ``type`` and ``value``.
        One or more, with different names, have the type ``objective``; single-objective code
        minimises the first of them. Objectives and constraints are one finite number each,
        gradients and statistics a number or a (nested) list of numbers.

    Raises
    ------
    InvalidResult
        The message describes what was returned, the hint what is expected.
    """
    number = _number(value)
    if number is not None:
        return [_entry(OBJECTIVE, OBJECTIVE, number)]
    if isinstance(value, Mapping):
        raise InvalidResult(
            f"the trial returned a dictionary: {_described(value)}",
            f"Put each result into a list. {EXPECTED}",
        )
    if not isinstance(value, list | tuple):
        raise InvalidResult(f"the trial returned {_described(value)}, not a result", EXPECTED)
    results = [_checked(entry, place) for place, entry in enumerate(value)]
    _check_objectives([result["name"] for result in results if result["type"] == OBJECTIVE])
    try:
        wire.decode(wire.encode(CompleteTrial(0, 1, results, 0.0)))
    except (ValueError, RecursionError) as error:
        raise InvalidResult(
            f"the trial's results can't be recorded: {error}",
            "Names are texts of whole characters; lists of numbers nest a few levels at most.",
        ) from None
    numbers = sum(_count(result["value"]) for result in results)
    if numbers > MOST_NUMBERS:
        raise InvalidResult(
            f"the trial's results hold {numbers:,} numbers; the database takes {MOST_NUMBERS:,}",
            "Write large data into the trial's working directory.",
        )
    return results


def _check_objectives(names: Sequence[str]) -> None:
    if not names:
        raise InvalidResult("none of the trial's results has the type 'objective'", EXPECTED)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidResult(
                f"two of the trial's objectives are called {name!r}",
                "Give each a name of its own, and whatever isn't to be minimised the type "
                "'statistic'.",
            )
        seen.add(name)


def _count(value: Any) -> int:
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _checked(entry: Any, place: int) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise InvalidResult(f"result {place} is {_described(entry)}, not a dictionary", EXPECTED)
    for key in entry:
        if key not in _KEYS:
            guess = did_you_mean(str(key), _KEYS)
            raise InvalidResult(f"result {place} has an unknown key {key!r}{guess}", EXPECTED)
    for key in _KEYS:
        if key not in entry:
            raise InvalidResult(f"result {place} has no {key!r}: {_described(entry)}", EXPECTED)
    name, kind = entry["name"], entry["type"]
    if not isinstance(name, str) or not name:
        raise InvalidResult(
            f"result {place} has {_described(name)} for a name, not a text", EXPECTED
        )
    if kind not in TYPES:
        guess = did_you_mean(str(kind), TYPES)
        raise InvalidResult(
            f"result {name!r} has an unknown type {kind!r}{guess}",
            f"There are: {', '.join(TYPES)}.",
        )
    # Exact strings: a subclass of str, such as numpy's, isn't plain data.
    return _entry("".join(name), "".join(kind), entry["value"])


def _entry(name: str, kind: str, value: Any) -> dict[str, Any]:
    if kind in (OBJECTIVE, CONSTRAINT):
        number = _number(value)
        if number is None:
            raise InvalidResult(
                f"the {kind} {name!r} is {_described(value)}, not a number", EXPECTED
            )
        plain: Any = _float(number, kind, name)
        if not math.isfinite(plain):
            raise InvalidResult(
                f"the {kind} {name!r} is {plain}",
                "Only finite numbers can be compared; return a large one where training diverged, "
                "if such trials are to count.",
            )
    else:
        plain = _numbers(value, kind, name)
    return {"name": name, "type": kind, "value": plain}


def _float(number: int | float, kind: str, name: str) -> float:
    try:
        return float(number)
    except OverflowError:
        raise InvalidResult(f"the {kind} {name!r} is too large for a float", EXPECTED) from None


def _numbers(value: Any, kind: str, name: str) -> Any:
    """Return a number, or nested lists of numbers; arrays are converted by ``tolist``."""
    number = _number(value)
    if number is not None:
        return number
    if callable(getattr(value, "tolist", None)) and getattr(value, "ndim", None):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_numbers(part, kind, name) for part in value]
    raise InvalidResult(
        f"the {kind} {name!r} holds {_described(value)}, not a number or a list of numbers",
        EXPECTED,
    )


def _number(value: Any) -> int | float | None:
    """Return ``value`` as a plain number, None if it isn't one. A boolean isn't one."""
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        value = (
            value.item()
        )  # a scalar or an array without dimensions, of numpy or a similar library
    if isinstance(value, bool):
        return None
    # By int and float, to get rid of subclasses such as numpy.float64.
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if not getattr(value, "ndim", None) and hasattr(type(value), "__float__"):
        try:
            return float(value)  # decimal.Decimal, fractions.Fraction
        except Exception:
            return None
    return None


def _described(value: Any) -> str:
    """Return a short description of ``value``."""
    if value is None:
        return "None"
    try:
        text = repr(value)
    except Exception:
        return f"an object of the type {type(value).__name__}"
    text = " ".join(text.split())
    if len(text) > 80:
        text = f"{text[:77]}…"
    return f"{text} ({type(value).__name__})"
