"""The tutorial runs as it stands, on the real digits, to exactly the number of trials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orion_hpc.client import get_experiment

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", ["joblib", "shared", "dask", "threading"])
def test_each_way_runs_to_its_end(tmp_path, way):
    """With a best error rate that a classifier of digits has, and no warning."""
    database = tmp_path / "db.pkl"
    done = subprocess.run(
        [
            sys.executable, "-W", "error::UserWarning:orion_hpc",
            str(ROOT / "examples" / "scaling_workers.py"),
            way, "--max-trials", "2", "--processes", "4", "--database", str(database),
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith(f"{way}: 2 trials in ")
    trials = get_experiment(f"digits-{way}", storage=database).fetch_trials()
    assert [trial.status for trial in trials] == ["completed"] * 2
    assert [trial.attempt for trial in trials] == [1] * 2
    assert all(0.0 < trial.objective.value < 0.95 for trial in trials)


def test_an_unknown_way_is_told(tmp_path):
    """Before anything is made."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "scaling_workers.py"), "dsak"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "no way called dsak" in done.stderr
    assert os.listdir(tmp_path) == []
