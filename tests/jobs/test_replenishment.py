"""How often tasks that are gone are replaced, and when no more."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from orion_hpc.config.resolve import Layer, resolve
from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.replenishment import Patience, hopeless, launch_time, now, top_up
from orion_hpc.jobs.slurm import SlurmJobs
from orion_hpc.jobs.submission import Submission, submit


def test_jobs_that_fail_at_once_are_replaced_less_and_less_often() -> None:
    """Ten seconds, twenty, … ten minutes, as long as no trial is completed."""
    patience = Patience()
    times = [second for second in range(4000) if patience.may(float(second), 0)]
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert times[0] == 0
    assert gaps == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600]


def test_progress_makes_it_quick_again() -> None:
    patience = Patience()
    times = [second for second in range(100) if patience.may(float(second), 0)]
    assert not patience.may(100.0, 0)
    assert patience.may(100.0, 1)
    assert not patience.may(109.0, 1)
    assert patience.may(110.0, 1)
    assert times


class DeadJobs:
    """A launcher whose tasks end at once, each with a log and without a worker."""

    name, detached = "slurm", True

    def __init__(self, folder: Path, log: str) -> None:
        self.folder, self.log, self.launches = folder, log, 0

    def check(self) -> None:
        pass

    def launch(self, request: LaunchRequest) -> SlurmJobs:
        self.launches += 1
        job = str(100 + self.launches)
        for task in range(request.tasks):
            (self.folder / f"{job}_{task}.out").write_text(self.log)
        return SlurmJobs((job,), str(self.folder / f"{job}_*.out"))

    def preview(self, request: LaunchRequest) -> str:
        return ""


SLURMS = "slurmstepd: error: *** JOB 101 ON n1 CANCELLED AT 2026-12-01T10:00:00 DUE TO "


@pytest.mark.usefixtures("fake_slurm")
@pytest.mark.parametrize(
    ("array", "log", "launches"),
    [
        (1, "module: command not found\n", 3),
        (2, "module: command not found\n", 2),
        (9, "module: command not found\n", 1),
        (9, f"{SLURMS}PREEMPTION ***\n", None),
        (9, f"{SLURMS}NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS ***\n", None),
    ],
)
def test_tasks_that_die_at_once(tmp_path: Path, array: int, log: str, launches: int | None) -> None:
    """After three tasks, however many each launch has; not if Slurm ended them. A submission
    doesn't count what died before it."""
    values = {
        "name": "quick", "space": {"x": "uniform(0, 1)"}, "command": ["sh", "-c", "echo 1"],
        "max_trials": 20, "slurm": {"array": str(array)},
    }  # fmt: skip
    settings = resolve([Layer("test", values, tmp_path, home=True)])
    launcher = DeadJobs(tmp_path, log)
    for _ in range(2):
        before = launcher.launches
        done: Submission = submit(settings, launcher)
        since = launch_time(done)
        assert since <= time.time()
        while (failed := hopeless(done, now(done), set(), since)) is None:
            if launcher.launches - before > 3:
                break
            assert hopeless(done, now(done), {str(100 + launcher.launches)}, since) is None
            assert top_up(done, settings, launcher, 0) is not None
        assert (failed and launcher.launches - before) == launches
        done.storage.close()
