"""What becomes of a worker's Slurm job, and of the tasks that wait, when the worker leaves."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import psutil
import pytest

from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import CANCELLED, PREEMPTED, TIMED_OUT
from orion_hpc.slurm.own_job import OwnJob
from orion_hpc.worker.leaving import leave
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.waiting import wait_until

JOB = OwnJob("12_3", "12", "quick", 0, None)


def experiment(done: bool = False) -> ExperimentState:
    """Return an experiment of one trial, of which two Slurm arrays and a local run were started."""
    state = ExperimentState(1, "quick", 1, {}, 0.0, 1, 3)
    for launcher, ids in (("slurm", ("9",)), ("local", ("77",)), ("slurm", ("12",))):
        state.apply(ev.LaunchJobs(launcher, ids, "/logs", 0.0))
    if done:
        state.apply(ev.RegisterTrial(0, {"x": 1}, 0.0, worker="w"))
        result = {"name": "o", "type": "objective", "value": 1.0}
        state.apply(ev.CompleteTrial(0, 1, (result,), 1.0))
        assert state.is_done
    return state


@pytest.mark.parametrize("cause", [None, PREEMPTED, CANCELLED])
def test_only_the_time_limit_requeues(fake_slurm: FakeSlurm, tmp_path, cause) -> None:
    """At preemption Slurm does it, where the site wants it; who cancels a job wants it gone."""
    leave(JOB, experiment(), cause, str(tmp_path), 5)
    assert fake_slurm.calls("scontrol") == fake_slurm.calls("scancel") == []


def test_at_the_time_limit_this_very_task_is_requeued(fake_slurm: FakeSlurm, tmp_path) -> None:
    leave(JOB, experiment(), TIMED_OUT, str(tmp_path), 5)
    assert [call.argv for call in fake_slurm.calls("scontrol")] == [["requeue", "12_3"]]
    assert fake_slurm.calls("scancel") == []


@pytest.mark.parametrize(("requeues", "most", "calls"), [(4, 5, 1), (5, 5, 0), (0, 0, 0)])
def test_not_more_often_than_wanted(fake_slurm: FakeSlurm, tmp_path, requeues, most, calls) -> None:
    job = dataclasses.replace(JOB, requeues=requeues)
    leave(job, experiment(), TIMED_OUT, str(tmp_path), most)
    assert len(fake_slurm.calls("scontrol")) == calls


@pytest.mark.parametrize("cause", [None, TIMED_OUT])
def test_when_all_is_done_the_first_to_leave_cancels_what_waits(
    fake_slurm: FakeSlurm, tmp_path, cause
) -> None:
    """And nobody goes back into the queue."""
    for task in ("12_3", "12_4"):
        job = dataclasses.replace(JOB, id=task)
        leave(job, experiment(done=True), cause, str(tmp_path / "jobs"), 5)
    (call,) = fake_slurm.calls("scancel")
    assert call.argv[2:] == ["9", "12"]
    assert fake_slurm.calls("scontrol") == []


def test_what_could_not_be_cancelled_is_left_to_the_next(fake_slurm: FakeSlurm, tmp_path) -> None:
    fake_slurm.fail("scancel", "scancel: error: Kill job error on job id 12: Access denied")
    for _ in range(2):
        leave(JOB, experiment(done=True), None, str(tmp_path), 5)
    assert len(fake_slurm.calls("scancel")) == 2


def test_a_stopped_experiment_is_as_good_as_done(fake_slurm: FakeSlurm, tmp_path) -> None:
    state = experiment()
    state.apply(ev.StopExperiment("by hand", 1.0))
    leave(JOB, state, TIMED_OUT, str(tmp_path), 5)
    assert len(fake_slurm.calls("scancel")) == 1
    assert fake_slurm.calls("scontrol") == []


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("job", [("12", None), ("30_3", "30"), ("31", None)])
def test_a_job_of_somebody_elses_is_left_alone(fake_slurm: FakeSlurm, tmp_path, job, done) -> None:
    """A user's own array, say, each task of which runs another experiment with local workers."""
    id_, array = job
    state = experiment(done)
    if id_ == "12":
        state.jobs.pop()
    leave(dataclasses.replace(JOB, id=id_, array=array), state, TIMED_OUT, str(tmp_path), 5)
    assert fake_slurm.calls("scontrol") == fake_slurm.calls("scancel") == []


EXIT = """
import multiprocessing, os, signal, sys, threading, time
from orion_hpc.worker.leaving import exit_bounded

signal.signal(signal.SIGTERM, signal.SIG_IGN)
with exit_bounded(0.5):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    print(child.pid, flush=True)
    {left}
    if {fails}:
        raise ValueError("the job has failed")
"""

THREAD = "threading.Thread(target=threading.Event().wait, name='forgotten').start()"


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("left", [THREAD, "child"])
def test_what_is_left_does_not_keep_a_jobs_process(left: str, fails: bool) -> None:
    """Python would wait for a thread or a process that a trial or a library left; in submitit's
    jobs SIGTERM has no effect then. The exit code says how the job ended."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT.format(left=left, fails=fails)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == int(fails), done
    child = int(done.stdout)
    wait_until(lambda: not psutil.pid_exists(child), 30, "the child's end")
    assert "its process doesn't exit within 0.5 s" in done.stderr
    assert ("forgotten" in done.stderr) == (left == THREAD)
    assert ("the job has failed" in done.stderr) == fails


def test_a_job_that_exits_is_left_alone() -> None:
    """With its exit code, and without a word."""
    code = "from orion_hpc.worker.leaving import exit_bounded\nwith exit_bounded(30): pass\nexit(3)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=25, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")
