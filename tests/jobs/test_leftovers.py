"""What of submitit's goes with the tasks of an array that never begin, and what stays."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from orion_hpc.jobs.leftovers import remove_unbegun
from orion_hpc.sharedfs.layout import JOB_SPEC
from tests.rigs.fake_slurm import FakeSlurm

WHOLE = {"12_submission.sh", "12_0_submitted.pkl", "12_1_submitted.pkl", "12_2_submitted.pkl",
         "12_0_0_result.pkl", "12_0_0_log.out", "13_submitted.pkl", "13_submission.sh",
         "0a" * 16 + ".pkl", "mine.pkl", JOB_SPEC}  # fmt: skip


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


def test_the_settings_go_with_the_last_task_that_could_begin(
    tmp_path, fake_slurm: FakeSlurm
) -> None:
    """Two arrays of one launch: the second one's task may still be requeued."""
    folder = tmp_path / "launch"
    folder.mkdir()
    for name in ("12_0_submitted.pkl", "13_0_submitted.pkl", JOB_SPEC):
        (folder / name).touch()
    fake_slurm.answer("squeue", "12|0|CANCELLED|0|None|quick|\n13|0|RUNNING|0|None|quick|\n")
    remove_unbegun(str(folder))
    assert sorted(os.listdir(folder)) == ["13_0_submitted.pkl", JOB_SPEC]
    fake_slurm.answer("squeue", "13|0|CANCELLED|0|None|quick|\n")
    remove_unbegun(str(folder))
    assert os.listdir(folder) == []


@pytest.mark.parametrize("other", [True, False])
@pytest.mark.parametrize("over", [True, False])
def test_a_job_that_ends_the_experiment_removes_its_files(tmp_path, over, other) -> None:
    """As its process ends; the settings only where no other job needs them."""
    own = {"12_0_submitted.pkl", "12_0_0_result.pkl"}
    others = {"12_1_submitted.pkl"} if other else set()
    for name in own | others | {JOB_SPEC}:
        (tmp_path / name).touch()
    code = (
        "import sys, types; from orion_hpc.jobs.leftovers import tidying\n"
        "start, returned, over = sys.argv[1:]\n"
        "result = types.SimpleNamespace(over=over == 'True')\n"
        "tidying((lambda argument: argument, result, lambda: (start, returned)))"
    )
    files = [str(tmp_path / name) for name in sorted(own, reverse=True)]
    subprocess.run([sys.executable, "-c", code, *files, str(over)], check=True)
    left = {"12_0_submitted.pkl", JOB_SPEC} if not over else {JOB_SPEC} if other else set()
    assert set(os.listdir(tmp_path)) == left | others
