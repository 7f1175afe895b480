"""What a process asks Slurm of its own job, and how it bears the answers."""

from __future__ import annotations

import time

import pytest

from orion_hpc.slurm import commands
from orion_hpc.slurm.own_job import own_job, time_left
from tests.rigs.fake_slurm import FakeSlurm

TASK = {
    "SLURM_JOB_ID": "15",
    "SLURM_ARRAY_JOB_ID": "12",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_JOB_NAME": "quick",
    "SLURM_RESTART_COUNT": "2",
}


def test_a_task_goes_by_its_arrays_number() -> None:
    """``scontrol requeue 12`` would requeue all of array 12; 15 is what Slurm calls the task."""
    job = own_job(TASK)
    assert job is not None
    assert (job.id, job.array, job.name, job.requeues, job.end) == ("12_3", "12", "quick", 2, None)


@pytest.mark.parametrize("environ", [{}, {"SLURM_JOB_ID": ""}, {"SLURM_JOB_ID": "local"}])
def test_outside_of_a_job_there_is_none(environ) -> None:
    assert own_job(environ) is None


def test_a_job_without_array_goes_by_its_own_number() -> None:
    job = own_job({"SLURM_JOB_ID": "15", "SLURM_RESTART_COUNT": "x", "SLURM_JOB_END_TIME": "9"})
    assert job is not None
    assert (job.id, job.array, job.requeues, job.end) == ("15", None, 0, 9.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("59\n", 59),
        ("0:07", 7),
        ("1:00", 60),
        ("2:03:04", 7384),
        ("1-02:03:04", 93784),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("INVALID", None),
        ("", None),
        ("1:00\n1:00", None),
        ("-5", None),
    ],
)
def test_squeues_times_are_read(text, seconds) -> None:
    assert time_left(text) == seconds


def test_the_environments_word_comes_first(fake_slurm: FakeSlurm) -> None:
    """A thousand tasks that start at once ask Slurm nothing that it told them already."""
    job = own_job({**TASK, "SLURM_JOB_END_TIME": str(int(time.time()) + 100)})
    assert job is not None
    left = job.time_left()
    assert left is not None
    assert 95 < left <= 100
    assert fake_slurm.calls("squeue") == []


def test_slurm_is_asked_where_the_environment_is_silent(fake_slurm: FakeSlurm) -> None:
    fake_slurm.answer("squeue", "2:00")
    job = own_job(TASK)
    assert job is not None
    assert job.time_left() == 120
    assert "--jobs=12_3" in fake_slurm.calls("squeue")[0].argv
    fake_slurm.fail("squeue", "slurm_load_jobs error: Invalid job id specified")
    assert job.time_left() is None


def test_a_busy_controller_is_asked_again(fake_slurm: FakeSlurm, monkeypatch) -> None:
    """Its time-outs pass; three tries, no more."""
    monkeypatch.setattr(commands.time, "sleep", lambda seconds: None)
    fake_slurm.fail("scontrol", "slurm_update error: Socket timed out on send/recv operation")
    job = own_job(TASK)
    assert job is not None
    answer = job.requeue()
    assert not answer.ok
    assert answer.may_pass
    assert [call.argv for call in fake_slurm.calls("scontrol")] == [["requeue", "12_3"]] * 3


def test_a_refusal_is_final(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("scontrol", "Requested operation is presently disabled for job 15")
    job = own_job(TASK)
    assert job is not None
    assert job.requeue().error == "Requested operation is presently disabled for job 15"
    assert len(fake_slurm.calls("scontrol")) == 1


def test_only_waiting_tasks_of_this_name_are_cancelled(fake_slurm: FakeSlurm) -> None:
    job = own_job(TASK)
    assert job is not None
    assert job.cancel_waiting(["9", "12"]).ok
    (call,) = fake_slurm.calls("scancel")
    assert call.argv == ["--state=PENDING", "--name=quick", "9", "12"]


@pytest.mark.usefixtures("no_slurm")
def test_a_missing_command_is_told() -> None:
    answer = commands.ask("scontrol", "requeue", "1")
    assert (answer.ok, answer.may_pass) == (False, False)
    assert answer.error == "scontrol can't be run: No such file or directory"


def test_a_command_that_hangs_is_given_up(tmp_path) -> None:
    """Also where a child of it holds its output open."""
    answer = commands.ask("sleep", "60", timeout=0.1)
    assert not answer.ok
    assert answer.may_pass
    assert answer.error == "sleep timed out after 0.1 s"
