"""``orion-hpc worker``: by the file of a launch, and by flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orion_hpc.config.document import read_yaml
from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.config.resolve import document_layer, resolve
from orion_hpc.executors.base import BUILTIN
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.event import ChangeLimits, CreateExperiment
from orion_hpc.model.state import CATALOGUE
from orion_hpc.model.trial_record import COMPLETED
from orion_hpc.worker.job_spec import JobSpec
from tests.rigs.command import orion_hpc, project


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A project with one trial completed and two left."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config, "--executor", "debug", "--max-trials", "1").returncode == 0
    storage = PickledDB(str(config.parent / "db.pkl"))
    storage.transact(1, lambda state: [ChangeLimits(3, 3, 0.0)])
    storage.close()
    return config


def completed(config: Path) -> int:
    """Return how many trials are completed."""
    storage = PickledDB(str(config.parent / "db.pkl"))
    try:
        return storage.refresh().experiments[1].count(COMPLETED)
    finally:
        storage.close()


def spec_in(config: Path, text: str = "") -> Path:
    """Write a job's settings beside the configuration; return the file."""
    storage = str(config.parent / "db.pkl")
    spec = JobSpec(storage, "quick", 1, 1, "single", 60.0, 1.0, cpus=1)
    file = config.parent / "worker.json"
    file.write_text(text or spec.to_json())
    return file


def test_a_job_reads_all_of_its_settings_from_the_file(config: Path) -> None:
    done = orion_hpc("worker", "--spec", spec_in(config))
    assert done.returncode == 0, done.stderr
    assert "1 CPU, 1 trial at once" in done.stderr
    assert completed(config) == 3


@pytest.mark.parametrize("text", ["{}", json.dumps({"name": "quick"}), "no JSON"])
def test_a_wrong_file_is_one_sentence(config: Path, text: str) -> None:
    """It names the file, and nothing is run."""
    file = spec_in(config, text)
    done = orion_hpc("worker", "--spec", file)
    assert done.returncode == 2
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert completed(config) == 1


def test_a_file_that_isnt_there_is_one_sentence(tmp_path: Path) -> None:
    done = orion_hpc("worker", "--spec", tmp_path / "worker.json", "--wait", "0")
    assert done.returncode == 2
    assert "can't read the job's settings" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--spec", "worker.json", "--grace", "0"), "leave out the other flags"),
        (("--name", "quick"), "Missing option '--storage'"),
        (("--storage", "db.pkl"), "Missing option '--name'"),
        (("--storage", "db.pkl", "--name", "quick", "--heartbeat", "0"), "'--heartbeat'"),
        (("--storage", "db.pkl", "--name", "quick", "--trial-time", "soon"), "'--trial-time'"),
        (("--storage", "db.pkl", "--name", "quick", "--options", "{"), "isn't JSON"),
    ],
)
def test_wrong_flags(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = orion_hpc("worker", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_flags_that_earlier_versions_gave_their_jobs_still_work(config: Path) -> None:
    """Jobs may have been submitted before an upgrade, and people have scripts of their own."""
    done = orion_hpc(
        "worker", "--storage", config.parent / "db.pkl", "--name", "quick", "--version", "1",
        "--n-workers", "1", "--executor", "single", "--heartbeat", "60", "--idle-timeout", "1",
        "--on-suspend", "auto", "--grace", "0", "--kill-wait", "30", "--max-requeues", "0",
        "--trial-time", "auto", "--path", config.parent, "--wait", "90",
        "--import-from", config.parent, "--import-from", "/", "--cpus", "2", "--reopens",
        "--options", "{}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 CPUs, 1 trial at once" in done.stderr
    assert completed(config) == 3


def test_help_names_the_executors_there_are() -> None:
    told = orion_hpc("worker", "--help").stdout
    for name in BUILTIN:
        assert name in told


def test_a_setting_that_a_later_version_recorded_is_left_out(tmp_path: Path) -> None:
    """By hand, a worker of this version goes on with such an experiment."""
    config = project(tmp_path / "p")
    database = config.parent / "db.pkl"
    spec = ExperimentSpec.of(resolve([document_layer(read_yaml(config))]))
    recorded = spec.configuration(seed=1)
    recorded["worker"]["from_the_future"] = 1
    storage = PickledDB.create(str(database))
    storage.transact(CATALOGUE, lambda state: [CreateExperiment("quick", 1, recorded, 0.0)])
    done = orion_hpc("worker", "--storage", database, "--name", "quick", cwd=config.parent)
    assert done.returncode == 0, done.stderr
    assert storage.refresh().experiments[1].is_done
