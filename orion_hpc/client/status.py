"""Reads how experiments stand, from the database and the workers' signs of life, without a lock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orion_hpc.client.asking import asked
from orion_hpc.client.experiments import chosen
from orion_hpc.config.settings import Settings
from orion_hpc.files import layout
from orion_hpc.model.state import ExperimentState
from orion_hpc.report.resources import resources
from orion_hpc.report.summary import experiment_summary
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
        experiment_summary(one, signs(layout.workers_folder(settings.storage, one.title)))
        for one in _read(settings)
    ]


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
