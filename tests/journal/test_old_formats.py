"""Databases of each format open for ever, and take what is appended in their own format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from orion_hpc.journal import framing, safe_pickle
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.maintenance import walk
from orion_hpc.model import event as ev
from orion_hpc.model import wire
from tests.assets import make_journal

ASSETS = Path(__file__).parents[1] / "assets"
ASSET = ASSETS / "journal-1.pkl"
GOLDEN = ASSETS / "journal-2.pkl"
TRIALS = [
    (0, {"x": 0.25}, "completed", 1, "n1:17:abc.1", 1.5),
    (1, {"x": 0.5}, "broken", 1, "n1:17:abc.1", None),
    (2, {"x": 0.75}, "reserved", 2, "n3:19:abc.1", None),
]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the old file, which may be written to."""
    path = tmp_path / "db.pkl"
    shutil.copy(ASSET, path)
    return path


def trials(path: Path) -> list[tuple[object, ...]]:
    """Return what a new reader finds."""
    experiment = PickledDB(str(path)).refresh().experiments[1]
    return [
        (one.number, one.params, one.status, one.attempt, one.worker, one.objective)
        for one in experiment.trials
    ]


def test_format_1_is_read(old):
    """With its torn write, which the next writer had sealed."""
    assert trials(old) == TRIALS


def test_format_1_stays_format_1(old):
    """Workers of the version that made it may be at work: they have to be able to read on."""
    before = old.read_bytes()
    results = [{"name": "o", "type": "objective", "value": 0.5}]
    storage = PickledDB(str(old))
    storage.transact(1, lambda state: [ev.CompleteTrial(2, 2, results, 9.0)])
    assert trials(old)[2][2] == "completed"
    content = old.read_bytes()
    assert content.startswith(before)
    header = framing.decode_header(content)
    assert header is not None
    assert header.version == 1
    found = list(framing.frames(content[header.end :], header.end))
    assert found[-1].end == len(content)
    assert {one.before for one in found} == {None}


def test_each_event_of_format_2_means_what_it_meant(tmp_path):
    """The state that a database with all of them was replayed to when it was written."""
    path = tmp_path / "db.pkl"
    shutil.copy(GOLDEN, path)
    state = make_journal.state_of(PickledDB(str(path)).refresh())
    assert json.loads(json.dumps(state)) == json.loads(GOLDEN.with_suffix(".json").read_text())


def test_the_golden_database_is_of_todays_format_and_has_everything():
    """Each kind of event, and each kind of frame; a new format or kind needs another one."""
    data = GOLDEN.read_bytes()
    header = framing.decode_header(data)
    assert header is not None
    assert header.version == framing.VERSION
    events, special = set(), set()
    for frame in walk.walk(lambda at, count: data[at : at + count], header.end, len(data)):
        if isinstance(frame, walk.Gap):
            continue
        if frame.experiment in (framing.SEAL, framing.RESTORATION):
            special.add(frame.experiment)
        else:
            events |= set(map(type, wire.decode_transaction(safe_pickle.loads(frame.payload))[2]))
    assert events == set(get_args(ev.Event))
    assert special == {framing.SEAL, framing.RESTORATION}


def test_today_the_same_is_written(tmp_path, capsys):
    """Byte for byte: what is written is what other versions read."""
    make_journal.main(str(tmp_path))
    assert (tmp_path / GOLDEN.name).read_bytes() == GOLDEN.read_bytes()
