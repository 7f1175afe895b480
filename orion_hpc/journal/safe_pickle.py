"""Writing and reading pickles that hold plain data only.

A pickle is a program for a small virtual machine. Ours are harmless because only few kinds of
instructions are allowed: those that push a number, a string, bytes, None or a boolean, and those
that build a tuple, a list or a dictionary of them. None of these can name a function or a class,
call anything, or refer to another part of the pickle. So the result is a tree whose size is at most
a fixed multiple of the pickle's. All instructions are checked before the first one is run.

The writer switches off the pickler's memo (``fast``), because with references to earlier parts a
few bytes can make exponentially large values.
"""

from __future__ import annotations

import io
import pickle
import re
from typing import Any, NoReturn

_PROTOCOL = 5
_PROLOGUE = b"\x80\x05"

MOST_TUPLES = 4096
"""In one pickle. The hash of a tuple is predictable: with many more tuples an attacker could write
a dictionary whose keys all collide."""

MOST_BIG_INTEGERS = 2048
"""Of more than eight bytes in one pickle, for the same reason."""

_USUAL_SIZE = 4096
_USUAL_TEXT = 64

_STOP = ord(".")
_TUPLES = frozenset(b"\x85\x86\x87t")
_FIXED = {
    **dict.fromkeys(b"N\x88\x89)\x85\x86\x87t(]ae}su", 0),
    ord("K"): 1,  # BININT1
    ord("M"): 2,  # BININT2
    ord("J"): 4,  # BININT
    ord("G"): 8,  # BINFLOAT
    0x95: 8,  # FRAME: says how many bytes are to be read at once
}
"""Instruction -> the length of its argument in bytes. They are listed in :mod:`pickletools`."""

_COUNTED = {0x8C: 1, ord("X"): 4, ord("C"): 1, ord("B"): 4, 0x8A: 1, 0x8B: 4}
"""Instructions whose argument starts with its own length (strings, bytes, integers) -> the length
of that length."""

_INTEGERS = frozenset((0x8A, 0x8B))

# Nearly every transaction is short and holds short strings. One that matches needs no slower check.
_USUAL = re.compile(
    rb"\x80\x05(?:\x95.{8})?(?:\x8c(?:"
    + b"|".join(re.escape(bytes((length,))) + b".{%d}" % length for length in range(_USUAL_TEXT))
    + rb")|G.{8}|K.|[N\x88\x89)\x85-\x87t(\]ae}su]|M..|J.{4}|\x8a\x05.{5})*\.",
    re.DOTALL,
)


class UnsafePickle(pickle.UnpicklingError):
    """The pickle has an instruction that plain data doesn't need."""


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> NoReturn:
        # Called for everything except the exact types None, bool, int, float, str, bytes, tuple,
        # list, dict (and sets). A numpy float or a user's class would give a frame that no reader
        # accepts.
        raise TypeError(f"{obj!r} is a {type(obj).__name__}, not plain data")


def dumps(value: Any) -> bytes:
    """Return the pickle of plain data.

    Raises
    ------
    TypeError
        Some of it isn't plain data.
    ValueError
        It is too large.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, _PROTOCOL)
    pickler.fast = True
    pickler.dump(value)
    data = buffer.getvalue()
    if _USUAL.fullmatch(data) is None or len(data) > _USUAL_SIZE:
        try:
            _check(data)
        except pickle.UnpicklingError as error:
            raise ValueError(f"this can't be recorded: {error}") from None
    return data


def loads(data: bytes) -> Any:
    """Return the value of a pickle of plain data.

    Raises
    ------
    pickle.UnpicklingError
        It isn't one; :class:`UnsafePickle` if it needs more than plain data does.
    """
    if len(data) > _USUAL_SIZE or _USUAL.fullmatch(data) is None:
        _check(data)
    try:
        return pickle.loads(data)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # for garbage, the C unpickler raises a dozen types
        raise pickle.UnpicklingError(f"not a pickle of plain data: {error!r}") from error


def _check(data: bytes) -> None:
    """Raise unless the pickle has only instructions that build plain data."""
    if not data.startswith(_PROLOGUE):
        raise UnsafePickle("it isn't a pickle of protocol 5")
    at, size = len(_PROLOGUE), len(data)
    tuples = big_integers = 0
    while at < size:
        code = data[at]
        at += 1
        fixed = _FIXED.get(code)
        if fixed is not None:
            at += fixed
            tuples += code in _TUPLES
        elif code in _COUNTED:
            counted = at + _COUNTED[code]
            length = int.from_bytes(data[at:counted], "little")
            at = counted + length
            big_integers += code in _INTEGERS and length > 8
        elif code == _STOP:
            break
        else:
            raise UnsafePickle(
                f"it has the instruction {bytes((code,))!r}; only plain data is read"
            )
    if at != size or data[-1] != _STOP:
        raise UnsafePickle("it isn't whole, or something stands behind its end")
    if tuples > MOST_TUPLES or big_integers > MOST_BIG_INTEGERS:
        raise UnsafePickle(
            f"it holds {tuples:,} tuples and {big_integers:,} big integers; "
            f"{MOST_TUPLES:,} and {MOST_BIG_INTEGERS:,} are allowed"
        )
