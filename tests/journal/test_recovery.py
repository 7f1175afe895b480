"""After a disaster to the file, the lock, the disk or the clock: nothing acknowledged is lost,
nothing is doubled, no trial is stuck, and the user is told in one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orion_hpc.errors import LockTimeout, StorageError
from orion_hpc.experiments.summary import experiment_summary
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE
from orion_hpc.model.trial_record import COMPLETED
from orion_hpc.sharedfs import lock, mounts
from orion_hpc.sharedfs.mounts import FLOCK, LEASE
from tests.rigs.workers import Experiment

TRIALS = 3


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """Three trials, none of which ends before the test lets it."""
    made = Experiment(tmp_path, tmp_path / "db.pkl", TRIALS)
    yield made
    made.stop_all()


def fill(filler: Path) -> None:
    """Use up all space of the disk on which ``filler`` will lie."""
    with filler.open("wb", 0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


def check_all_completed(experiment: Experiment, reruns: int = 0) -> None:
    """Check that each trial completed once, and how many attempts were run in vain."""
    trials = experiment.state.trials
    assert [trial.status for trial in trials] == [COMPLETED] * TRIALS
    assert [trial.objective for trial in trials] == [trial.params["x"] for trial in trials]
    runs = experiment.runs()
    assert len(runs) == len(set(runs)) == TRIALS + reruns, f"attempts were run: {runs}"
    summary = experiment_summary(experiment.state, {})
    assert json.loads(json.dumps(summary, allow_nan=False))["state"] == "done"


def check_sentence(told: str, *words: str) -> None:
    """Check that a worker told what happened, and left no traceback."""
    assert "Traceback" not in told, told
    for word in words:
        assert word in told, told


# -- the file --------------------------------------------------------------------------------------


def test_a_file_cut_to_nothing_under_a_worker_costs_no_result(experiment):
    """The worker says so, keeps its result aside, and leaves; with the copy from before in its
    place the next worker records that result and goes on."""
    worker = experiment.start(patience=1.0)
    experiment.await_runs(1)
    copy = experiment.path.read_bytes()
    os.truncate(experiment.path, 0)
    experiment.let_go()
    code, told = experiment.end(worker)
    assert code == 1
    check_sentence(told, "told: ", "results are kept in")
    assert experiment.path.read_bytes() == b"", "nothing is written into what is left"
    with pytest.raises(StorageError, match=r"is empty|isn't a whole database"):
        PickledDB(str(experiment.path))
    with experiment.path.open("r+b") as file:
        file.write(copy)
    code, words = experiment.end(experiment.start())
    assert code == 0, words
    check_all_completed(experiment)
    assert re.search("was cut to 0 bytes", told), f"that isn't what happened: {told}"


@pytest.mark.parametrize(
    ("what", "told"), [("removed", "was removed"), ("replaced", "was replaced by another file")]
)
def test_a_file_that_is_away_for_a_while_is_waited_for(experiment, what, told):
    """The worker says so and tries again; once the file is back all is recorded, and nothing was
    written into the file that stood in its place."""
    worker = experiment.start()
    experiment.await_runs(1)
    away = experiment.path.with_suffix(".away")
    experiment.path.rename(away)
    other = b""
    if what == "replaced":
        PickledDB.create(str(experiment.path)).close()
        other = experiment.path.read_bytes()
    experiment.let_go()
    experiment.await_told(worker, told)
    if what == "replaced":
        assert experiment.path.read_bytes() == other
    away.rename(experiment.path)
    code, words = experiment.end(worker)
    assert code == 0, words
    check_sentence(words, told, "trying again")
    check_all_completed(experiment)


# -- the disk --------------------------------------------------------------------------------------


def test_a_file_system_that_is_read_only_for_a_while_is_waited_for(small_disk, tmp_path):
    """The worker says so and tries again, and records its result when it can be written."""
    experiment = Experiment(tmp_path, small_disk / "db.pkl", TRIALS, lock=LEASE)
    try:
        # Who keeps files open for writing keeps Linux from remounting; on a network they turn
        # read-only all the same. Without a coherent file system nothing is kept open.
        worker = experiment.start(incoherent=True)
        experiment.await_runs(1)
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        experiment.let_go()
        experiment.await_told(worker, "Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        code, told = experiment.end(worker)
        assert code == 0, told
        check_sentence(told, "trying again")
        check_all_completed(experiment)
    finally:
        experiment.stop_all()


def test_a_full_disk_that_stays_full_costs_no_result(small_disk, tmp_path):
    """A real worker whose patience ends says so and keeps its result in the trial's directory; the
    next one records it as that attempt's, without running the trial again."""
    experiment = Experiment(tmp_path, small_disk / "db.pkl", TRIALS)
    try:
        worker = experiment.start(patience=1.0)
        experiment.await_runs(1)
        filler = small_disk / "filler"
        fill(filler)
        # The last page would take a frame or two: zeros, as a torn write may leave them.
        with experiment.path.open("ab", 0) as file:
            file.write(bytes(-os.path.getsize(experiment.path) % os.sysconf("SC_PAGESIZE")))
        experiment.let_go()
        code, told = experiment.end(worker)
        assert code == 1, told
        check_sentence(told, "No space left on device", "Free some space", "results are kept in")
        filler.unlink()
        code, told = experiment.end(experiment.start())
        assert code == 0, told
        check_all_completed(experiment)
    finally:
        experiment.stop_all()


