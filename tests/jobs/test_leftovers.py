"""What of submitit's goes with the tasks of an array that never begin, and what stays."""

from __future__ import annotations

import os

from orion_hpc.jobs.leftovers import remove_unbegun
from tests.rigs.fake_slurm import FakeSlurm

WHOLE = {"12_submission.sh", "12_0_submitted.pkl", "12_1_submitted.pkl", "12_2_submitted.pkl",
         "12_0_0_result.pkl", "12_0_0_log.out", "13_submitted.pkl", "13_submission.sh",
         "0a" * 16 + ".pkl", "mine.pkl"}  # fmt: skip


def left(folder, fake_slurm: FakeSlurm, *said: str) -> set[str]:
    """Return which files are gone after Slurm has said this."""
    for name in WHOLE:
        (folder / name).touch()
    fake_slurm.answer("squeue", "".join(f"{line}|quick|\n" for line in said))
    remove_unbegun(str(folder))
    return WHOLE - set(os.listdir(folder))


def test_what_was_cancelled_goes_and_what_runs_stays(tmp_path, fake_slurm: FakeSlurm) -> None:
    """13 isn't known: it may be another cluster's."""
    gone = left(tmp_path, fake_slurm, "12|0|RUNNING|0|None", "12|1-2|CANCELLED|0|None")
    assert gone == {"12_1_submitted.pkl", "12_2_submitted.pkl", "12_submission.sh"}


def test_what_waits_stays(tmp_path, fake_slurm: FakeSlurm) -> None:
    """Such as a task that was preempted just now."""
    gone = left(tmp_path, fake_slurm, "12|0|COMPLETING|0|None", "12|1-2|PENDING|1|None",
                "13|N/A|CANCELLED|0|None")  # fmt: skip
    assert gone == {"13_submitted.pkl", "13_submission.sh"}


def test_without_an_answer_all_stays(tmp_path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail("squeue", "Access denied")
    assert left(tmp_path, fake_slurm) == set()
    remove_unbegun(str(tmp_path / "none"))
