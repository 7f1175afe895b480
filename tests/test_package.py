"""The package as it is installed: the wheel, the command, and what a start imports."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.event import ChangeLimits
from tests.rigs.command import orion_hpc, project

ROOT = Path(__file__).parents[1]
HEAVY = ("pandas", "scipy", "dask", "distributed", "optuna", "sklearn", "plotly", "numpy", "rich",
         "pydantic", "yaml", "submitit", "jinja2")  # fmt: skip


def run(*argv: str | Path, **options) -> str:
    """Run a program to its end, which must be good; return its output."""
    done = subprocess.run(
        [*map(str, argv)], capture_output=True, text=True, timeout=280, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_installed_wheel_finds_its_template(tmp_path):
    """Built and installed away from the clone, the command still has what it ships with."""
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "orion_hpc/templates/worker.sbatch.j2" in names
    assert "orion_hpc/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "examples"))]
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", site, wheel)
    code = "import orion_hpc, sys; print(orion_hpc.__file__); from orion_hpc.cli.main import main; "
    code += "sys.argv = ['orion-hpc', 'template']; main()"
    environ = {**os.environ, "PYTHONPATH": str(site)}
    told = run(sys.executable, "-c", code, cwd=tmp_path, env=environ)
    assert told.splitlines()[0].startswith(str(site))
    assert "#SBATCH --array={{ array }}" in told


def test_the_commands_explain_themselves():
    """Each subcommand has its help, and the version is the package's."""
    from orion_hpc import __version__

    told = orion_hpc("--help").stdout
    for command in ("submit", "status", "worker", "template"):
        assert f"\n  {command} " in told
        assert "Usage: " in orion_hpc(command, "--help").stdout
    assert __version__ in orion_hpc("--version").stdout


def test_help_imports_nothing_that_takes_long():
    """What every command line pays at its start."""
    code = "import orion_hpc.cli.main, sys; print(*sys.modules)"
    assert set(run(sys.executable, "-c", code).split()).isdisjoint(HEAVY)


@pytest.mark.parametrize("executor", ["single", "joblib"])
def test_a_random_search_worker_imports_nothing_heavy(tmp_path, executor):
    """A thousand workers start at once from a slow file system: they load what they need.

    joblib itself loads numpy where it is installed; nothing else is excused.
    """
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config, "--executor", "debug", "--max-trials", "1").returncode == 0
    storage = PickledDB(str(config.parent / "db.pkl"))
    storage.transact(1, lambda state: [ChangeLimits(3, 3, 0.0)])
    code = (
        "import sys; from orion_hpc.worker.job import run_recorded; "
        "given = {'storage': sys.argv[1], 'name': 'quick', 'executor': sys.argv[2]}; "
        "done = run_recorded(given, 0); "
        "assert done.completed == 2; print(*sys.modules)"
    )
    loaded = set(run(sys.executable, "-c", code, config.parent / "db.pkl", executor).split())
    excused = {"numpy"} if executor == "joblib" else set()
    assert loaded.isdisjoint(set(HEAVY) - excused)
    assert "joblib" not in loaded or executor == "joblib"