# -- the lock --------------------------------------------------------------------------------------

HOLDER = """
import os, signal, sys
from orion_hpc.sharedfs import lock, mounts
from orion_hpc.model import event as ev
from orion_hpc.journal.pickleddb import PickledDB
where, path, kind = sys.argv[1:4]
lock.LEASE_DURATION = 3.0
coherent = kind == "flock"
mounts.is_coherent = lambda mount: coherent
write = os.write

def stopping(fd, data):
    if os.readlink(f"/proc/self/fd/{fd}") != os.path.realpath(path):
        return write(fd, data)
    os.write = write
    if where == "middle":
        taken = write(fd, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGSTOP)
        return taken
    if where == "after":
        taken = write(fd, data)
        os.kill(os.getpid(), signal.SIGSTOP)
        return taken
    os.kill(os.getpid(), signal.SIGSTOP)
    return write(fd, data)

storage = PickledDB(path)
storage.refresh()
os.write = stopping
from orion_hpc.errors import StorageError
try:
    state = storage.transact(1, lambda state: [ev.ReserveTrial(0, 1, "stopped", 5.0)])
    print("done", state.experiments[1].trials[0].worker)
except StorageError as error:
    print("refused", error.message)
    state = storage.refresh()
    print("sees", state.experiments[1].trials[0].worker)
"""


def journal(path: Path, kind: str) -> None:
    """Make a database with two trials that wait for a worker."""
    storage = PickledDB.create(str(path), lock=kind)
    new = ev.CreateExperiment("e", 1, {"max_trials": None, "max_broken": 2}, 0.0)
    storage.transact(CATALOGUE, lambda state: [new])
    for number in range(2):
        trial = ev.RegisterTrial(number, {"x": float(number)}, 1.0)
        storage.transact(1, lambda state, trial=trial: [trial])
    storage.close()


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    """Collects processes that are stopped, and leaves none behind."""
    monkeypatch.setattr(lock, "LEASE_DURATION", 3.0)
    made: list[subprocess.Popen[str]] = []
    yield made
    for process in made:
        process.kill()
        process.wait()


def stop_in_append(stopped: list, where: str, path: Path, kind: str) -> subprocess.Popen[str]:
    """Start a process that stops itself in its append; return when it is stopped."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, where, path, kind], stdout=subprocess.PIPE, text=True
    )
    stopped.append(process)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), f"it didn't stop: {status}"
    return process


@pytest.mark.parametrize("where", ["before", "middle", "after"])
def test_a_stopped_holder_of_the_kernels_lock_is_waited_for(tmp_path, stopped, where):
    """Nobody breaks a living holder's lock: who waits in vain is told so, and both get on later."""
    path = tmp_path / "db.pkl"
    journal(path, FLOCK)
    process = stop_in_append(stopped, where, path, FLOCK)
    late = PickledDB(str(path), lock_timeout=0.7)
    with pytest.raises(LockTimeout, match="wasn't free") as caught:
        late.transact(1, lambda state: [ev.ReserveTrial(0, 1, "other", 4.0)])
    assert "lsof" in caught.value.hint
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "done stopped\n"
    late.transact(1, lambda state: [ev.ReserveTrial(1, 1, "other", 6.0)])
    trials = PickledDB(str(path)).refresh().experiments[1].trials
    assert [trial.worker for trial in trials] == ["stopped", "other"]


