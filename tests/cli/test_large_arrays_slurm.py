"""Arrays larger than the site allows, on a real Slurm cluster whose limit is three tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.trial_record import COMPLETED
from tests.conftest import _need_slurm
from tests.rigs.command import CONFIG, orion_hpc, project, status_of
from tests.rigs.slurm import SlurmCluster

pytestmark = pytest.mark.slurm

#: Notes how many are at work, itself included.
COUNTING = """\
import os, time

def main(x):
    mine = os.path.join("busy", os.environ["SLURM_JOB_ID"])
    open(mine, "w").close()
    with open("seen", "a") as file:
        file.write(f"{len(os.listdir('busy'))}\\n")
    time.sleep(0.3)
    os.unlink(mine)
    return x
"""


@pytest.mark.parametrize("template", [False, True])
def test_a_large_array_is_split_and_keeps_its_throttle(
    outside_slurm: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, template: bool
) -> None:
    """Seven tasks in arrays of three, two of all at once, and one experiment."""
    _need_slurm()
    text = CONFIG.replace("max_trials: 8", "max_trials: 20").replace(
        "idle_timeout: 30", "idle_timeout: 1"
    )
    config = project(tmp_path / "p", text, quick=COUNTING)
    (config.parent / "busy").mkdir()
    words: list[str | Path] = []
    if template:
        words = ["--template", config.parent / "my.sbatch.j2"]
        (config.parent / "my.sbatch.j2").write_text(orion_hpc("template").stdout)
    with SlurmCluster(nodes=2, extra={"MaxArraySize": "3"}) as cluster:
        for name, value in cluster.env.items():
            monkeypatch.setenv(name, value)
        done = orion_hpc("submit", config, "--array", "7%2", *words, cwd=config.parent)
        assert done.returncode == 0, done.stderr
        (jobs,) = status_of(config)["jobs"]
        assert len(jobs["ids"]) == 3
        cluster.wait_for_jobs(timeout=120)
        logs = orion_hpc("logs", config)
    trials = PickledDB(str(config.parent / "db.pkl")).refresh().experiments[1].trials
    assert [trial.status for trial in trials] == [COMPLETED] * 20, logs.stdout
    assert max(map(int, (config.parent / "seen").read_text().split())) <= 2
    assert "worker leaves" in logs.stdout
