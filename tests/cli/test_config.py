"""`orion-hpc config`, and settings of a site that reach a submission."""

from __future__ import annotations

import json

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
