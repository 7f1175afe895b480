"""Reads another program's pickle as inert data: nothing that the file names is looked up or called.

A pickle is a program for a stack machine. Python's own readers execute it: a name becomes the
function or class of that name, and ``REDUCE`` and similar instructions call it. Here
:mod:`pickletools` parses the program, and this machine only builds plain values: a name stays a
:class:`Global`, and a call becomes a :class:`Record` of the name and the arguments. So a file
determines values, but never runs code.

Memory and time are bounded by the file's size and by a budget of instructions; instructions with
which a few bytes request much memory aren't supported. Dictionaries keep text keys only, because
numbers can be chosen to collide. Nothing here recurses into values: a caller that does must count
the levels.

The reader of the format decides which names a file may hold, and what its records mean.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST_STEPS = 24_000_000
"""Budget of instructions; one that creates a container counts as four. Oríon uses about 200 for a
trial: this is enough for 100,000 trials, read in ten seconds and with less than a gigabyte."""

_CONTAINER = 4
_NEWEST_PROTOCOL = 5


class NotInert(ValueError):
    """The bytes aren't a pickle, or use something unsupported; the message says what."""


class Global(NamedTuple):
    """A function or class that the file names, not looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, repr=False, eq=False)
class Record:
    """A call that wasn't made: the name of the callable and its arguments.

    ``state`` is the state for the object (``__setstate__``), ``items`` what was to be set by key.
    """

    kind: Global
    args: tuple[Any, ...]
    state: Any = None
    items: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.kind}>"  # the content may be recursive


def load(data: bytes, allowed: Callable[[Global], bool]) -> Any:
    """Return the value in the pickle ``data``.

    Returns
    -------
    object
        None, a bool, int, float, str, bytes, list, tuple, dict with texts for keys, Record or
        Global. A set is a list, since its elements may be unhashable. Parts may be shared or
        recursive.

    Parameters
    ----------
    data : bytes
    allowed : callable
        Returns whether the file may have a name.

    Raises
    ------
    NotInert
        It isn't a whole pickle, holds a name that isn't allowed, refers to something outside of
        itself, or would take more memory than any sound file does.
    """
    machine = _Machine(allowed)
    try:
        # A file object over the bytes, and not the file: read(a petabyte) returns what there is,
        # while a file would allocate a buffer of that size first.
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            if opcode.name == "STOP":
                return machine.pop()
            machine.run(opcode.name, argument)
    except NotInert:
        raise
    except (ValueError, OverflowError) as error:
        raise NotInert(f"it isn't a whole pickle: {str(error)[:120]}") from error
    except (IndexError, KeyError, TypeError) as error:
        raise NotInert("it is a pickle with instructions that make no sense") from error
    raise NotInert("it isn't a whole pickle: it has no end")


class _Machine:
    """The machine: the stack, the stacks below the marks, and the memo."""

    def __init__(self, allowed: Callable[[Global], bool]) -> None:
        self._allowed = allowed
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._left = MOST_STEPS

    def run(self, name: str, argument: Any) -> None:
        """Execute one instruction."""
        self._left -= 1
        if name in _PUSH:
            self._stack.append(argument)
            return
        instruction = _INSTRUCTIONS.get(name)
        if instruction is None:
            raise NotInert(_REFUSED.get(name, f"it has the instruction {name}"))
        instruction(self, argument)
        if self._left < 0:
            raise NotInert("it describes more than any sound file of its kind holds")

    def pop(self) -> Any:
        """Remove and return the top of the stack."""
        return self._stack.pop()

    def _make(self, value: Any) -> None:
        self._left -= _CONTAINER
        self._stack.append(value)

    def _to_mark(self) -> list[Any]:
        """Remove the last mark and all above it; return what was above."""
        above, self._stack = self._stack, self._below.pop()
        return above

    # -- names and calls -------------------------------------------------------------------------

    def _name(self, module: Any, name: Any) -> Global:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError
        found = Global(module, name)
        if not self._allowed(found):
            raise NotInert(f"it names {str(found)[:120]!r}")
        return found

    def global_(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._make(self._name(module, name))

    def stack_global(self, argument: None) -> None:
        name, module = self.pop(), self.pop()
        self._make(self._name(module, name))

    def _record(self, kind: Any, args: Any) -> None:
        # A callable must be an allowed name, so that each record has a known kind.
        if not (isinstance(kind, Global) and isinstance(args, tuple)):
            raise TypeError
        self._make(Record(kind, args))

    def reduce(self, argument: None) -> None:
        args, kind = self.pop(), self.pop()
        self._record(kind, args)

    def newobj_ex(self, argument: None) -> None:
        kwargs, args, kind = self.pop(), self.pop(), self.pop()
        if not isinstance(kwargs, dict):
            raise TypeError
        self._record(kind, args)
        self._stack[-1].items.update(kwargs)

    def inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._record(self._name(module, name), tuple(self._to_mark()))

    def obj(self, argument: None) -> None:
        kind, *args = self._to_mark()
        self._record(kind, tuple(args))

    def build(self, argument: None) -> None:
        state, target = self.pop(), self._stack[-1]
        if not isinstance(target, Record):
            raise TypeError
        target.state = state

    # -- containers ------------------------------------------------------------------------------

    def empty_list(self, argument: None) -> None:
        self._make([])

    def empty_dict(self, argument: None) -> None:
        self._make({})

    def empty_tuple(self, argument: None) -> None:
        self._stack.append(())

    def list_(self, argument: None) -> None:
        self._make(self._to_mark())

    def tuple_(self, argument: None) -> None:
        self._make(tuple(self._to_mark()))

    def tuple1(self, argument: None) -> None:
        self._make((self.pop(),))

    def tuple2(self, argument: None) -> None:
        second, first = self.pop(), self.pop()
        self._make((first, second))

    def tuple3(self, argument: None) -> None:
        third, second, first = self.pop(), self.pop(), self.pop()
        self._make((first, second, third))

    def dict_(self, argument: None) -> None:
        items = self._to_mark()
        self._make({})
        self._set(items)

    def append(self, argument: None) -> None:
        value = self.pop()
        self._list().append(value)

    def appends(self, argument: None) -> None:
        values = self._to_mark()
        self._list().extend(values)

    def _list(self) -> list[Any]:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError
        return target

    def setitem(self, argument: None) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def setitems(self, argument: None) -> None:
        self._set(self._to_mark())

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Record):
            target = target.items
        if not isinstance(target, dict) or len(items) % 2:
            raise TypeError
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str):
                target[key] = value

    # -- stack and memo --------------------------------------------------------------------------

    def nothing(self, argument: Any) -> None:
        pass

    def proto(self, argument: int) -> None:
        if argument > _NEWEST_PROTOCOL:
            raise NotInert(f"it is a pickle of protocol {argument}, newer than any known")

    def none(self, argument: None) -> None:
        self._stack.append(None)

    def true(self, argument: None) -> None:
        self._stack.append(True)

    def false(self, argument: None) -> None:
        self._stack.append(False)

    def mark(self, argument: None) -> None:
        self._left -= _CONTAINER
        self._below.append(self._stack)
        self._stack = []

    def pop_mark(self, argument: None) -> None:
        self._to_mark()

    def drop(self, argument: None) -> None:
        # Python's readers remove a mark if there is nothing above it.
        if self._stack:
            self.pop()
        else:
            self._to_mark()

    def dup(self, argument: None) -> None:
        self._stack.append(self._stack[-1])

    def get(self, argument: int) -> None:
        self._stack.append(self._memo[argument])

    def put(self, argument: int) -> None:
        if not 0 <= argument < 1 << 32:  # larger ones can be chosen to collide
            raise IndexError
        self._memo[argument] = self._stack[-1]

    def memoize(self, argument: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]


_PUSH = frozenset(
    (
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
        "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
        "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    )
)  # fmt: skip
"""Instructions whose argument is the value."""

_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": _Machine.none,
    "NEWTRUE": _Machine.true,
    "NEWFALSE": _Machine.false,
    "EMPTY_LIST": _Machine.empty_list,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "LIST": _Machine.list_,
    "EMPTY_TUPLE": _Machine.empty_tuple,
    "TUPLE": _Machine.tuple_,
    "TUPLE1": _Machine.tuple1,
    "TUPLE2": _Machine.tuple2,
    "TUPLE3": _Machine.tuple3,
    "EMPTY_DICT": _Machine.empty_dict,
    "DICT": _Machine.dict_,
    "SETITEM": _Machine.setitem,
    "SETITEMS": _Machine.setitems,
    "EMPTY_SET": _Machine.empty_list,
    "ADDITEMS": _Machine.appends,
    "FROZENSET": _Machine.list_,
    "POP": _Machine.drop,
    "DUP": _Machine.dup,
    "MARK": _Machine.mark,
    "POP_MARK": _Machine.pop_mark,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "INST": _Machine.inst,
    "OBJ": _Machine.obj,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.newobj_ex,
    "PROTO": _Machine.proto,
    "FRAME": _Machine.nothing,
}

_REFUSED = {
    "PERSID": "it refers to something outside of itself",
    "BINPERSID": "it refers to something outside of itself",
    "NEXT_BUFFER": "it refers to something outside of itself",
    "READONLY_BUFFER": "it refers to something outside of itself",
    "EXT1": "it names something by a number of the copyreg module",
    "EXT2": "it names something by a number of the copyreg module",
    "EXT4": "it names something by a number of the copyreg module",
}
