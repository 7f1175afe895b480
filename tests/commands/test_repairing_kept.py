"""Databases whose writers keep what they wrote: damage costs nothing that is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orion_hpc.commands.examining import check, info
from orion_hpc.commands.repairing import repair
from orion_hpc.files import layout
from orion_hpc.model import event as ev
from orion_hpc.model.trial import COMPLETED
from orion_hpc.report.databases import check_lines, info_rows, repair_lines
from orion_hpc.storage.examination import Examiner
from orion_hpc.storage.pickleddb import PickledDB
from tests.rigs.database import create, flip, frames, work


def during(steps) -> None:
    """Take all steps."""
    for _ in steps:
        pass


@pytest.fixture
def path(tmp_path):
    """A database with a lease, six completed trials by two writers in turn, and one reserved."""
    path = tmp_path / "db.pkl"
    one, two = create(path, lock="lease"), PickledDB(str(path))
    for _ in range(4):
        work(one, 1)
        work(two, 1)
    one.close()
    two.close()
    return path


def kept(path) -> list[Path]:
    """Return the writers' own files."""
    folder = Path(layout.write_ahead_folder(str(path), PickledDB(str(path)).id))
    return sorted(one for one in folder.iterdir() if one.is_file())


def trials(path) -> list[tuple]:
    """Return what the trials of the experiment are."""
    found = PickledDB(str(path)).refresh().experiments[1].trials
    return [(trial.status, trial.attempt, trial.params, trial.results) for trial in found]


def zero(path, *indices: int) -> None:
    """Put zeros in the place of frames."""
    found, data = frames(path), bytearray(path.read_bytes())
    for index in indices:
        data[found[index].start : found[index].end] = bytes(found[index].end - found[index].start)
    path.write_bytes(data)


@pytest.mark.parametrize("which", [[4], [-1], [4, 5], [4, -1], [4, -2, -1]])
def test_what_is_kept_needs_no_repair(path, which):
    """Check says so; readers have all of it, and so has the next writer."""
    before = trials(path)
    zero(path, *which)
    damaged = path.read_bytes()
    found = check(str(path), during)
    assert found["sound"]
    assert found["to_restore"]
    assert found["torn"] == 0
    assert found["experiments"][0]["trials"]["completed"] == 7
    told = " ".join(check_lines(found, str(path)))
    assert f"{found['to_restore'][0]['start']:,}" in told
    assert "is read from its writers' copies" in told
    assert "put back" in dict(info_rows(info(str(path), during)))["state"]
    assert trials(path) == before
    assert path.read_bytes() == damaged, "looking changes nothing"
    done = repair(str(path), during)
    assert not done["repaired"]
    assert done["restored"] == found["to_restore"]
    assert "was put back" in next(repair_lines(done, str(path)))
    for one in (done, check(str(path), during)):
        assert (one["sound"], one["to_restore"]) == (True, [])
        assert one["restorations"] > 0
    assert trials(path) == before
    assert work(PickledDB(str(path)), 2).count(COMPLETED) == 8


def test_a_file_that_was_cut_short_is_read_whole(path):
    """By who comes then; and the next writer puts back what is missing."""
    before = trials(path)
    with path.open("r+b") as file:
        file.truncate(frames(path)[4].start + 7)
    assert trials(path) == before
    assert work(PickledDB(str(path)), 2).count(COMPLETED) == 8
    assert check(str(path), during)["to_restore"] == []


def test_a_beginning_that_is_lost_is_repaired_from_the_copies(path):
    """Also the experiment's name and settings, which stand in the first frame."""
    before, name = trials(path), PickledDB(str(path)).refresh().experiments[1].name
    data, end = path.read_bytes(), frames(path)[1].end
    path.write_bytes(bytes(end) + data[end:])
    assert repair(str(path), during)["repaired"]
    assert trials(path) == before
    assert PickledDB(str(path)).refresh().experiments[1].name == name


@pytest.mark.parametrize("where", [3, 30])
def test_a_lost_header_takes_nothing_with_it(path, where):
    """Magic or content: repair takes from the writers' files what stands in the way of it."""
    before = trials(path)
    zero(path, 5)
    flip(path, where)
    done = repair(str(path), during)
    assert done["repaired"]
    assert trials(path) == before
    storage = PickledDB(str(path))
    assert storage.lock == "lease"
    assert work(storage, 2).count(COMPLETED) == 8
    assert kept(path), "its writers go on to keep what they write"


@pytest.mark.parametrize("writer", [0, 1])
def test_of_a_file_that_is_lost_the_others_are_used(path, writer):
    """Repair saves more with the files that there are than without any."""
    zero(path, 4, 5, 6)
    files = kept(path)
    for one in (path, path.parent / "none.pkl"):
        one.write_bytes(path.read_bytes())
    files[writer].unlink()
    assert not check(str(path), during)["sound"]
    done = repair(str(path), during)
    assert done["repaired"]
    assert check(str(path), during)["sound"]
    alone = path.parent / "none.pkl"
    assert repair(str(alone), during)["repaired"]
    with_files = sum(trial[0] == COMPLETED for trial in trials(path))
    without = sum(trial[0] == COMPLETED for trial in trials(alone))
    assert without < with_files <= 7


def test_files_are_settled_only_if_the_database_has_it_all(path):
    """Not while a frame is missing in it, nor a file with a frame that it never had."""

    def settled() -> list[str]:
        examiner = Examiner(str(path))
        during(examiner.steps())
        examiner.close()
        return examiner.settled([one.name for one in kept(path)])

    files = kept(path)
    assert settled() == [one.name for one in files]
    whole = path.read_bytes()
    zero(path, -1)
    assert settled() == []
    path.write_bytes(whole)
    with files[0].open("ab") as file:
        file.write(b"half a frame")
    assert settled() == [one.name for one in files[1:]]


def test_a_writer_goes_on_whose_file_was_tidied_away(path):
    """It begins another."""
    storage = PickledDB(str(path))
    storage.transact(1, lambda state: [ev.LaunchJobs("local", ("2",), "/logs", 3.0)])
    for one in kept(path):
        os.unlink(one)
    assert work(storage, 1).count(COMPLETED) == 8
    assert len(kept(path)) == 1
