"""Damaged databases: what is found, what is saved, and that they go on."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from orion_hpc.errors import LockTimeout, StorageError, StorageUnusable, WorkersAlive
from orion_hpc.journal import framing, safe_pickle
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.maintenance import database_repair
from orion_hpc.maintenance import rewrite as storage_repair
from orion_hpc.maintenance.database_check import check
from orion_hpc.maintenance.database_repair import repair
from orion_hpc.maintenance.examination import Examiner
from orion_hpc.maintenance.rewrite import Repairer
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import COMPLETED, INTERRUPTED, LOST_WORKER, RESERVED
from orion_hpc.sharedfs import atomic, process_identity
from orion_hpc.sharedfs.flock import Flock
from tests.rigs.database import create, flip, frames, give_sign, result, work


def during(steps) -> None:
    """Take all steps."""
    for _ in steps:
        pass


@pytest.fixture
def path(tmp_path):
    """A database with six completed trials, and one that is reserved."""
    path = tmp_path / "db.pkl"
    storage = create(path)
    work(storage, 7)
    storage.close()
    return path


def header_end(path) -> int:
    """Return where the frames begin."""
    return frames(path)[0].start


def trials(path):
    """Return the trials of the first experiment."""
    return next(iter(PickledDB(str(path)).refresh().experiments.values())).trials


PLACES = {
    "magic": lambda path: [2],
    "header's length": lambda path: [10],
    "header's checksum": lambda path: [13],
    "header's content": lambda path: [30],
    "middle": lambda path: [frames(path)[4].start + 30],
    "a mark": lambda path: [frames(path)[4].start],
    "a checksum": lambda path: [frames(path)[4].start + 5],
    "a length": lambda path: [frames(path)[4].start + 9],
    "a number": lambda path: [frames(path)[4].start + 12],
    "last": lambda path: [frames(path)[-1].end - 1],
    "two places": lambda path: [frames(path)[3].start + 30, frames(path)[6].start + 30],
    "header and middle": lambda path: [3, frames(path)[5].start + 40],
}


@pytest.mark.parametrize("place", PLACES)
def test_a_repaired_database_holds_what_is_whole_and_goes_on(path, place):
    """Trials keep their parameters, results that aren't lost are there, workers do the rest, and
    the damaged file lies beside it, byte for byte."""
    before = trials(path)
    places = PLACES[place](path)
    lost = [
        frame.start for frame in frames(path) if any(frame.start <= at < frame.end for at in places)
    ]
    old_id = PickledDB(str(path)).id
    for at in places:
        flip(path, at)
    damaged = path.read_bytes()
    found = check(str(path), during)
    assert not found["sound"]
    where = [one["start"] for one in found["damage"]]
    assert where == [0] * (min(places) < header_end_of(place)) + lost
    assert path.read_bytes() == damaged, "looking changes nothing"

    done = repair(str(path), during)
    assert done["repaired"]
    assert done["aside"] == f"{path}.damaged-1"
    assert (path.parent / "db.pkl.damaged-1").read_bytes() == damaged
    assert sorted(os.listdir(path.parent)) == ["db.pkl", "db.pkl.damaged-1", "db.pkl.lock"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert check(str(path), during)["sound"]
    assert not repair(str(path), during)["repaired"]

    storage = PickledDB(str(path))
    assert (storage.id, storage.lock) != (old_id, "lease")
    after = storage.refresh().experiments[1].trials
    assert [trial.params for trial in after] == [trial.params for trial in before[: len(after)]]
    completed = sum(trial.status == COMPLETED for trial in after)
    # A transaction records one end and the beginning of the next trial.
    assert 6 - len(lost) <= completed <= 6
    assert all(trial.results == result(trial.number) for trial in after if trial.results)
    for trial in after:
        loss = ev.ReleaseTrial(trial.number, trial.attempt, INTERRUPTED, LOST_WORKER, "", 6.0)
        storage.transact(1, lambda state, loss=loss: [loss])
    experiment = work(storage, 12, worker="another")
    assert experiment.count(COMPLETED) == 8
    assert experiment.is_done


def header_end_of(place: str) -> int:
    """Return up to where a place of this name is in the header."""
    return 60 if place.startswith(("magic", "header")) else 0


def test_damage_to_any_byte_is_found_and_repaired(path):
    """Wherever one bit turns over: no error but a clear one, and a sound file in the end."""
    sound = path.read_bytes()
    aside = path.parent / "db.pkl.damaged-1"
    version_field = range(8, 10)
    for at in range(len(sound)):
        path.write_bytes(sound)
        flip(path, at, bit=at % 8)
        seems_newer = at in version_field and path.read_bytes()[8:10] > b"\1\0"
        if seems_newer:
            with pytest.raises(StorageUnusable, match="newer version"):
                check(str(path), during)
        else:
            assert not check(str(path), during)["sound"], at
        assert repair(str(path), during, force=seems_newer)["repaired"], at
        assert check(str(path), during)["sound"]
        assert len(trials(path)) >= 6
        aside.unlink()


def test_the_first_transaction_may_be_lost(path):
    """The results of an experiment whose settings are lost stay, under a name of their own."""
    flip(path, frames(path)[0].start + 40)
    done = repair(str(path), during)
    assert done["put_in"]["experiments"] == ["lost-1-v1"]
    experiment = PickledDB(str(path)).refresh().experiments[1]
    assert experiment.title == "lost-1-v1"
    assert experiment.count(COMPLETED) == 6
    assert [trial.results for trial in experiment.trials[:6]] == [result(n) for n in range(6)]


def test_a_trial_whose_registration_is_lost_has_its_parameters_again(path):
    """And the result that stands behind the damage."""
    before = trials(path)
    middle = frames(path)[4]  # completes trial 1, registers trial 2
    flip(path, middle.start + 30)
    done = repair(str(path), during)
    assert done["put_in"]["again"] == {"e-v1": [2]}
    after = trials(path)
    assert [trial.params for trial in after] == [trial.params for trial in before]
    assert after[2].results == result(2)
    assert [trial.status for trial in after] == [
        COMPLETED, RESERVED, COMPLETED, COMPLETED, COMPLETED, COMPLETED, RESERVED,
    ]  # fmt: skip
    assert done["experiments"][0]["trials"]["completed"] == 1, "before the damage"
    assert done["now"]["experiments"][0]["trials"]["completed"] == 5


@pytest.mark.parametrize("cut", [1, 20])
def test_a_torn_tail_is_no_damage(path, cut):
    """A crash leaves it, and the next writer goes on behind it: nothing is to be repaired."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    before = path.read_bytes()
    found = check(str(path), during)
    assert found["sound"]
    assert found["torn"] == frames_length(before)
    assert not repair(str(path), during)["repaired"]
    assert path.read_bytes() == before


