"""Which experiments a command is asked about: by its configuration file and a few flags."""

from __future__ import annotations

import os
from pathlib import Path

from orion_hpc.config.config_files import standing_layers
from orion_hpc.config.document import read_yaml
from orion_hpc.config.resolve import Layer, document_layer, resolve
from orion_hpc.config.settings import Settings


def asked(
    config: Path | None, storage: str | None, name: str | None, version: int | None
) -> Settings:
    """Return the settings that say which database and which experiments; nothing else is needed.

    Raises
    ------
    ConfigurationError
        The file can't be read, or something in it is wrong.
    """
    layers = standing_layers(os.environ)
    if config is not None:
        layers.append(document_layer(read_yaml(config)))
    flags = {"storage": storage, "name": name, "version": version}
    given = {key: value for key, value in flags.items() if value is not None}
    return resolve([*layers, Layer("flags", given, Path.cwd())], needs=())
