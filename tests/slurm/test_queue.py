"""What is read from squeue, and from its refusals."""

from __future__ import annotations

import pytest

from orion_hpc.slurm import commands
from orion_hpc.slurm.queue import cancel, live_tasks
from tests.rigs.fake_slurm import FakeSlurm


def test_every_state_in_which_a_task_may_still_work_counts(fake_slurm: FakeSlurm) -> None:
    """Which states there are: squeue(1), JOB STATE CODES."""
    alive = ["PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD",
             "REQUEUE_FED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT",
             "RESV_DEL_HOLD"]  # fmt: skip
    over = ["COMPLETING", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "NODE_FAIL",
            "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "REVOKED", "SPECIAL_EXIT"]  # fmt: skip
    fake_slurm.answer("squeue", "".join(f"12|{state}\n" for state in [*alive, *over]))
    assert live_tasks(["12"]) == ["12"] * len(alive)
    (call,) = fake_slurm.calls("squeue")
    assert "--array" in call.argv
    assert "--jobs=12" in call.argv


def test_without_jobs_nobody_is_asked(fake_slurm: FakeSlurm) -> None:
    assert live_tasks([]) == []
    assert fake_slurm.calls("squeue") == []


def test_jobs_that_slurm_has_forgotten_are_over(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("squeue", "slurm_load_jobs error: Invalid job id specified")
    assert live_tasks(["12"]) == []


@pytest.mark.parametrize(
    "said",
    [
        "slurm_load_jobs error: Socket timed out on send/recv operation",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "slurm_load_jobs error: Access/permission denied",
        "",
    ],
)
def test_no_answer_is_no_news(fake_slurm: FakeSlurm, monkeypatch, said) -> None:
    """Neither that they run nor that they are gone."""
    monkeypatch.setattr(commands.time, "sleep", lambda seconds: None)
    fake_slurm.fail("squeue", said)
    assert live_tasks(["12"]) is None


def test_all_are_cancelled_by_one_call(fake_slurm: FakeSlurm) -> None:
    assert cancel(["9", "12"]).ok
    assert [call.argv for call in fake_slurm.calls("scancel")] == [["9", "12"]]
