"""Database files of Oríon's: the genuine one against what Oríon reads, and all that is none."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys

import numpy
import pytest

from orion_hpc.errors import ImportRefused
from orion_hpc.importers.orion import pickle_file
from orion_hpc.importers.orion.inert_values import ValueConverter, moment
from orion_hpc.importers.orion.pickle_file import block, read_documents
from tests.rigs.orion_file import (
    EXPERIMENT,
    GENUINE,
    MODULE,
    STATUSES,
    TIME,
    make,
    stand_ins,
    trial,
)


def read(tmp_path, data: bytes):
    """Return the documents of a file with ``data``."""
    path = tmp_path / "old.pkl"
    path.write_bytes(data)
    return read_documents(str(path))


def refused(tmp_path, data: bytes) -> str:
    """Expect a refusal, and return what it says after the path."""
    with pytest.raises(ImportRefused) as caught:
        read(tmp_path, data)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    path, _, told = caught.value.message.partition("old.pkl")
    assert path
    assert "\n" not in told
    return told.strip()


@pytest.mark.parametrize("path", [GENUINE, STATUSES], ids=lambda path: path.stem)
def test_the_documents_are_what_orion_reads(path):
    """Every field that Oríon's own reader told of, from a file that Oríon wrote."""
    documents = read_documents(str(path))
    plain = ValueConverter().plain
    for expected in json.loads(path.with_suffix(".json").read_text()):
        (found,) = (
            document
            for document in documents["experiments"]
            if (document["name"], document["version"]) == (expected["name"], expected["version"])
        )
        assert found["max_trials"] == expected["max_trials"]
        assert found["max_broken"] == expected["max_broken"]
        assert block(found, "space") == expected["space"]
        trials = [one for one in documents["trials"] if one["experiment"] == found["_id"]]
        assert len(trials) == len(expected["trials"])
        for one, known in zip(trials, expected["trials"], strict=True):
            assert one["id"] == known["id"]
            assert one["status"] == known["status"]
            assert plain(one["results"]) == known["results"]
            for key in ("submit_time", "start_time", "end_time"):
                time = one[key] and moment(one[key]).replace(tzinfo=None).isoformat()
                assert time == known[key]


@pytest.mark.parametrize("protocol", range(3, 6))
def test_every_protocol_that_orion_may_have_written_is_read(tmp_path, protocol):
    """Python 3.7 wrote protocol 3, in which sets are calls."""
    documents = read(tmp_path, make(trials=[trial(0), trial(1)], protocol=protocol))
    assert [one["name"] for one in documents["experiments"]] == ["old"]
    assert [one["id"] for one in documents["trials"]] == [f"{n:032x}" for n in range(2)]
    assert moment(documents["experiments"][0]["metadata.datetime"]).replace(tzinfo=None) == TIME


def test_a_database_may_lack_collections(tmp_path):
    """Oríon makes one when it is first written to."""
    data = make().replace(b"\x8c\x06trials", b"\x8c\x06others")
    assert read(tmp_path, data)["trials"] == []


def test_state_of_algorithms_stays_closed(tmp_path):
    """It is a pickle in a pickle, and numpy's generators may stand in the file itself."""
    state = {"rng": numpy.random.RandomState(1), "new": numpy.random.default_rng(1)}
    document = {**EXPERIMENT, "state": pickle.dumps(state), "open": state, "n": numpy.ones(3)}
    assert read(tmp_path, make([document]))["experiments"][0]["name"] == "old"


READING = """\
import sys
sys.path.insert(0, {root!r})
from orion_hpc.importers.orion.pickle_file import read_documents
assert read_documents({path!r})["trials"]
print(sorted({{"numpy", "orion", "pandas", "scipy"}} & set(sys.modules)))
"""


