"""Reads how experiments stand, from the database and the workers' signs of life, without a lock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orion_hpc.client.experiments import chosen
from orion_hpc.commands.asking import asked
from orion_hpc.config.settings import Settings
from orion_hpc.files import layout
from orion_hpc.launch.sbatch import slurm_is_here
from orion_hpc.model.state import ExperimentState
from orion_hpc.report.resources import resources
from orion_hpc.report.summary import experiment_summary
from orion_hpc.slurm.queue import queued
from orion_hpc.slurm.tasks import Tasks
from orion_hpc.storage.heartbeat import signs
from orion_hpc.storage.pickleddb import PickledDB


def summaries(
    config: Path | None, storage: str | None, name: str | None, version: int | None
) -> list[dict[str, Any]]:
    """Return the summary of each experiment asked for; see :func:`experiment_summary`.

    Raises
    ------
    NoConfigurationError
        The database has no experiment of this name and version.
    StorageError
        There is no database, or it can't be read.
    """
    settings = asked(config, storage, name, version)
    return [
        experiment_summary(
            one, signs(layout.workers_folder(settings.storage, one.title)), _tasks(one)
        )
        for one in _read(settings)
    ]


def _tasks(experiment: ExperimentState) -> list[Tasks] | None:
    """Return the tasks of the experiment's arrays, None where Slurm needn't or can't be asked."""
    jobs = experiment.job_ids("slurm")
    if experiment.is_done or not jobs or not slurm_is_here():
        return None
    return queued(jobs, tries=1)  # who asks how things stand isn't held up


def used(
    config: Path | None, storage: str | None, name: str | None, version: int | None
) -> dict[str, dict[str, Any]]:
    """Return, by its title, what each experiment asked for used; see :func:`resources`.

    Raises
    ------
    NoConfigurationError, StorageError
        As of :func:`summaries`.
    """
    return {one.title: resources(one) for one in _read(asked(config, storage, name, version))}


def _read(settings: Settings) -> list[ExperimentState]:
    database = PickledDB(settings.storage)
    try:
        experiments = list(database.refresh().experiments.values())
    finally:
        database.close()
    return chosen(experiments, settings.storage, settings.name, settings.version)
