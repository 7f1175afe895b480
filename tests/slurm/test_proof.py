"""Which runs of jobs count as ended: only those that Slurm says so of."""

from __future__ import annotations

import pytest

from orion_hpc.slurm import commands
from orion_hpc.slurm.proof import REQUEUED, Known, known_runs
from tests.rigs.fake_slurm import FakeSlurm


def queue(*lines: str) -> str:
    return "".join(f"{line}|None|quick|\n" for line in lines)


@pytest.mark.parametrize(
    ("line", "ended"),
    [
        ("12|3|RUNNING|0", ""),
        ("12|3|RUNNING|1", REQUEUED),  # it runs anew
        ("12|3|PENDING|1", REQUEUED),
        ("12|3|PENDING|0", ""),
        ("12|3-7%2|PENDING|1", REQUEUED),
        ("12|3|COMPLETING|1", ""),  # its processes may still be there
        ("12|3|COMPLETING|0", ""),
        ("12|3|SUSPENDED|0", ""),
        ("12|3|CANCELLED|0", "CANCELLED"),
        ("12|3|CANCELLED|2", REQUEUED),  # a later run of it was cancelled
        ("12|3|TIMEOUT|0", "TIMEOUT"),
        ("12|3|OUT_OF_MEMORY|0", "OUT_OF_MEMORY"),
        ("12|3|NODE_FAIL|0", ""),  # Slurm doesn't reach the node; the file system may
        ("12|3|REVOKED|0", ""),
        ("12|4|CANCELLED|0", ""),  # another task
        ("12|N/A|CANCELLED|0", ""),
    ],
)
def test_what_squeue_says(fake_slurm: FakeSlurm, line, ended) -> None:
    fake_slurm.answer("squeue", queue(line))
    known = known_runs(["12_3.0"])
    assert known is not None
    assert known.ended == ({"12_3.0": ended} if ended else {})
    assert known.suspended == ({"12_3.0"} if line == "12|3|SUSPENDED|0" else set())


@pytest.mark.parametrize(
    ("line", "suspended"),
    [
        ("12|3|SUSPENDED|0", True),
        ("12|3|STOPPED|0", True),  # by scancel --signal=STOP
        ("12|2-4|SUSPENDED|0", True),
        ("12|3|RUNNING|0", False),
        ("12|3|SUSPENDED|1", False),  # a later run of it, and this one has ended
        ("12|4|SUSPENDED|0", False),
        ("12|3|SUSPENDED|N/A", False),
    ],
)
def test_which_runs_are_suspended(fake_slurm: FakeSlurm, line, suspended) -> None:
    """Only the very run that Slurm says it of."""
    fake_slurm.answer("squeue", queue(line))
    known = known_runs(["12_3.0"])
    assert known is not None
    assert known.suspended == ({"12_3.0"} if suspended else set())


def test_sacct_remembers_what_squeue_has_forgotten(fake_slurm: FakeSlurm) -> None:
    """It isn't asked of those that squeue knows: it may lag behind."""
    fake_slurm.answer("squeue", queue("12|1|RUNNING|0"))
    fake_slurm.answer(
        "sacct",
        "12_1|COMPLETED|q|c\n12_2|TIMEOUT|q|c\n12_3|RUNNING|q|c\n12_4|NODE_FAIL|q|c\n"
        "15|CANCELLED by 0|q|c\n",
    )
    runs = ["12_1.0", "12_2.0", "12_3.0", "12_4.0", "12_5.0", "15.2"]
    assert known_runs(runs) == Known({"12_2.0": "TIMEOUT", "15.2": "CANCELLED"})


def test_a_site_without_accounting_proves_less(fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("squeue", "slurm_load_jobs error: Invalid job id specified")
    assert known_runs(["12_3.0"]) == Known()
    assert len(fake_slurm.calls("sacct")) == 1


@pytest.mark.parametrize("said", ["slurm_load_jobs error: Socket timed out", "Access denied"])
def test_no_answer_proves_nothing(fake_slurm: FakeSlurm, monkeypatch, said) -> None:
    """Not even with sacct's word: only the controller knows what is requeued right now."""
    monkeypatch.setattr(commands.time, "sleep", lambda seconds: None)
    fake_slurm.fail("squeue", said)
    fake_slurm.answer("sacct", "12_3|COMPLETED|q|c")
    assert known_runs(["12_3.0"]) is None


def test_who_isnt_in_a_job_is_never_asked_of(fake_slurm: FakeSlurm) -> None:
    assert known_runs(["local-77", "", "12_3", "12_3.x"]) == Known()
    assert fake_slurm.calls("squeue") == []