@pytest.mark.parametrize("where", ["before", "middle", "after"])
def test_a_stopped_holder_of_a_lease_neither_corrupts_nor_overrides(
    tmp_path, stopped, monkeypatch, where
):
    """Stopped in its append for longer than the lease: the others go on, and when it comes back it
    learns who was first in the journal."""
    monkeypatch.setattr(mounts, "is_coherent", lambda mount: False)
    path = tmp_path / "db.pkl"
    journal(path, LEASE)
    process = stop_in_append(stopped, where, path, LEASE)
    other = PickledDB(str(path), lock_timeout=20)
    state = other.transact(1, lambda state: [ev.ReserveTrial(0, 1, "other", 4.0)])
    # What was whole in the file when it was stopped came first, and stands.
    first = "stopped" if where == "after" else "other"
    assert state.experiments[1].trials[0].worker == first
    process.send_signal(signal.SIGCONT)
    told = process.communicate(timeout=30)[0].splitlines()
    assert told[-1].split()[-1] == first, told
    other.transact(1, lambda state: [ev.ReserveTrial(1, 1, "other", 6.0)])
    content = path.read_bytes()
    trials = PickledDB(str(path)).refresh().experiments[1].trials
    assert [trial.worker for trial in trials] == [first, "other"]
    assert other.refresh().experiments[1].trials == trials
    assert path.read_bytes() == content


# -- the clock -------------------------------------------------------------------------------------

DAY = 86400.0
OTHER_HOST = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")


@pytest.fixture
def other_host() -> tuple[str, ...]:
    """A command that lets a process believe to be on another host."""
    if (
        shutil.which("unshare") is None
        or subprocess.run([*OTHER_HOST, "true"], check=False).returncode
    ):
        pytest.skip("this user may not have a host name of its own")
    return OTHER_HOST


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_a_clock_that_is_a_day_off_robs_nobody_and_hides_nobody(experiment, other_host, skew):
    """A worker on another host, a day ahead or behind, keeps its trial as long as it gives signs of
    life, and loses it when it is killed."""
    far = experiment.start(other_host, skew=skew)
    experiment.await_runs(1)
    near = experiment.start()
    experiment.await_runs(2)
    holder = experiment.state.trials[0]
    assert holder.worker.startswith("elsewhere:"), "it looks like another host's"
    gap = holder.start_time - experiment.state.trials[1].start_time
    assert abs(gap - skew) < 600, f"its clock isn't a day off: {gap} s"
    third = experiment.start()
    experiment.await_runs(3)
    # These two find nothing to do but to look for workers that are lost.
    watching = [experiment.start(other_host, skew=skew), experiment.start()]
    # Silence is noticed after three and a half intervals.
    experiment.await_signs(workers=5, count=12)
    experiment.let_go()
    for worker in (far, near, third, *watching):
        code, told = experiment.end(worker)
        assert code == 0, told
    losses = [trial.losses for trial in experiment.state.trials]
    assert losses == [0] * TRIALS, "somebody was robbed"
    check_all_completed(experiment)


@pytest.mark.parametrize("skew", [DAY, -DAY])
def test_a_worker_with_another_clock_that_is_killed_is_found(experiment, other_host, skew):
    """Its trial is run again by a worker with the right time, which it isn't robbed of before."""
    far = experiment.start(other_host, skew=skew)
    experiment.await_runs(1)
    first = experiment.runs()[0]
    near = experiment.start()
    experiment.await_runs(2)
    experiment.kill(far)
    experiment.let_go()
    code, told = experiment.end(near)
    assert code == 0, told
    check_sentence(told, "is gone; its trials are taken from it")
    check_all_completed(experiment, reruns=1)
    assert (first[0], 2) in experiment.runs()
    assert experiment.state.trials[first[0]].losses == 1
