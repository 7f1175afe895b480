"""Pickles and plain values of the kinds that hurt a careless reader, as data for `tests.rigs.fuzz`.

Every instruction of the pickle machine that can import, call, build, refer or allocate is here.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections.abc import Iterator
from typing import Any

CANARY = "canary_nest"
"""The module whose functions leave a trace when a pickle gets at them."""

_DEEP = 100_000
_PRIME = (1 << 61) - 1
"""All its multiples have the hash 0."""


def deep(levels: int) -> list[Any]:
    """Return lists in lists."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _deep_tuple(levels: int) -> tuple[Any, ...]:
    value: tuple[Any, ...] = ()
    for _ in range(levels):
        value = (value,)
    return value


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, 3, -1, -2, 7, 99, 255, 256, 65536, 2**31, 2**32, 2**53, 2**62),
    *(2**63, 2**64, -(2**31), -(2**63), -(2**64), 10**400, -(10**400), 1 << 40_000),
    *(0.0, -0.0, 0.5, -1.0, 1e16, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan),
    *("", "x", "e", "1", "nan", "new", "reserved", "completed", "broken", "interrupted"),
    *("lost worker", "objective", "loss", "\0", "a\0b", "\ud800", "x\udfff", "\x1b[2J\x1b]0;t\x07"),
    *("..", ".", "/", "../../../../tmp/escape", "/etc", "a/b", "-x", "\r\n", "\u202e", "😀", "{0}"),
    *("%s%n", "a" * 300, "b" * 100_000, " " * 1000 + "x"),
    *(b"", b"x", b"\xff\0"),
    *((), (1,), ("a", "b"), (None,) * 20, [], [1], [None], [[]], [[1.0, [2.0]]], [math.nan]),
    *({}, {"x": 1}, {"x": {"y": []}}, {1: 2}, {None: None}, {(): ()}, {math.nan: 1}, {"\ud800": 1}),
    *({"": ""}, {"max_trials": -1, "max_broken": "x"}, {True: 1, "a": 2}, {b"x": 1}),
    *([{"name": "n", "type": "objective", "value": math.nan}], [("n", "objective", math.inf)]),
    *([{"name": "n", "type": "objective", "value": "x"}], [("n", "objective", None)], [{}], [()]),
    *([{"type": "objective"}], (("n", "objective", 10**400),), (("n", "statistic", [[]]),)),
    *([{"name": "n", "type": "objective", "value": 1.0}] * 3, (("n", "objective", 1.0),) * 3),
    *(set(), {1}, frozenset(), frozenset((1, 2)), bytearray(b"x")),
    *(deep(5), deep(30), deep(400), _deep_tuple(5), _deep_tuple(400), {"x": deep(100)}),
    *([0] * 5000, ["x"] * 5000, dict.fromkeys(map(str, range(3000)), 0)),
)
"""What a field is replaced by."""


