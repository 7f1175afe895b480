"""Parses points of the space as users write them: as mappings, as words ``NAME=VALUE``, in files.

Fills in defaults. What a valid point is, is the space's part: :mod:`orion_hpc.model.space`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any

from orion_hpc.errors import ConfigurationError, InvalidParams, OrionHpcError, did_you_mean
from orion_hpc.model.dimension import Dimension
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import Params

_WORDS = {"None": None, "True": True, "False": False}
_LARGEST = 100_000_000
_MAX_LISTED = 10
"""Wrong points that an error lists."""


def point_of(space: Space, params: Mapping[str, Any]) -> Params:
    """Return ``params`` as a flat point of the space, with defaults filled in.

    Parameters
    ----------
    space : Space
    params : mapping
        Nested or flat.

    Raises
    ------
    InvalidParams
        ``params`` isn't a point of the space; the message names the dimension.
    """
    if not isinstance(params, Mapping):
        raise InvalidParams(f"{params!r:.100} isn't a mapping of names to values")
    flat = Space.flatten(params)
    for name, dimension in space.items():
        if name not in flat and dimension.default_value is not None:
            flat[name] = dimension.default_value
    try:
        return space.point(flat)
    except OrionHpcError as error:
        raise InvalidParams(error.message, error.hint) from None


def point_in_words(space: Space, words: Sequence[str]) -> Params:
    """Return the point that words such as ``["lr=0.1", "kind=relu"]`` describe.

    Raises
    ------
    ConfigurationError
        A word isn't of the form ``NAME=VALUE``, or a name is given twice.
    InvalidParams
        The words don't describe a point of the space.
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigurationError(
                f"{word!r:.100} isn't of the form NAME=VALUE",
                f"Write {' '.join(f'{name}=…' for name in list(space)[:3])}.",
            )
        if name in given:
            raise ConfigurationError(f"{name} is given twice", "Give one point at a time.")
        given[name] = _value(space, name, text)
    return point_of(space, given)


def points_in_file(space: Space, path: str) -> list[Params]:
    """Return the points in a file: CSV with a header, or a JSON list of mappings.

    An empty cell of a CSV file means the default.

    Raises
    ------
    ConfigurationError
        The file can't be read, or is neither.
    InvalidParams
        A point isn't of the space; the message lists the wrong ones.
    """
    try:
        # Spreadsheets write a byte order mark at the start of CSV.
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read(_LARGEST)
        rows: Any
        if path.lower().endswith(".json"):
            rows = json.loads(text)
            rows = [rows] if isinstance(rows, Mapping) else rows
        else:
            rows = _csv(space, text)
    except OSError as error:
        raise ConfigurationError(f"can't read {path}: {error.strerror}") from None
    except InvalidParams as error:
        raise InvalidParams(f"{path}: {error.message}", error.hint) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} isn't readable: {error}",
            "Write CSV with a header, or a JSON list of mappings in a file *.json.",
        ) from None
    if not isinstance(rows, list):
        raise ConfigurationError(f"{path} isn't a list of points", 'Write [{"lr": 0.1}, …].')
    if not rows:
        raise ConfigurationError(f"{path} contains no point", "Write one line per point.")
    points, wrong = [], []
    for place, row in enumerate(rows, 1):
        try:
            points.append(point_of(space, row))
        except InvalidParams as error:
            wrong.append((f"{path}, point {place}: {error.message}", error.hint))
    if len(wrong) == 1:
        raise InvalidParams(*wrong[0])
    if wrong:
        listed = [message for message, _ in wrong[:_MAX_LISTED]]
        listed += ["…"] if len(wrong) > _MAX_LISTED else []
        hints = dict.fromkeys(hint for _, hint in wrong[:_MAX_LISTED] if hint)
        lines = [f"{len(wrong)} of {len(rows)} points are wrong:", *(f"  {one}" for one in listed)]
        raise InvalidParams("\n".join(lines), "\n".join(hints))
    return points


def _csv(space: Space, text: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    if any(None in row for row in rows):
        raise ValueError("a line has more cells than the header")
    return [
        {name: _value(space, name, cell) for name, cell in row.items() if cell not in ("", None)}
        for row in rows
    ]


def _value(space: Space, name: str, text: str) -> Any:
    """Return the value that ``text`` means for a dimension: a number, a choice, a list, a text."""
    if name not in space:
        raise InvalidParams(
            f"there is no dimension {name!r}{did_you_mean(name, space)}",
            f"There are: {', '.join(space)}.",
        )
    dimension: Dimension = space[name]
    value: Any = text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _WORDS.get(text, text)
    if value not in dimension and text in dimension:
        return text
    return value
