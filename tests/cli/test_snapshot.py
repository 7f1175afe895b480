"""`snapshot: true`: what is edited after the submission changes nothing; the code is recorded."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.jobs.test_project import git, write
from tests.rigs.command import COMMAND, orion_hpc, status_of
from tests.rigs.waiting import wait_until

CONFIG = """\
name: quick
function: search:main
space: {x: "uniform(0, 1)"}
algorithm: {random: {seed: 1}}
max_trials: 3
snapshot: true
worker: {heartbeat: 5, idle_timeout: 30}
"""

SEARCH = """\
import pathlib, time

def main(x):
    import helper, mylib  # late: by then everything has been edited
    here = pathlib.Path(__file__).parent
    deadline = time.monotonic() + 60
    while not pathlib.Path(PLACE, "go").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    pathlib.Path(PLACE, "seen").open("a").write(f"{helper.VALUE}{mylib.VALUE}\\n")
    return x
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout whose package lies in `src`, and the experiment in a folder of its own."""
    root = tmp_path / "r"
    root.mkdir()
    git(root, "init", "-q")
    write(root, "src/mylib/__init__.py", "experiments/helper.py", text="VALUE = 'old'\n")
    write(root, "experiments/config.yaml", text=CONFIG)
    write(root, "experiments/search.py", text=f"PLACE = {str(tmp_path)!r}\n{SEARCH}")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def edit(root: Path) -> None:
    for name in ("src/mylib/__init__.py", "experiments/helper.py"):
        (root / name).write_text("VALUE = 'new'\n")


def snapshots(root: Path) -> list[Path]:
    return sorted((root / "experiments/db.pkl.files/quick-v1/code").iterdir())


@pytest.mark.usefixtures("no_slurm")
def test_an_edit_after_the_submission_changes_nothing(folder, tmp_path):
    """In the function's folder, and in a package that is found by PYTHONPATH."""
    environ = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{Path.cwd()}"}
    config = folder / "experiments/config.yaml"
    process = subprocess.Popen(
        [*COMMAND, "submit", str(config)], env=environ, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: (config.parent / "db.pkl").exists(), 30, "the database")
        wait_until(lambda: status_of(config)["trials"]["reserved"] > 0, 60, "a trial")
        edit(folder)
        (tmp_path / "go").touch()
        told = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, told
    assert set((tmp_path / "seen").read_text().split()) == {"oldold"}
    (copy,) = snapshots(folder)
    (jobs,) = status_of(config)["jobs"]
    assert jobs["snapshot"] == str(copy)
    assert jobs["digest"].startswith(copy.name)
    assert jobs["commit"] == git(folder, "rev-parse", "HEAD")
    # A later submission takes the new state and says so.
    again = orion_hpc("submit", "--max-trials", "4", config, env=environ, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Changed snapshot: " in again.stderr
    assert (tmp_path / "seen").read_text().split()[-1] == "newnew"
    assert len(snapshots(folder)) == 2
    # And one of the same state adds no copy.
    assert orion_hpc("submit", "--max-trials", "5", config, env=environ).returncode == 0
    assert len(snapshots(folder)) == 2


@pytest.mark.usefixtures("no_slurm")
def test_a_command_runs_in_the_copy(folder, tmp_path):
    config = folder / "experiments/config.yaml"
    text = CONFIG.replace("function: search:main", 'command: ["python", "run.py", "{x}"]')
    config.write_text(text)
    (config.parent / "run.py").write_text("import sys, os\nprint(len(os.getcwd()) + 0)\n")
    done = orion_hpc("submit", config)
    assert done.returncode == 0, done.stderr
    (copy,) = snapshots(folder)
    best = status_of(config)["best"]
    assert best["objective"] == len(str(copy / "experiments"))


@pytest.mark.usefixtures("outside_slurm")
def test_a_refused_submission_leaves_no_copy(folder, fake_slurm):
    fake_slurm.fail("sbatch", "sbatch: error: invalid partition specified: nowhere")
    config = folder / "experiments/config.yaml"
    environ = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{Path.cwd()}"}
    done = orion_hpc("submit", config, env=environ)
    assert done.returncode != 0
    assert "invalid partition" in done.stderr
    assert not (config.parent / "db.pkl.files").exists()
    shown = orion_hpc("submit", "--dry-run", "--executor", "slurm", config, env=environ)
    assert shown.returncode == 0, shown.stderr
    assert not (config.parent / "db.pkl.files").exists()


@pytest.mark.usefixtures("no_slurm")
@pytest.mark.parametrize(
    ("ignored", "told"),
    [("search.py\n", "the snapshot would lack search.py, which git ignores"), ("*.log\n", "MB")],
)
def test_what_cant_be_frozen_is_told(folder, ignored, told):
    (folder / ".gitignore").write_text(ignored)
    git(folder, "rm", "-q", "--cached", "experiments/search.py")
    if told == "MB":
        with (folder / "data.bin").open("wb") as file:
            file.truncate(600_000_000)
    done = orion_hpc("submit", folder / "experiments/config.yaml")
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert not (folder / "experiments/db.pkl").exists()
    assert not (folder / "experiments/db.pkl.files").exists()


@pytest.mark.usefixtures("no_slurm")
def test_without_a_snapshot_the_code_is_recorded_too(folder, tmp_path):
    (tmp_path / "go").touch()
    config = folder / "experiments/config.yaml"
    config.write_text(CONFIG.replace("snapshot: true", "snapshot: false"))
    environ = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{Path.cwd()}"}
    assert orion_hpc("submit", config, env=environ).returncode == 0
    (jobs,) = status_of(config)["jobs"]
    assert jobs["snapshot"] is None
    assert jobs["commit"] == git(folder, "rev-parse", "HEAD")
    assert len(jobs["digest"]) == 64
    json.dumps(jobs)


@pytest.mark.usefixtures("no_slurm")
def test_a_copy_that_lost_a_file_is_made_anew(folder, tmp_path):
    """As after a kill in the middle of a removal; the same code, and so the same name."""
    (tmp_path / "go").touch()
    config = folder / "experiments/config.yaml"
    environ = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{Path.cwd()}"}
    assert orion_hpc("submit", config, env=environ).returncode == 0
    (copy,) = snapshots(folder)
    (copy / "experiments/helper.py").unlink()
    again = orion_hpc("submit", "--max-trials", "5", config, env=environ)
    assert again.returncode == 0, again.stderr
    assert snapshots(folder) == [copy]
    assert (copy / "experiments/helper.py").exists()


def test_a_refusal_leaves_the_copy_of_others(folder, fake_slurm):
    """The same code may be what jobs of another submission import."""
    config = folder / "experiments/config.yaml"
    environ = {**os.environ, "PYTHONPATH": f"{folder / 'src'}:{Path.cwd()}"}
    assert orion_hpc("submit", config, env=environ).returncode == 0
    before = snapshots(folder)
    fake_slurm.fail("sbatch", "sbatch: error: no")
    assert orion_hpc("submit", "--array", "3", config, env=environ).returncode == 2
    assert snapshots(folder) == before