def frames_length(data: bytes) -> int:
    """Return how many bytes no frame holds at the end."""
    end = framing.decode_header(data).end
    return len(data) - max(frame.end for frame in framing.frames(data[end:], end))


HOSTILE = {
    "code": b"\x80\x05cos\nsystem\n(S'touch /tmp/never'\ntR.",
    "no transaction": safe_pickle.dumps(("w", 0)),
    "no event": safe_pickle.dumps(("w", 0, ((99, 1),))),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_whole_frame_that_nobody_of_ours_wrote_is_left_out(path, kind):
    """It is told with its offset; nothing in it is run."""
    before = trials(path)
    start = path.stat().st_size
    with path.open("ab") as file:
        file.write(framing.encode_frame(1, HOSTILE[kind]))
    (fault,) = check(str(path), during)["damage"]
    assert (fault["start"], fault["kind"]) == (start, "strange")
    assert fault["why"]
    repair(str(path), during)
    assert trials(path) == before


def test_nothing_is_changed_while_a_worker_is_alive(path):
    """The error names the worker and what to type; with --force it is done all the same."""
    flip(path, frames(path)[4].start + 30)
    before = path.read_bytes()
    sign = give_sign(path, "e-v1", f"elsewhere:17:{'0' * 6}.5:1234_7.0")
    with pytest.raises(WorkersAlive, match="1 worker runs on e-v1: elsewhere:17") as caught:
        repair(str(path), during)
    assert "'scancel 1234'" in caught.value.hint
    assert path.read_bytes() == before
    assert not os.path.exists(f"{path}.damaged-1")
    os.utime(sign.path, (1, 1))  # silent for long
    os.rename(path.parent / "db.pkl.files" / "e-v1", path.parent / "db.pkl.files" / "gone-v1")
    own = give_sign(path, "f-v3", str(process_identity.own()))
    with pytest.raises(WorkersAlive, match="f-v3") as caught:
        repair(str(path), during)
    assert f"kill {os.getpid()}" in caught.value.hint
    assert repair(str(path), during, force=True)["repaired"]
    assert os.path.exists(own.path)


def test_a_worker_that_is_gone_does_not_stand_in_the_way(path):
    """One that was killed leaves its sign behind."""
    flip(path, frames(path)[4].start + 30)
    who = subprocess.run(
        [sys.executable, "-c", "from orion_hpc.sharedfs.process_identity import own; print(own())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    give_sign(path, "e-v1", who)
    assert repair(str(path), during)["repaired"]


def test_the_lock_is_held_while_it_works(path, monkeypatch):
    """Who holds it is waited for, and not for ever; a sound file needs no lock."""
    monkeypatch.setattr(storage_repair, "_LOCK_TIMEOUT", 0.2)
    lock = Flock(f"{path}.lock", 0o600)
    assert lock.try_acquire()
    try:
        assert not repair(str(path), during)["repaired"]
        flip(path, frames(path)[4].start + 30)
        before = path.read_bytes()
        with pytest.raises(LockTimeout):
            repair(str(path), during)
    finally:
        lock.release()
    assert path.read_bytes() == before
    assert repair(str(path), during)["repaired"]


def test_nothing_that_lies_beside_it_is_replaced(path):
    """An earlier damaged file keeps its name."""
    (path.parent / "db.pkl.damaged-1").write_bytes(b"of before")
    flip(path, frames(path)[4].start + 30)
    assert repair(str(path), during)["aside"] == f"{path}.damaged-2"
    assert (path.parent / "db.pkl.damaged-1").read_bytes() == b"of before"


def test_a_writer_that_has_the_old_file_open_writes_nothing(path):
    """It finds that the file was replaced; its result isn't lost in a file without a name."""
    storage = PickledDB(str(path))
    storage.refresh()
    flip(path, frames(path)[4].start + 30)
    repair(str(path), during)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="replaced by another file"):
        work(storage, 1)
    assert path.read_bytes() == before


def test_somebody_who_writes_meanwhile_is_noticed(path):
    """One whose lock doesn't hold, say: then nothing is changed."""
    flip(path, frames(path)[4].start + 30)
    examiner = Examiner(str(path))
    during(examiner.steps())
    with path.open("ab") as file:
        file.write(framing.encode_frame(1, safe_pickle.dumps(("w9", 0, ()))))
    before = path.read_bytes()
    with pytest.raises(StorageError, match="another process wrote into"):
        during(Repairer(examiner).steps(examiner.found))
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["db.pkl", "db.pkl.lock"]


@pytest.mark.parametrize("step", ["fsync", "rename", "link"])
def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(path, monkeypatch, step):
    """A full disk, say, at the last moment."""
    flip(path, frames(path)[4].start + 30)
    before = path.read_bytes()

    def fail(*args, **options):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, step, fail)
        with pytest.raises(StorageError, match="No space left"):
            repair(str(path), during)
    assert path.read_bytes() == before
    assert sorted(os.listdir(path.parent)) == ["db.pkl", "db.pkl.lock"]


def test_a_damaged_header_keeps_what_can_be_told_of_it(tmp_path):
    """Lock and group, where only the beginning is damaged; else the file's mode tells the group,
    and that its writers kept what they wrote tells the lock."""
    path = tmp_path / "db.pkl"
    storage = PickledDB.create(str(path), lock="lease", group=True)
    work(create(path), 3)
    storage.close()
    flip(path, 1)
    repair(str(path), during)
    storage = PickledDB(str(path))
    assert (storage.lock, storage.group) == ("lease", True)
    flip(path, 30)
    repair(str(path), during)
    storage = PickledDB(str(path))
    assert (storage.lock, storage.group) == ("lease", True)
    assert path.stat().st_mode & 0o777 == 0o660
    assert len(storage.refresh().experiments[1].trials) == 3


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b"text\n" * 40, "isn't a database"), (None, "there is no file"),
     (framing.encode_header({"lock": "flock", "id": "0"})[:20], "isn't a database")],
)  # fmt: skip
def test_what_is_no_database_is_refused(tmp_path, content, told):
    """By check and repair alike; nothing is written."""
    path = tmp_path / "db.pkl"
    if content is not None:
        path.write_bytes(content)
    for tool in (check, repair):
        with pytest.raises(StorageUnusable, match=told):
            tool(str(path), during)
    assert os.listdir(tmp_path) == ([] if content is None else ["db.pkl"])


