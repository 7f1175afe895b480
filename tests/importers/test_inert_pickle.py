"""The machine that reads a pickle as data: the same values as Python's, and never a call."""

from __future__ import annotations

import os
import pickle
import pickletools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.importers.orion import inert_pickle
from orion_hpc.importers.orion.inert_pickle import Global, NotInert, Record, load


def everything(name: Global) -> bool:
    """Let every name through."""
    return True


def nothing(name: Global) -> bool:
    """Let no name through."""
    return False


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner)
        | st.tuples(inner, inner, inner)
        | st.lists(inner).map(tuple)
    ),
    max_leaves=20,
)


@given(values, st.integers(0, 5))
def test_plain_data_is_read_as_python_reads_it(value, protocol):
    """Of every protocol, and of the same types."""
    assert repr(load(pickle.dumps(value, protocol), nothing)) == repr(value)


@given(st.binary(), st.integers(3, 5))
def test_bytes_are_read_as_python_reads_them(value, protocol):
    """Protocols that know bytes."""
    assert load(pickle.dumps(value, protocol), nothing) == value


def test_sets_are_lists():
    """Their elements, whatever they are, are never hashed."""
    assert load(pickle.dumps({1}), nothing) == [1]
    assert load(pickle.dumps(frozenset("a")), nothing) == ["a"]


def test_only_texts_are_keys():
    """Numbers could be chosen to make a dictionary of a million keys take hours."""
    assert load(pickle.dumps({1: 2, "a": 3, None: 4}), nothing) == {"a": 3}


def test_shared_and_cyclic_parts_stay_so():
    """Nothing is copied, so nothing grows."""
    shared: list[object] = []
    cyclic = [shared, shared]
    cyclic.append(cyclic)
    found = load(pickle.dumps(cyclic), nothing)
    assert found[0] is found[1]
    assert found[2] is found


class Evil:
    """Asks for a call when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch executed",)


def hostile() -> dict[str, bytes]:
    """Return pickles that ask for calls, in every way that the instructions offer."""
    made = {f"reduce, protocol {n}": pickle.dumps(Evil(), n) for n in range(6)}
    made.update(
        {
            "reduce": b"cos\nsystem\n(S'true'\ntR.",
            "inst": b"(S'true'\nios\nsystem\n.",
            "obj": b"(cos\nsystem\nS'true'\no.",
            "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
            "newobj": b"\x80\x02cos\nsystem\nU\x04true\x85\x81.",
            "newobj ex": b"\x80\x04cos\nsystem\n)}\x92.",
            "eval": b"cbuiltins\neval\n(S'1'\ntR.",
            "getattr": b"cbuiltins\ngetattr\n(cos\npath\nS'join'\ntR.",
            "copyreg": b"ccopyreg\n_reconstructor\n(cos\nsystem\ncbuiltins\nobject\nNtR.",
            "extension": b"\x82\x01.",
            "extension 2": b"\x83\x01\x01.",
            "extension 4": b"\x84\x01\x01\x01\x01.",
            "persistent": b"Ppersistent\n.",
            "persistent, binary": b"\x8c\x01xQ.",
            "buffer": b"\x80\x05\x97.",
            "buffer, read only": b"\x80\x05N\x98.",
            "build on a dict": b"}(\x8c\x01ak\x01ub.",
        }
    )
    return made


@pytest.mark.parametrize("data", hostile().values(), ids=list(hostile()))
def test_whatever_asks_for_a_call_is_refused(data):
    """In words, since no such name is let through."""
    with pytest.raises(NotInert, match="it "):
        load(data, nothing)


@pytest.mark.parametrize("data", hostile().values(), ids=list(hostile()))
def test_a_name_that_is_let_through_stays_a_name(data):
    """Even then a call is a record of what was to be called, or is refused."""
    try:
        found = load(data, everything)
    except NotInert:
        return
    assert type(found) is Record
    assert type(found.kind) is Global


WATCHED = """\
import sys
sys.path.insert(0, {path!r})
from orion_hpc.importers.orion.inert_pickle import NotInert, load
from tests.importers.test_inert_pickle import everything, hostile
seen, watching = [], False
def hook(event, arguments):
    if watching:
        seen.append(event)
made = list(hostile().values())
try:
    load(made[0], everything)  # imports what decoding needs
except NotInert:
    pass
sys.addaudithook(hook)
for data in made:
    watching = True
    try:
        load(data, everything)
    except NotInert:
        pass
    watching = False
print(sorted(set(seen)))
"""


def test_nothing_is_looked_up_or_run(tmp_path):
    """Python's audit events tell of every import, lookup of a pickle, file, process and code."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(path=root)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr
    assert os.listdir(tmp_path) == []


