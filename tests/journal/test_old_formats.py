"""Databases of earlier formats open for ever, and take what is appended in their own format."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from orion_hpc.journal import framing
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev

ASSET = Path(__file__).parents[1] / "assets" / "journal-1.pkl"
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