def test_a_second_experiment_stays_what_it_is(path):
    """Damage among one's trials is none of the other's."""
    storage = create(path, "f", max_trials=3)
    work(storage, 4, number=2)
    storage.close()
    flip(path, frames(path)[4].start + 30)
    repair(str(path), during)
    found = PickledDB(str(path)).refresh().experiments
    assert [one.title for one in found.values()] == ["e-v1", "f-v1"]
    assert found[2].count(COMPLETED) == 3


def test_an_algorithm_of_the_files_choosing_is_not_loaded(tmp_path, monkeypatch):
    """Only those of this package are asked for parameters."""
    path = tmp_path / "db.pkl"
    storage = create(path)
    work(storage, 4)
    experiment = storage.state.experiments[1]
    experiment.configuration["algorithm"] = {"evil": {}}
    monkeypatch.setattr(database_repair, "make_algorithm", lambda *given: pytest.fail("was loaded"))
    assert database_repair.derive()(experiment, 0) is None


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happened_to_the_bytes_the_outcome_is_sound(path, seed):
    """Flips, cuts, holes, repeated and foreign stretches, several at once: repair ends with a file
    that every reader takes, or with a sentence and nothing changed."""
    rng = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(data))
        end = min(len(data), start + rng.randint(1, 300))
        damage = rng.choice(("flip", "cut", "hole", "repeat", "foreign"))
        if damage == "flip":
            data[start] ^= 1 << rng.randrange(8)
        elif damage == "repeat":
            data[start:start] = data[max(0, end - 200) : end]
        else:
            data[start:end] = {
                "cut": b"", "hole": bytes(end - start), "foreign": rng.randbytes(end - start),
            }[damage]  # fmt: skip
    path.write_bytes(data)
    try:
        done = repair(str(path), during)
    except StorageUnusable:
        assert path.read_bytes() == data
        assert os.listdir(path.parent) == ["db.pkl", "db.pkl.lock"]
        return
    found = check(str(path), during)
    assert found["sound"]
    assert not (done["repaired"] and found["torn"])
    experiments = PickledDB(str(path)).refresh().experiments
    for experiment in experiments.values():
        for trial in experiment.trials:
            assert trial.results in (None, result(trial.number))
            assert not (trial.status == RESERVED and trial.params == {})


