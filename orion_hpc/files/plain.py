"""Pickles that hold plain data and nothing else, both ways.

A pickle is a program; what keeps ours harmless is that nothing in it can name a function or a
class: the writer refuses to write such a thing and the reader refuses to look one up.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NoReturn

_PROTOCOL = 5


class UnsafePickle(pickle.UnpicklingError):
    """The pickle asks for something that isn't plain data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise UnsafePickle(f"the pickle names {module}.{name}; only plain data is read")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise UnsafePickle("the pickle refers to something outside itself")


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> NoReturn:
        # Called for everything but exact None, bool, int, float, str, bytes, tuple, list, dict (and
        # sets): a numpy float or a user's class would make a frame that no reader accepts.
        raise TypeError(f"{obj!r} is a {type(obj).__name__}, not plain data")


def dumps(value: Any) -> bytes:
    """Pickle plain data; TypeError names what isn't."""
    buffer = io.BytesIO()
    _Pickler(buffer, _PROTOCOL).dump(value)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """Read a pickle of plain data.

    Raises
    ------
    pickle.UnpicklingError
        It isn't one; :class:`UnsafePickle` where it asks for more than plain data.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # the C unpickler answers garbage with a dozen kinds of exception
        raise pickle.UnpicklingError(f"not a pickle of plain data: {error!r}") from error
