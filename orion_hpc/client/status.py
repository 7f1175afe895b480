"""Reads how experiments stand, from the database and the workers' signs of life, without a lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orion_hpc.client.experiments import chosen
from orion_hpc.config.document import read_yaml
from orion_hpc.config.resolve import Layer, document_layer, environment_layer, resolve
from orion_hpc.files import layout
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
    layers = [environment_layer(os.environ)]
    if config is not None:
        layers.append(document_layer(read_yaml(config)))
    flags = {"storage": storage, "name": name, "version": version}
    given = {key: value for key, value in flags.items() if value is not None}
    settings = resolve([*layers, Layer("flags", given, Path.cwd())], needs=())
    database = PickledDB(settings.storage)
    try:
        experiments = list(database.refresh().experiments.values())
    finally:
        database.close()
    found = chosen(experiments, settings.storage, settings.name, settings.version)
    return [
        experiment_summary(one, signs(layout.workers_folder(settings.storage, one.title)))
        for one in found
    ]