def test_reading_imports_neither_orion_nor_numpy():
    """Nor is anything else imported that the file names."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", READING.format(root=root, path=str(GENUINE))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


class Evil:
    """Asks for a call when it is unpickled."""

    def __init__(self, function, *args) -> None:
        self._call = function, args

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Evil(os.system, "touch executed"), f"{os.system.__module__}.system"),
        (Evil(eval, "1"), "builtins.eval"),
        (Evil(getattr, "a", "join"), "builtins.getattr"),
        (Evil(__import__, "os"), "builtins.__import__"),
        (subprocess.Popen, "subprocess.Popen"),
        (Evil(pickle.loads, b"N."), "_pickle.loads"),
        (numpy.load, "numpy.load"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_database_that_names_something_else_is_refused(tmp_path, evil, name):
    """Wherever it is hidden in a file that is sound otherwise."""
    hidden = {**EXPERIMENT, "metadata.user": {"deep": [evil]}}
    assert refused(tmp_path, make([hidden])) == f"isn't a database of Oríon: it names '{name}'"
    assert os.listdir(tmp_path) == ["old.pkl"]


def test_stand_ins_take_no_methods_from_the_file(tmp_path):
    """Names of Python's own hooks in a state are keys like any other."""
    data = make(
        [
            {
                **EXPERIMENT,
                "__class__": "x",
                "__setstate__": "y",
                "__dict__": {"__reduce__": 1},
                "__init_subclass__": [],
            }
        ]
    )
    (found,) = read(tmp_path, data)["experiments"]
    assert type(found) is dict
    assert found["__dict__"] == {"__reduce__": 1}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"name: a\n", "isn't a database of Oríon: it isn't a whole pickle"),
        (b"\x93ORION\r\n\x01\x00", "is a database of orion-hpc already"),
        (pickle.dumps({"experiments": []}), "there is no EphemeralDB where one belongs"),
        (pickle.dumps(None), "there is no EphemeralDB where one belongs"),
        (make()[:-1], "isn't a database of Oríon: it isn't a whole pickle"),
        (b"\x82\x01.", "it names something by a number of the copyreg module"),
        (b"Pname\n.", "it refers to something outside of itself"),
    ],
)
def test_what_is_no_database_of_orions_is_refused(tmp_path, data, told):
    """In one sentence that says what is wrong."""
    assert told in refused(tmp_path, data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m.EphemeralDB,
        lambda m: m.EphemeralDB(),
        lambda m: _with(m.EphemeralDB(), _db=3),
        lambda m: _with(m.EphemeralDB(), _db={"experiments": 3}),
        lambda m: _with(m.EphemeralDB(), _db={"experiments": m.EphemeralCollection()}),
        lambda m: _with(
            m.EphemeralDB(), _db={"trials": _with(m.EphemeralCollection(), _documents={})}
        ),
        lambda m: _with(
            m.EphemeralDB(), _db={"trials": _with(m.EphemeralCollection(), _documents=[3])}
        ),
        lambda m: _with(
            m.EphemeralDB(),
            _db={
                "trials": _with(
                    m.EphemeralCollection(), _documents=[_with(m.EphemeralDocument(), _data=[])]
                )
            },
        ),
    ],
)
def test_a_database_of_the_wrong_shape_is_refused(tmp_path, spoil):
    """The right names in the wrong places."""
    with stand_ins() as module:
        data = pickle.dumps(spoil(module))
    assert MODULE.encode() in data
    assert refused(tmp_path, data).startswith("isn't a database of Oríon: ")


def _with(record, **state):
    record.__dict__.update(state)
    return record


def test_what_is_no_file_is_refused_at_once(tmp_path):
    """A directory, a FIFO that nobody writes to, a name too long or with a null, and nothing."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "none", tmp_path / ("n" * 300), "a\0b"):
        with pytest.raises(ImportRefused):
            read_documents(str(path))


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    """With the system's reason."""

    def denied(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pickle_file.os, "open", denied)
    with pytest.raises(ImportRefused, match=r"can't read .*old.pkl: Permission denied"):
        read_documents(str(tmp_path / "old.pkl"))


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    """Nor is more of it than the limit."""
    monkeypatch.setattr(pickle_file, "MOST_BYTES", 1 << 20)
    assert refused(tmp_path, bytes((1 << 20) + 1)).startswith("is larger than 1 MiB")


def test_mutated_files_are_read_or_refused(tmp_path):
    """Bits flipped, parts cut, doubled and swapped: never another exception."""
    whole = make(trials=[trial(n) for n in range(3)])
    rng = random.Random(1)
    refusals = 0
    for _ in range(3000):
        try:
            read(tmp_path, mutated(whole, rng))
        except ImportRefused:
            refusals += 1
    assert refusals > 1000


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """Return ``whole`` with a few accidents."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        at, end = sorted(rng.randrange(len(data)) for _ in range(2))
        kind = rng.randrange(5)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at : min(end, at + 20)]
        elif kind == 3:
            data[at:at] = data[at : min(end, at + 50)]
        else:
            data[at : at + 4] = rng.randbytes(4)
    return bytes(data) or b"."