def test_of_two_repairs_at_once_one_repairs(path):
    """The other finds a sound file when it has the lock, and leaves it as it is."""
    flip(path, frames(path)[4].start + 30)
    done = []

    def during_which_another_repairs(steps) -> None:
        during(steps)
        if not done:
            done.append(repair(str(path), during))

    assert not repair(str(path), during_which_another_repairs)["repaired"]
    assert [one["repaired"] for one in done] == [True]
    assert sorted(os.listdir(path.parent)) == ["db.pkl", "db.pkl.damaged-1", "db.pkl.lock"]


def test_a_repair_clears_what_a_killed_one_left(path):
    """A half-written database beside the true one would stay for ever."""
    flip(path, frames(path)[4].start + 30)
    (path.parent / "db.pkl.0123456789ab.new").write_bytes(b"half of it")
    repair(str(path), during)
    assert sorted(os.listdir(path.parent)) == ["db.pkl", "db.pkl.damaged-1", "db.pkl.lock"]


@pytest.mark.timeout(60)
def test_very_many_damaged_places_are_told_without_counting_them_anew_at_each(path):
    """A hundred thousand frames that hold nothing of ours; it took minutes."""
    with path.open("ab") as file:
        file.write(framing.encode_frame(7, b"x") * 100_000)
    assert len(check(str(path), during)["damage"]) == 100_000
