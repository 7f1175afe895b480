"""A Python program's function as jobs of a site's own template, on a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from orion_hpc.client import build_experiment
from orion_hpc.errors import ConfigurationError
from tests.rigs.command import orion_hpc
from tests.rigs.slurm import SlurmCluster


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site whose template sets a variable that its jobs need."""
    shipped = orion_hpc("template").stdout
    template = shipped.replace("# module load python", "export FROM_THE_SITE=yes")
    (tmp_path / "site.sbatch.j2").write_text(template)
    (tmp_path / "site.yaml").write_text("template: site.sbatch.j2\n")
    monkeypatch.setenv("ORION_HPC_SITE_CONFIG", str(tmp_path / "site.yaml"))


@pytest.mark.slurm
def test_a_submitted_function_goes_through_the_sites_template(
    slurm: SlurmCluster, tmp_path: Path, site: None
) -> None:
    """With the trial as an argument, constants, and the executor's options."""

    def main(x, trial, factor):
        import os

        assert os.environ["FROM_THE_SITE"] == "yes"
        return x * factor + trial.number

    experiment = build_experiment(
        "e", space={"x": "uniform(0, 1)"}, max_trials=4, storage=str(tmp_path / "db.pkl")
    )
    with experiment.tmp_executor("joblib", n_workers=2, backend="threading"):
        jobs = experiment.submit(main, array=2, trial_arg="trial", kwargs={"factor": 10})
    assert jobs.wait(timeout=120), "\n".join(
        path.read_text() for path in tmp_path.glob("db.pkl.files/*/jobs/*/*.out")
    )
    trials = experiment.fetch_trials_by_status("completed")
    assert {trial.objective.value for trial in trials} == {
        trial.params["x"] * 10 + number for number, trial in enumerate(trials)
    }
    slurm.wait_for_jobs()


def test_what_the_jobs_file_cant_hold_is_refused(fake_slurm, tmp_path: Path, site: None) -> None:
    experiment = build_experiment(
        "e", space={"x": "uniform(0, 1)"}, max_trials=4, storage=str(tmp_path / "db.pkl")
    )
    with (
        experiment.tmp_executor("joblib", n_workers=2, vmstat=Path("/proc/vmstat")),
        pytest.raises(ConfigurationError, match="to the jobs' file"),
    ):
        experiment.submit(lambda x: x, array=2)
    assert fake_slurm.calls("sbatch") == []
