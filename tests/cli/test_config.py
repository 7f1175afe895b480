"""`orion-hpc config`, and settings of a site that reach a submission."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.rigs.command import CONFIG, orion_hpc, project

pytestmark = pytest.mark.usefixtures("outside_slurm")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site whose file names a partition and a template with a line of its own."""
    file = tmp_path / "site.yaml"
    file.write_text("slurm: {partition: long, time: 60}\ntemplate: site.sbatch.j2\n")
    shipped = orion_hpc("template").stdout
    (tmp_path / "site.sbatch.j2").write_text(f"{shipped}\n# our site's own line\n")
    monkeypatch.setenv("ORION_HPC_SITE_CONFIG", str(file))
    return file


def test_each_setting_is_shown_with_its_place(tmp_path, site):
    config = project(tmp_path / "p", f"{CONFIG}kwargs: {{y: .inf}}\n")
    done = orion_hpc("config", "config.yaml", "--json", cwd=config.parent)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    settings = told["settings"]
    assert settings["slurm.partition"] == {"value": "long", "from": f"{site}, line 1"}
    assert settings["max_trials"] == {"value": 8, "from": "config.yaml, line 5"}
    assert settings["kwargs"]["value"] == {"y": ".inf"}
    assert settings["lock"] == {"value": None, "from": "defaults"}
    assert told["files"][str(site)] is True
    table = orion_hpc("config", config).stdout
    assert all(name in table for name in settings)
    (line,) = [line for line in table.splitlines() if line.startswith("slurm.partition")]
    assert line.split(maxsplit=2)[1:] == ["long", f"{site}, line 1"]


def test_without_an_experiment_it_shows_what_stands(site):
    done = orion_hpc("config", env=None)
    assert done.returncode == 0, done.stderr
    assert "There is no" in done.stderr  # the user's file
    assert f"{site}, line 2" in done.stdout


def test_a_wrong_file_is_told(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("max_trails: 3\n")
    done = orion_hpc("config", config)
    assert done.returncode == 2
    assert "did you mean max_trials?" in done.stderr
    assert done.stdout == ""


def test_a_submission_has_the_sites_settings(tmp_path, site, fake_slurm):
    """Its partition and its template; a flag wins; a local run has no use for a template."""
    config = project(tmp_path / "p")
    shown = orion_hpc("submit", "--dry-run", config)
    assert shown.returncode == 0, shown.stderr
    assert "--partition=long" in shown.stdout
    assert "# our site's own line" in shown.stdout
    shown = orion_hpc("submit", "--dry-run", "--partition", "short", config)
    assert "--partition=short" in shown.stdout
    shown = orion_hpc("submit", "--dry-run", "--executor", "local", config)
    assert shown.returncode == 0, shown.stderr
    assert "our site's own line" not in shown.stdout


def test_orions_variables_are_used_with_a_note(tmp_path, monkeypatch):
    """By the commands and from Python; where our settings say otherwise, nothing is said."""
    monkeypatch.setenv("ORION_DB_ADDRESS", str(tmp_path / "theirs.pkl"))
    monkeypatch.setenv("ORION_EXP_MAX_TRIALS", "2")
    config = project(tmp_path / "p", CONFIG.replace("max_trials: 8\n", ""))
    done = orion_hpc("submit", config, "--executor", "debug")
    assert done.returncode == 0, done.stderr
    note = f"Note: storage is {tmp_path}/theirs.pkl, from ORION_DB_ADDRESS."
    assert note in done.stderr
    assert "Note: max_trials is 2, from ORION_EXP_MAX_TRIALS." in done.stderr
    assert not (tmp_path / "p" / "db.pkl").exists()
    done = orion_hpc("status", config, "--json")
    assert json.loads(done.stdout)["experiments"][0]["trials"]["completed"] == 2
    assert done.stderr == f"{note}\n"

    program = (
        "from orion_hpc.client import build_experiment\n"
        "experiment = build_experiment('quick')\n"
        "print(experiment.stats.trials_completed)"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
    assert note in done.stderr

    done = orion_hpc("submit", config, "--executor", "debug", "--storage", tmp_path / "ours.pkl",
                     "--max-trials", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "ORION_" not in done.stderr
    assert (tmp_path / "ours.pkl").exists()
