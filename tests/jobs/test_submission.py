"""The steps of a submission that can't be seen from the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from orion_hpc.client import build_experiment
from orion_hpc.config.document import read_yaml
from orion_hpc.config.resolve import document_layer, resolve
from orion_hpc.errors import StorageUnusable
from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.submission import submit
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import prior
from tests.rigs.command import CONFIG, project


class Detached:
    """A batch system that takes everything, and does something odd meanwhile."""

    name = "slurm"
    detached = True
    ids = ("7",)
    logs = "nowhere"

    def __init__(self, meanwhile=lambda: None) -> None:
        self.stopped = False
        self.requests: list[LaunchRequest] = []
        self._meanwhile = meanwhile

    def check(self) -> None:
        """Be there."""

    def launch(self, request: LaunchRequest) -> Detached:
        """Take the jobs."""
        self.requests.append(request)
        self._meanwhile()
        return self

    def stop(self, wait: float, force: bool = True) -> None:
        """Note the cancellation."""
        self.stopped = True


def settings_of(config: Path):
    """Return the settings of a project."""
    return resolve([document_layer(read_yaml(config))])


class Counts:
    """How often a database was opened, and how often each prior was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.read: list[str] = []
        opens, reads = PickledDB.__init__, prior.parse

        def opening(self_: PickledDB, path: str, *words: Any, **options: Any) -> None:
            self.opened.append(path)
            opens(self_, path, *words, **options)

        def reading(name: str, text: str) -> Any:
            self.read.append(name)
            return reads(name, text)

        monkeypatch.setattr(PickledDB, "__init__", opening)
        monkeypatch.setattr(prior, "parse", reading)


def test_a_submission_reads_the_space_and_opens_the_database_once(tmp_path, monkeypatch):
    """When it makes the experiment, and when it goes on with it."""
    config = project(tmp_path / "p")
    for created in (True, False):
        with monkeypatch.context() as patch:
            counts = Counts(patch)
            done = submit(settings_of(config), Detached())
        assert done.built.created is created
        assert counts.read == ["x"]
        assert counts.opened == [str(config.parent / "db.pkl")]


def test_a_program_that_builds_an_experiment_opens_the_database_once(tmp_path, monkeypatch):
    """A new one, one that is there, and one whose space comes from the database."""
    path = str(tmp_path / "db.pkl")
    for space in ({"x": "uniform(0, 1)"}, {"x": "uniform(0, 1)"}, None):
        with monkeypatch.context() as patch:
            counts = Counts(patch)
            build_experiment("e", space=space, storage=path).close()
        assert counts.opened == [path]


def test_jobs_are_cancelled_when_the_experiment_cannot_be_written(tmp_path):
    """Nobody is left with jobs that wait for an experiment that never comes."""
    config = project(tmp_path / "p")
    launcher = Detached(lambda: os.mkdir(config.parent / "db.pkl"))
    with pytest.raises(StorageUnusable):
        submit(settings_of(config), launcher)
    assert launcher.stopped


def test_a_submission_that_is_overtaken_joins_the_other_ones_experiment(tmp_path):
    """Two people submit the same at once: one experiment, both arrays work on it."""
    config = project(tmp_path / "p")
    launcher = Detached(lambda: submit(settings_of(config), Detached()))
    done = submit(settings_of(config), launcher)
    assert not launcher.stopped
    assert not done.built.created
    state = done.storage.refresh()
    assert len(state.experiments) == 1
    assert len(state.experiments[1].jobs) == 2


def test_a_drawn_seed_is_recorded_and_matches_the_next_submission(tmp_path):
    """Without a seed one is drawn once; every worker and every later submission uses it."""
    config = project(tmp_path / "p", CONFIG.replace("{random: {seed: 1}}", "random"))
    first = submit(settings_of(config), Detached())
    seed = first.experiment.configuration["algorithm"]["random"]["seed"]
    assert isinstance(seed, int)
    again = submit(settings_of(config), Detached())
    assert again.experiment.configuration["algorithm"]["random"]["seed"] == seed


def test_limits_that_are_not_given_stay_as_they_are(tmp_path):
    """Leaving max_trials out of the file later doesn't lift the budget."""
    config = project(tmp_path / "p")
    submit(settings_of(config), Detached())
    config.write_text(CONFIG.replace("max_trials: 8\n", "max_broken: 5\n"))
    done = submit(settings_of(config), Detached())
    assert done.built.changes == ["max_broken: 3 -> 5"]
    state = done.storage.refresh().experiments[1]
    assert (state.max_trials, state.max_broken) == (8, 5)
