"""Validation of a trial's results: plain data, with one objective or several.

Pure. Uses only the methods of numpy's scalars and arrays, without an import. Where results come
from (a function's return value, a script's JSON) is left to :mod:`orion_hpc.worker`.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
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


def _warn(left_out: str) -> None:
    warnings.warn(left_out, UserWarning, stacklevel=5)


def check_results(
    value: Any, left_out: Callable[[str], None] = _warn, name: str = OBJECTIVE
) -> Results:
    """Return ``value`` in Oríon's form, as plain Python data.

    A statistic that can't be recorded is left out: the objective took hours to compute.

    Parameters
    ----------
    value : number, or list of mappings
        A number is the objective. A list holds mappings with ``name``, ``type`` and ``value``.
        One or more, with different names, have the type ``objective``; single-objective code
        minimises the first of them. Objectives and constraints are one finite number each,
        gradients a number or a (nested) list of numbers, statistics the same or a text, a boolean
        or None.
    left_out : callable, default a ``UserWarning``
        Called with a sentence for each statistic that is left out.
    name : str, default "objective"
        Of the objective that is a number alone.

    Raises
    ------
    InvalidResult
        The message describes what was returned, the hint what is expected.
    """
    number = _number(value)
    if number is not None:
        if name == OBJECTIVE:
            return [_entry(OBJECTIVE, OBJECTIVE, number)]
        value = [{"name": name, "type": OBJECTIVE, "value": number}]
    if isinstance(value, Mapping):
        raise InvalidResult(
            f"the trial returned a dictionary: {_described(value)}", _list_of(value)
        )
    if not isinstance(value, list | tuple):
        raise InvalidResult(f"the trial returned {_described(value)}, not a result", EXPECTED)
    entries = [_read(entry, place, left_out) for place, entry in enumerate(value)]
    results = _recordable([one for one in entries if one is not None], left_out)
    _check_objectives([result["name"] for result in results if result["type"] == OBJECTIVE])
    try:
        wire.decode(wire.encode(CompleteTrial(0, 1, results, 0.0)))
    except (ValueError, RecursionError) as error:
        raise InvalidResult(
            f"the trial's results can't be recorded: {error}",
            "Names are texts of whole characters; lists of numbers nest a few levels at most.",
        ) from None
    return results


def _recordable(
    results: Sequence[dict[str, Any]], left_out: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return the results without the statistics that can't be recorded."""
    numbers = sum(_count(one["value"]) for one in results if one["type"] != STATISTIC)
    if numbers > MOST_NUMBERS:
        raise InvalidResult(
            f"the trial's results hold {numbers:,} numbers; the database takes {MOST_NUMBERS:,}",
            "Write large data into the trial's working directory.",
        )
    kept = []
    for one in results:
        value, trouble = one["value"], ""
        if one["type"] == STATISTIC:
            if not wire.is_text(one["name"]):
                trouble = "its name isn't made of whole characters"
            elif not wire.is_statistic(value):
                trouble = f"it is {_described(value)}, not numbers, a text, a boolean or None"
                if isinstance(value, str):
                    trouble = f"it is a text of {len(value):,} characters"
            elif (numbers := numbers + _count(value)) > MOST_NUMBERS:
                numbers -= _count(value)
                trouble = f"the results would hold more than {MOST_NUMBERS:,} numbers with it"
        if trouble:
            left_out(f"the statistic {one['name']!r} is left out: {trouble}")
        else:
            kept.append(one)
    return kept


def _list_of(value: Mapping[Any, Any]) -> str:
    """Return the hint for a dictionary: the list that was probably meant."""
    if value.keys() >= {"name", "type", "value"}:
        return f"Put it into a list: {_described([dict(value)], 200, kind=False)}."
    numbers = {key: number for key, one in value.items() if (number := _number(one)) is not None}
    if not numbers or not all(isinstance(key, str) and key for key in numbers):
        return EXPECTED
    kinds = [OBJECTIVE, *[STATISTIC] * (len(numbers) - 1)]
    shown = [
        {"name": name, "type": kind, "value": number}
        for (name, number), kind in zip(numbers.items(), kinds, strict=True)
    ]
    more = ", …" if len(shown) > 2 else ""
    listed = ", ".join(json.dumps(one, ensure_ascii=False) for one in shown[:2])
    return f"Return a list, with the type objective for what is minimised: [{listed}{more}]."


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


def _read(entry: Any, place: int, left_out: Callable[[str], None]) -> dict[str, Any] | None:
    """Return a checked result; None for a statistic that isn't well-formed."""
    try:
        return _checked(entry, place)
    except InvalidResult as error:
        kind = entry.get("type") if isinstance(entry, Mapping) else None
        if not isinstance(kind, str) or kind != STATISTIC:
            raise
        left_out(f"a statistic is left out: {error.message}")
        return None


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
    elif kind == STATISTIC:
        plain = _statistic(value)
    else:
        plain = _numbers(value, kind, name)
    return {"name": name, "type": kind, "value": plain}


def _float(number: int | float, kind: str, name: str) -> float:
    try:
        return float(number)
    except OverflowError:
        raise InvalidResult(f"the {kind} {name!r} is too large for a float", EXPECTED) from None


def _statistic(value: Any) -> Any:
    """Return a statistic as plain data, as far as it can be."""
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        value = value.item()  # numpy's texts and booleans, too
    if isinstance(value, str):
        return "".join(value)
    if value is None or isinstance(value, bool):
        return value
    try:
        return _numbers(value, STATISTIC, "")
    except (InvalidResult, RecursionError):
        return value


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


def _described(value: Any, longest: int = 80, kind: bool = True) -> str:
    """Return a short description of ``value``, with its type if ``kind``."""
    if value is None:
        return "None"
    try:
        text = repr(value)
    except Exception:
        return f"an object of the type {type(value).__name__}"
    text = " ".join(text.split())
    if len(text) > longest:
        text = f"{text[: longest - 3]}…"
    return f"{text} ({type(value).__name__})" if kind else text
