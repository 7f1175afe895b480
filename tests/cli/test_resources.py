"""`status --resources`, after real trials in each executor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rigs.command import CONFIG, orion_hpc, project
from tests.rigs.slurm import SlurmCluster

HUNGRY = """\
import time

def main(x):
    data = bytearray(200_000_000)
    while time.process_time() < 1e9:
        begin = time.process_time()
        while time.process_time() - begin < 0.7:
            pass
        return x
"""


def used(config: Path) -> dict:
    done = orion_hpc("status", "--resources", "--json", config)
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout)["resources"]["quick-v1"]
    return found


@pytest.mark.usefixtures("no_slurm")
@pytest.mark.parametrize("kind", ["single", "joblib", "command", "dask"])
def test_every_executor_measures(tmp_path, kind):
    if kind == "dask":
        pytest.importorskip("distributed")
    text = CONFIG.replace("max_trials: 8", "max_trials: 2")
    if kind == "command":
        text = text.replace("function: quick:main", 'command: ["python", "quick.py", "{x}"]')
        program = HUNGRY + "\nimport sys\nprint(main(float(sys.argv[1])))\n"
        config = project(tmp_path / "p", text, quick=program)
    else:
        config = project(
            tmp_path / "p", text.replace("heartbeat: 5", f"executor: {kind}, heartbeat: 5"),
            quick=HUNGRY,
        )  # fmt: skip
    done = orion_hpc("submit", config)
    assert done.returncode == 0, done.stderr
    found = used(config)
    assert found["workers"] == {"left": 1, "lost": 0}
    assert found["used"]["trial_memory"] >= 200_000_000
    # Each trial burned 0.7 s; how long that took, the machine's other users decide.
    spent = found["core_hours"]["completed"] * 3600 / found["asked"]["cpus"]
    assert found["used"]["cpus"] * spent >= 1.3
    assert found["core_hours"]["idle"] >= 0
    table = orion_hpc("status", "--resources", config)
    assert "quick-v1: resources" in table.stdout


@pytest.mark.slurm
def test_what_a_slurm_job_was_given_is_known(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = project(tmp_path / "p")
    words = ("--cpus-per-task", "2", "--mem", "1500M", "--time", "30")
    done = orion_hpc("submit", config, *words, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    slurm.wait_for_jobs()
    asked = used(config)["asked"]
    assert (asked["cpus"], asked["memory"]) == (2, 1500 * 1024**2)
    assert asked["time"] is None or 1500 <= asked["time"] <= 1800
