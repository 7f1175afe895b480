"""Databases whose writers keep what they wrote: damage costs nothing that is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orion_hpc.errors import DamagedDatabase, StorageUnusable
from orion_hpc.journal import framing
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.journal.write_ahead import LastFrame
from orion_hpc.maintenance.database_check import check, info
from orion_hpc.maintenance.database_repair import repair
from orion_hpc.maintenance.database_report import check_lines, info_rows
from orion_hpc.maintenance.examination import Examiner
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import COMPLETED
from orion_hpc.sharedfs import layout
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
    """Check calls it a gap and says whose it was; readers have all of it, and so has the next
    writer."""
    before = trials(path)
    zero(path, *which)
    damaged = path.read_bytes()
    found = check(str(path), during)
    assert not found["sound"]
    assert (found["damage"], found["torn"]) == ([], 0)
    assert found["gaps"]
    assert {one["worker"] for one in found["kept"]} == {"w"}
    assert found["experiments"][0]["trials"]["completed"] == 7
    assert "The writers have kept all of it" in " ".join(check_lines(found, str(path)))
    assert "gaps" in dict(info_rows(info(str(path), during)))["state"]
    assert trials(path) == before, "readers have all of it"
    assert path.read_bytes() == damaged, "looking changes nothing"
    storage = PickledDB(str(path))
    storage.recover()
    assert trials(path) == before
    assert check(str(path), during)["sound"], "who asks for it has it restored for all"
    assert work(storage, 2).count(COMPLETED) == 8
    found = check(str(path), during)
    assert (found["sound"], found["gaps"], found["kept"]) == (True, [], [])
    assert found["restorations"] > 0


def test_a_file_that_was_cut_short_is_read_whole(path):
    """By who comes then; and the next writer puts back what is missing."""
    before = trials(path)
    with path.open("r+b") as file:
        file.truncate(frames(path)[4].start + 7)
    assert trials(path) == before
    assert work(PickledDB(str(path)), 2).count(COMPLETED) == 8
    assert check(str(path), during)["sound"]


def test_a_beginning_that_is_lost_is_repaired_from_the_copies(path):
    """Also the experiment's name and settings, which stand in the first frame."""
    before, name = trials(path), PickledDB(str(path)).refresh().experiments[1].name
    data, end = path.read_bytes(), frames(path)[1].end
    path.write_bytes(bytes(end) + data[end:])
    assert repair(str(path), during)["repaired"]
    assert trials(path) == before
    assert PickledDB(str(path)).refresh().experiments[1].name == name


@pytest.mark.parametrize("which", [[4], [-1]])
def test_repair_puts_back_what_the_writers_have_kept(path, which):
    """It says whose that is; the database stays the same file, with more in it."""
    before, inode = trials(path), path.stat().st_ino
    zero(path, *which)
    kept_of = check(str(path), during)["kept"]
    done = repair(str(path), during)
    assert (done["repaired"], done["restored"]) == (False, kept_of)
    assert kept_of
    assert done["sound"]
    assert trials(path) == before
    assert path.stat().st_ino == inode
    assert repair(str(path), during)["restored"] is None


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


def test_more_than_a_job_can_restore_is_for_repair(path, monkeypatch):
    """No transaction holds all that is lost; the writer, check and repair agree on that."""
    before = trials(path)
    largest = max(len(one.payload) for one in frames(path))
    zero(path, -4, -3, -2, -1)
    monkeypatch.setattr(framing, "MAX_PAYLOAD", largest)
    with pytest.raises(DamagedDatabase, match="more than a job can restore"):
        work(PickledDB(str(path)), 1)
    found = check(str(path), during)
    assert "more is missing than a job can restore; it was kept" in str(found["damage"])
    assert repair(str(path), during)["repaired"]
    assert trials(path) == before


@pytest.mark.parametrize("first", [0, 1, 5])
def test_what_stood_first_is_put_first(path, first):
    """The experiment itself, and its first trials, when they are lost with the header."""
    before = trials(path)
    zero(path, *range(first))
    path.write_bytes(bytes(70) + path.read_bytes()[70:])
    assert repair(str(path), during)["repaired"]
    assert trials(path) == before
    assert work(PickledDB(str(path)), 1).count(COMPLETED) == 8


@pytest.mark.parametrize("content", [b"", bytes(5000), b"something else"])
def test_a_file_of_which_nothing_is_left_is_made_anew(path, content):
    """Where all of it is kept, and nobody can tell what else may be meant."""
    before = trials(path)
    path.write_bytes(content)
    assert not check(str(path), during)["sound"]
    assert repair(str(path), during)["repaired"]
    assert trials(path) == before
    storage = PickledDB(str(path))
    work(storage, 1)
    path.write_bytes(content)
    with pytest.raises(StorageUnusable):  # a repaired one has a folder of its own
        repair(str(path), during)


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("where", [3, 30])
def test_a_second_repair_finds_the_right_folder(path, where, turns):
    """Each repair begins another; the header that names it may be lost, or its magic alone."""
    zero(path, 5)
    flip(path, 30)
    assert repair(str(path), during)["repaired"]
    work(PickledDB(str(path)), turns)
    before = trials(path)
    zero(path, -1)
    flip(path, where)
    assert repair(str(path), during)["repaired"]
    assert trials(path) == before


@pytest.mark.parametrize("left", ["nothing", "no name"])
def test_without_a_name_of_the_last_one_all_that_is_kept_is_taken(path, left):
    """The end of the file may be lost with it."""
    before = trials(path)
    (name,) = (kept(path)[0].parent / "last").iterdir()
    name.unlink()
    if left == "no name":
        name.with_name("x").touch()
    os.truncate(path, frames(path)[5].start)
    found = check(str(path), during)
    assert not found["sound"]
    assert "can't tell" in found["damage"][0]["why"]
    assert repair(str(path), during)["repaired"]
    assert trials(path) == before


def test_who_is_at_work_meanwhile_has_lost_nothing(path, monkeypatch):
    """What is recorded while the file is looked at isn't missed in it."""
    storage = PickledDB(str(path))
    read_last = LastFrame.read

    def after_another(last):
        monkeypatch.setattr(LastFrame, "read", read_last)
        work(storage, 1)
        found = last.read()
        work(storage, 1)
        return found

    monkeypatch.setattr(LastFrame, "read", after_another)
    found = check(str(path), during)
    assert (found["sound"], found["gaps"]) == (True, [])


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