def plain_pickle(value: Any, memo: bool = False) -> bytes:
    """Return a pickle of protocol 5 without looking at what is in it."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 5)
    pickler.fast = not memo
    pickler.dump(value)
    return buffer.getvalue()


def _laughs(levels: int, opener: bytes = b"](", closer: bytes = b"e") -> bytes:
    """Return what makes a list of ten lists of ten lists …, all of them the same objects."""
    code = b"\x8c\x03lolq\x000"
    for level in range(levels):
        put = b"q%c" % (level + 1)
        code += opener + b"h%c" % level * 10 + closer + put + b"0"
    return code + b"h%c" % levels


def _colliding(count: int) -> bytes:
    keys = (number * _PRIME for number in range(1, count + 1))
    encoded = (key.to_bytes(key.bit_length() // 8 + 1, "little") for key in keys)
    return b"}(" + b"".join(b"\x8a%c%bN" % (len(key), key) for key in encoded) + b"u"


def fragments() -> Iterator[tuple[str, bytes]]:
    """Yield names and instructions that push one object, or try to."""
    nest = CANARY.encode()
    trip, kind = b"c" + nest + b"\ntrip\n", b"c" + nest + b"\nTrip\n"
    words = b"\x8c%c%b\x8c\x04trip" % (len(nest), nest)
    yield "GLOBAL", trip
    yield "GLOBAL, REDUCE", trip + b"(tR"
    yield "GLOBAL, REDUCE with an argument", trip + b"\x8c\x01x\x85R"
    yield "STACK_GLOBAL", words + b"\x93"
    yield "STACK_GLOBAL, REDUCE", words + b"\x93)R"
    yield "STACK_GLOBAL of a dotted name", b"\x8c\x02os\x8c\x0cpath.os.lstr\x93"
    yield "INST", b"(i" + nest + b"\nTrip\n"
    yield "OBJ", b"(" + kind + b"o"
    yield "NEWOBJ", kind + b")\x81"
    yield "NEWOBJ_EX", kind + b")}\x92"
    yield "BUILD", kind + b")\x81}\x8c\x01aK\x01sb"
    yield "BUILD of a dict", b"}}\x8c\x01aK\x01sb"
    yield "BUILD of a list", b"]N}\x86b"
    yield "APPEND to a class's object", kind + b")\x81K\x01a"
    yield "SETITEM of a class's object", kind + b")\x81K\x01K\x02s"
    yield "os.system", b"cos\nsystem\n(S'touch /dev/shm/orion-hpc-canary'\ntR"
    yield "posix.system", b"cposix\nsystem\n\x8c\x20touch /dev/shm/orion-hpc-canary  \x85R"
    yield "builtins.eval", b"cbuiltins\neval\n\x8c\x011\x85R"
    yield "builtins.exec by getattr", b"cbuiltins\ngetattr\ncbuiltins\ndict\n\x8c\x03get\x86R"
    yield "copyreg._reconstructor", b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\n0tR"
    yield "collections.OrderedDict", b"ccollections\nOrderedDict\n)R"
    yield "orion_hpc's own class", b"corion_hpc.model.trial_record\nTrialRecord\n(K\x00}K\x00tR"
    yield "import of a module", b"cantigravity\nfly\n"
    yield "a name that is no name", b"c\n\n"
    yield "GLOBAL cut short", b"cos\n"
    yield "PERSID", b"P" + nest + b"\n"
    yield "BINPERSID", b"\x8c\x01xQ"
    for number in (0, 1, 2, 200):
        yield f"EXT1 {number}", b"\x82%c" % number
        yield f"EXT2 {number}", b"\x83" + struct.pack("<H", number)
        yield f"EXT4 {number}", b"\x84" + struct.pack("<i", number)
    yield "EXT4 -1", b"\x84" + struct.pack("<i", -1)
    for number in (1000, 10**6, 5 * 10**7, 2**30, 2**31 - 1, 2**32 - 1):
        yield f"LONG_BINPUT {number}", b"Nr" + struct.pack("<I", number)
        yield f"LONG_BINGET {number}", b"j" + struct.pack("<I", number)
        yield f"PUT {number}", b"Np%d\n" % number
        yield f"GET {number}", b"g%d\n" % number
    yield "PUT of many digits", b"Np" + b"9" * 5000 + b"\n"
    yield "PUT -1", b"Np-1\n"
    yield "MEMOIZE a lot", b"N" + b"\x94" * 200_000
    for number in (0, 2**20, 2**28, 2**30 - 1, 2**31 - 1, 2**31, 2**40, 2**62, 2**63, 2**64 - 1):
        for name, code in (
            ("BINBYTES8", b"\x8e"),
            ("BYTEARRAY8", b"\x96"),
            ("BINUNICODE8", b"\x8d"),
        ):
            yield f"{name} {number}", code + struct.pack("<Q", number)
        if number < 2**32:
            for name, code in (("BINBYTES", b"B"), ("BINUNICODE", b"X"), ("BINSTRING", b"T")):
                yield f"{name} {number}", code + struct.pack("<I", number)
            yield f"LONG4 {number}", b"\x8b" + struct.pack("<I", number)
        yield f"FRAME {number}", b"\x95" + struct.pack("<Q", number) + b"N"
    yield "NEXT_BUFFER", b"\x97"
    yield "READONLY_BUFFER", b"N\x98"
    yield "NEXT_BUFFER, READONLY_BUFFER", b"\x97\x98"
    yield "DUP", b"N2\x86"
    yield "DUP a million times", b"]" + b"2" * 1_000_000
    yield "DUP a list into itself", b"]2a"
    yield "a list in itself by the memo", b"]q\0h\0a"
    yield "a dict in itself", b"}q\0\x8c\x01xh\0s"
    yield "a tuple in itself", b"](q\0h\0t0h\0"
    yield "POP of nothing", b"0000000000"
    yield "POP_MARK of nothing", b"1"
    yield "MARK a million times", b"(" * 1_000_000
    yield "TUPLE without MARK", b"t"
    yield "APPENDS without MARK", b"]e"
    yield "APPENDS to None", b"N(K\x01e"
    yield "SETITEMS of odd number", b"}(K\x01u"
    yield "a list as a key", b"}]Ns"
    yield "a dict as a key", b"}}Ns"
    yield "a NaN as a key", b"}G\x7f\xf8\0\0\0\0\0\0Ns"
    yield "EMPTY_SET, ADDITEMS", b"\x8f(K\x01K\x02\x90"
    yield "ADDITEMS of a list", b"\x8f(]\x90"
    yield "FROZENSET", b"(K\x01K\x02\x91"
    yield "FROZENSET of a list", b"(]\x91"
    for levels in (3, 9, 30, 200):
        yield f"lists that laugh, {levels} levels", _laughs(levels)
        yield f"tuples that laugh, {levels} levels", _laughs(levels, b"(", b"t")
    yield "a key that laughs", b"}" + _laughs(12, b"(", b"t") + b"Ns"
    yield "lists, very deep", b"]" * _DEEP + b"a" * (_DEEP - 1)
    yield "tuples, very deep", b")" + b"\x85" * _DEEP
    yield "dicts, very deep", b"}K\x01" * _DEEP + b"}" + b"s" * _DEEP
    yield "tuples of MARKs, very deep", b"(" * _DEEP + b"t" * _DEEP
    yield "a key that is very deep", b"})" + b"\x85" * _DEEP + b"Ns"
    yield "keys that collide", _colliding(40_000)
    yield "a few keys that collide", _colliding(2000)
    yield "LONG1 of 255 bytes", b"\x8a\xff" + b"\x7f" * 255
    yield "LONG4 of a million digits", b"\x8b" + struct.pack("<i", 415_242) + b"\x7f" * 415_242
    yield "LONG4 of a negative length", b"\x8b" + struct.pack("<i", -5)
    yield "LONG of a million digits", b"L" + b"9" * 1_000_000 + b"L\n"
    yield "LONG of 4,000 digits", b"L" + b"9" * 4000 + b"L\n"
    yield "INT of a million digits", b"I" + b"9" * 1_000_000 + b"\n"
    yield "INT that is no number", b"Ix\n"
    yield "INT that is a truth value", b"I01\n"
    for text in (b"nan", b"inf", b"-inf", b"1e999", b"", b"x", b"1" * 100_000):
        yield f"FLOAT {text[:9]!r}", b"F" + text + b"\n"
    yield "BINFLOAT NaN", b"G\x7f\xf8\0\0\0\0\0\0"
    yield "UNICODE of half a pair", b"V\\ud800\n"
    yield "BINUNICODE of half a pair", b"\x8c\x03\xed\xa0\x80"
    yield "BINUNICODE of no UTF-8", b"\x8c\x02\xff\xfe"
    yield "UNICODE that ends in a backslash", b"Vx\\\n"
    yield "STRING", b"S'x'\n"
    yield "STRING without quotes", b"Sx\n"
    yield "SHORT_BINSTRING", b"U\x02\xff\xfe"
    yield "PROTO 255", b"\x80\xff"
    yield "PROTO 0", b"\x80\0N"
    yield "STOP", b"N."
    yield "nothing", b""
    for code in range(256):
        yield f"instruction {code:#x} by itself", b"%c" % code
        yield f"instruction {code:#x} with zeros", b"NN%c" % code + bytes(9)
