"""Pickles that hold plain data and nothing else, both ways.

A pickle is a program for a small machine. What keeps ours harmless is that few kinds of instruction
are ever carried out: those that push a number, a text, bytes, None or a truth value, and those that
put a tuple, a list or a dictionary around them. None of these can name a function or a class, call
anything, or refer to another part of the pickle, so what comes out is a tree no larger than a fixed
multiple of what went in. All instructions are checked before the first one is run.

The writer switches the pickler's memo off (``fast``), because references to earlier parts are what
makes exponentially large values of a few bytes.
"""

from __future__ import annotations

import io
import pickle
import re
from typing import Any, NoReturn

_PROTOCOL = 5
_PROLOGUE = b"\x80\x05"

MOST_TUPLES = 4096
"""In one pickle. The hash of a tuple can be foreseen: with many more of them a dictionary could be
made whose keys all collide."""

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
"""Instruction -> the bytes of its argument. Which is which: :mod:`pickletools`."""

_COUNTED = {0x8C: 1, ord("X"): 4, ord("C"): 1, ord("B"): 4, 0x8A: 1, 0x8B: 4}
"""Those whose argument starts with its own length: texts, bytes and integers -> bytes of that."""

_INTEGERS = frozenset((0x8A, 0x8B))

# Nearly every transaction is short and holds short texts: one that matches needs no slower look.
_USUAL = re.compile(
    rb"\x80\x05(?:\x95.{8})?(?:\x8c(?:"
    + b"|".join(re.escape(bytes((length,))) + b".{%d}" % length for length in range(_USUAL_TEXT))
    + rb")|G.{8}|K.|[N\x88\x89)\x85-\x87t(\]ae}su]|M..|J.{4}|\x8a\x05.{5})*\.",
    re.DOTALL,
)


class UnsafePickle(pickle.UnpicklingError):
    """The pickle asks for something that isn't plain data."""


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> NoReturn:
        # Called for everything but exact None, bool, int, float, str, bytes, tuple, list, dict (and
        # sets): a numpy float or a user's class would make a frame that no reader accepts.
        raise TypeError(f"{obj!r} is a {type(obj).__name__}, not plain data")


def dumps(value: Any) -> bytes:
    """Pickle plain data; TypeError names what isn't, ValueError tells that it is too much."""
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
    """Read a pickle of plain data.

    Raises
    ------
    pickle.UnpicklingError
        It isn't one; :class:`UnsafePickle` where it asks for more than plain data.
    """
    if len(data) > _USUAL_SIZE or _USUAL.fullmatch(data) is None:
        _check(data)
    try:
        return pickle.loads(data)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # the C unpickler answers garbage with a dozen kinds of exception
        raise pickle.UnpicklingError(f"not a pickle of plain data: {error!r}") from error


def _check(data: bytes) -> None:
    """Raise unless every instruction of the pickle is one of those that make plain data."""
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
