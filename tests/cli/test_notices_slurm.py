"""Jobs that Slurm ends: no trial is broken by it, and none completed with half of its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.trial_record import BROKEN, COMPLETED, INTERRUPTED
from tests.rigs.command import CONFIG, orion_hpc, project, status_of
from tests.rigs.slurm import SlurmCluster, wait_until

pytestmark = pytest.mark.slurm

SCRIPT = CONFIG.replace(
    "function: quick:main",
    'command: ["sh", "-c", "touch started-{trial.number}; sleep 60; echo {x}"]',
)

POOL = """\
import joblib, time

def wait(_):
    time.sleep(60)

def main(x):
    open(f"started-{x}", "w").close()
    with joblib.parallel_backend("loky"):
        joblib.Parallel()(joblib.delayed(wait)(i) for i in range(4))
    return x
"""


@pytest.mark.parametrize("kind", ["script", "inner-pool"])
@pytest.mark.parametrize("end", ["scancel", "preemption"])
def test_a_job_that_is_ended_interrupts_its_trial(
    slurm: SlurmCluster, tmp_path: Path, kind: str, end: str
) -> None:
    """A shell that goes on after its program died, and a pool that is just starting."""
    if kind == "script":
        config = project(tmp_path / "p", SCRIPT)
    else:
        config = project(tmp_path / "p", quick=POOL)
    folder = config.parent
    done = orion_hpc("submit", config, "--array", "4", "-c", "5", cwd=folder)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(list(folder.glob("started-*"))) == 4, 60, "four trials run")
    (job_id,) = status_of(config)["jobs"][0]["ids"]
    if end == "preemption":
        slurm.run("sbatch", "-p", "high", "-N4", "--exclusive", "--wrap", "true", "-o/dev/null")
        storage = PickledDB(str(folder / "db.pkl"))
        wait_until(lambda: "interrupted" in str(statuses(storage)), 60, "a trial is interrupted")
    slurm.run("scancel", job_id)
    slurm.wait_for_jobs()
    found = statuses(PickledDB(str(folder / "db.pkl")))
    assert set(found) == {INTERRUPTED}, found
    assert {BROKEN, COMPLETED}.isdisjoint(found)


def statuses(storage: PickledDB) -> list[str]:
    """Return the trials' statuses."""
    return [trial.status for trial in storage.refresh().experiments[1].trials]
