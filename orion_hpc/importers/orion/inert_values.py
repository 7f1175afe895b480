"""Converts the inert values of an Oríon file into plain data, within bounds.

Decodes dates as Python pickles them, and numbers as numpy pickles them.
"""

from __future__ import annotations

import datetime
import struct
from typing import Any

from orion_hpc.errors import ImportRefused
from orion_hpc.importers.orion.inert_pickle import Global, Record

_MOST_VALUES = 10_000_000
"""The limit for a whole file. A shared part counts each time, as it is copied each time."""

_MOST_LEVELS = 50
_MOST_BITS = 4096
"""The limit of a whole number: Python can't print one of more than 4300 digits."""

_MAPPINGS = ("collections.defaultdict", "collections.OrderedDict")
_SETS = ("builtins.set", "builtins.frozenset")
_SCALARS = {
    **{f"i{size}": code for size, code in zip((1, 2, 4, 8), "bhiq", strict=True)},
    **{f"u{size}": code for size, code in zip((1, 2, 4, 8), "BHIQ", strict=True)},
    **{f"f{size}": code for size, code in zip((2, 4, 8), "efd", strict=True)},
    "b1": "?",
}
"""numpy's names of number types, and the codes of :mod:`struct`."""


class UnsupportedValue(ValueError):
    """A value that can't be converted into plain data; the message says what it is."""


class ValueConverter:
    """Converts inert values into plain data, with one budget for the whole file.

    The budget and the limit of levels are needed because parts of a value may be shared thousands
    of times in a few bytes, or be recursive.
    """

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def plain(self, value: Any, level: int = 0) -> Any:
        """Return ``value`` as plain data: a date as text, a number of numpy as a number.

        Raises
        ------
        UnsupportedValue
            It is, or holds, something else.
        ImportRefused
            The budget is spent.
        """
        self._left -= 1
        if self._left < 0:
            raise ImportRefused(
                f"the file describes more than {_MOST_VALUES:,} values; no database of Oríon does"
            )
        if level > _MOST_LEVELS:
            raise UnsupportedValue(f"more than {_MOST_LEVELS} levels")
        if isinstance(value, Record):
            value = _meaning(value)
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise UnsupportedValue(f"a whole number of {value.bit_length()} bits")
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if isinstance(value, dict):
            return {key: self.plain(inner, level + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.plain(inner, level + 1) for inner in value]
        if isinstance(value, tuple) and not isinstance(value, Global):
            return tuple(self.plain(inner, level + 1) for inner in value)
        raise _unsupported(value)


def _meaning(record: Record) -> Any:
    kind = str(record.kind)
    if kind in _MAPPINGS:
        return record.items
    if kind in _SETS and len(record.args) == 1:
        return record.args[0]
    if kind == "datetime.datetime":
        return moment(record).isoformat()
    if kind == "datetime.date" and record.args and isinstance(record.args[0], bytes):
        return _date(record.args[0]).isoformat()
    if record.kind.module.startswith("numpy.") and record.kind.name == "scalar":
        return _scalar(record)
    raise _unsupported(record)


def moment(value: Any) -> datetime.datetime:
    """Return ``value`` as a ``datetime``. Without a time zone it is UTC, as in Oríon.

    Raises
    ------
    UnsupportedValue
        It is something else.
    """
    if not (isinstance(value, Record) and str(value.kind) == "datetime.datetime" and value.args):
        raise _unsupported(value)
    packed = value.args[0]
    if not (isinstance(packed, bytes) and len(packed) == 10):
        raise _unsupported(value)
    day = _date(packed[:2] + bytes((packed[2] & 0x7F,)) + packed[3:4])  # the high bit is ``fold``
    hour, minute, second = packed[4:7]
    zone = _zone(value.args[1]) if value.args[1:] else datetime.timezone.utc
    try:
        time = datetime.time(hour, minute, second, int.from_bytes(packed[7:], "big"))
        return datetime.datetime.combine(day, time, zone)
    except ValueError as error:
        raise UnsupportedValue(f"a time that there isn't ({error})") from error


def _zone(value: Any) -> datetime.timezone:
    if isinstance(value, Record) and str(value.kind) == "datetime.timezone" and value.args:
        offset = value.args[0]
        if isinstance(offset, Record) and all(type(part) is int for part in offset.args):
            try:
                return datetime.timezone(datetime.timedelta(*offset.args[:3]))
            except (ValueError, OverflowError) as error:
                raise UnsupportedValue(f"a time zone that there isn't ({error})") from error
    raise _unsupported(value)


def _date(packed: bytes) -> datetime.date:
    try:
        year, month, day = struct.unpack(">HBB", packed)
        return datetime.date(year, month, day)
    except (struct.error, ValueError) as error:
        raise UnsupportedValue(f"a date that there isn't ({error})") from error


def _scalar(record: Record) -> bool | int | float:
    """Return the number of a numpy scalar."""
    if len(record.args) == 2:
        dtype, packed = record.args
        if isinstance(dtype, Record) and str(dtype.kind) == "numpy.dtype" and dtype.args:
            code = _SCALARS.get(dtype.args[0]) if isinstance(dtype.args[0], str) else None
            order = dtype.state[1] if isinstance(dtype.state, tuple) and dtype.state[1:] else "<"
            if code and isinstance(packed, bytes) and struct.calcsize(code) == len(packed):
                number: bool | int | float
                (number,) = struct.unpack((">" if order == ">" else "<") + code, packed)
                return number
    raise _unsupported(record)


def _unsupported(value: Any) -> UnsupportedValue:
    kind = value.kind if isinstance(value, Record) else value
    return UnsupportedValue(
        f"a {kind}" if isinstance(kind, Global) else f"a {type(value).__name__}"
    )