def test_a_record_keeps_what_it_was_given():
    """Arguments, state and items, without an attribute being set by the file's leave."""
    state = b"}(\x8c\x09__class__\x8c\x01x\x8c\x0c__setstate__\x8c\x01y\x8c\x08__dict__}u"
    data = b"\x80\x04\x8c\x01m\x8c\x01C\x93K\x07\x85R" + state + b"b\x8c\x01kK\x08s."
    record = load(data, everything)
    assert type(record) is Record
    assert record.kind == ("m", "C")
    assert record.args == (7,)
    assert record.state == {"__class__": "x", "__setstate__": "y", "__dict__": {}}
    assert record.items == {"k": 8}
    assert repr(record) == "<m.C>"


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8c\x01m\x8c\x01C\x93}\x8c\x01aK\x01sb.",  # a state for a name
        b"\x80\x04\x8c\x01m\x8c\x01C\x93)R)R.",  # a call of what isn't a name
        b"\x80\x04\x8c\x01m\x8c\x01C\x93]R.",  # arguments that are no tuple
        b"\x80\x04\x8c\x01m\x8c\x01C\x93)K\x01\x92.",  # keywords that are none
        b"\x80\x04K\x01K\x02\x93.",  # a name of numbers
        b"\x80\x04\x8c\x01m\x8c\x01C\x93)RK\x01a.",  # an element for a record
        b"](K\x01u.",  # a key without a value, in a list
        b"}(\x8c\x01au.",  # a key without a value
        b"K\x01e.",  # elements without a mark
        b"h\x07.",  # never memoized
        b"p-1\n.",
        b"K\x01p99999999999\n.",
        b".",
        b"0.",
        b"K\x01t.",
    ],
)
def test_nonsense_is_refused(data):
    """Instructions that don't fit what stands on the stack are no crash."""
    with pytest.raises(NotInert, match="make no sense"):
        load(data, everything)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"not a pickle",
        b"\x80\x04]",
        b"\xff" * 10,
        b"I12",
        b"Inan\n.",
        b"S'a\n.",
        b"\x80\x04\x8c\x02\xff\xff.",
        b"I" + b"9" * 5000 + b"\n.",
        b"\x80\x63N.",
    ],
)
def test_what_is_no_whole_pickle_is_refused(data):
    """Garbage and cut files, in words."""
    with pytest.raises(NotInert, match="it "):
        load(data, everything)


def test_every_cut_of_a_pickle_is_refused():
    """A file that is still being copied, for instance."""
    whole = pickle.dumps({"a": [1, 2.5, "text", b"bytes", (None, True)] * 3})
    assert load(whole, nothing)
    for end in range(len(whole)):
        with pytest.raises(NotInert):
            load(whole[:end], nothing)


def test_what_comes_after_the_end_is_ignored():
    """As Python's reader does."""
    assert load(pickle.dumps(1) + b"more", nothing) == 1


def colliding() -> bytes:
    """Return a dictionary whose keys are numbers of one hash."""
    keys = (n * ((1 << 61) - 1) for n in range(50_000))
    return b"}(" + b"".join(b"\x8a\x0a" + k.to_bytes(10, "little") + b"N" for k in keys) + b"u."


BOMBS = {
    "a length of petabytes": lambda: b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\x03\x00.",
    "bytes of petabytes": lambda: b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\x03\x00.",
    "a frame of petabytes": lambda: b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\x03\x00.",
    "a memo of billions": lambda: b"\x80\x02K\x01r\xff\xff\xff\xff.",
    "a memo of billions, as text": lambda: b"K\x01p4294967295\n.",
    "many dictionaries": lambda: b"(" + b"}" * 12_000_000 + b"l.",
    "many marks": lambda: b"(" * 12_000_000 + b".",
    "keys that collide": colliding,
    "lists in lists": lambda: b"]" * 2_000_000 + b"a" * 1_999_999 + b".",
    "tuples in tuples as a key": lambda: b"}K\x01" + b"\x85" * 2_000_000 + b"Ns.",
}
"""What few bytes can ask of Python's own reader: memory without end, hours, or a stack overflow."""

BOUNDED = """\
import pickle, resource, sys, time
sys.path.insert(0, {path!r})
from orion_hpc.importers.orion.inert_pickle import NotInert, load
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
data = sys.stdin.buffer.read()
began = time.process_time()
try:
    load(data, lambda name: True)
except NotInert:
    pass
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("done", time.process_time() - began < 60, used >> 10)
"""


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=list(BOMBS))
def test_a_bomb_takes_neither_memory_nor_time_nor_the_stack(bomb):
    """Bounded in all of them, in a process that would die otherwise."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED.format(path=root)],
        input=bomb(), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    word, fast, megabytes = done.stdout.split()
    assert (word, fast) == (b"done", b"True"), (done.returncode, done.stderr)
    assert int(megabytes) < 1500


def test_there_is_an_instruction_for_each_that_python_knows():
    """A new one of a later protocol would be refused by name, and shows here."""
    known = {*inert_pickle._PUSH, *inert_pickle._INSTRUCTIONS, *inert_pickle._REFUSED, "STOP"}
    assert {opcode.name for opcode in pickletools.opcodes} == known
