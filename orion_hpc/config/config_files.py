"""Loads a command's settings, and the configuration files of the site and the user.

``/etc/orion-hpc/config.yaml`` (another one if ``ORION_HPC_SITE_CONFIG`` names it, as a site's
environment module may) < ``~/.config/orion-hpc/config.yaml`` (``XDG_CONFIG_HOME``) < variables.
Below all of them are Oríon's own settings: see :mod:`orion_hpc.config.orion_settings`.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from orion_hpc.config import checks
from orion_hpc.config.document import Document, read_yaml
from orion_hpc.config.orion_settings import orion_settings
from orion_hpc.config.resolve import (
    SITE_CONFIG,
    Layer,
    document_layer,
    environment_layer,
    resolve,
)
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError

log = logging.getLogger(__name__)

_SITE = "/etc/orion-hpc/config.yaml"

_OWN = ("name", "version", "space", "function", "command", "kwargs", "trial_arg", "warm_start")
"""Settings that belong to one experiment only."""


def load_settings(
    config: Path | None, flags: Mapping[str, Any], *, needs: Collection[str] = checks.NEEDS
) -> Settings:
    """Return the settings of a command from the files, the environment and its flags.

    Parameters
    ----------
    config : Path or None
        The experiment's configuration file.
    flags : mapping
        Nested like the YAML; a None is a flag that wasn't given.
    needs : collection of str
        Which of ``name``, ``space`` and ``run`` must be given.

    Raises
    ------
    ConfigurationError
        A file can't be read, or a setting is wrong or missing.
    """
    layers = [] if config is None else [document_layer(read_yaml(config))]
    given = {key: value for key, value in flags.items() if value is not None}
    return resolve_over_standing([*layers, Layer("flags", given, Path.cwd())], needs)


def resolve_over_standing(layers: Sequence[Layer], needs: Collection[str]) -> Settings:
    """Return the settings of ``layers`` over those of standing files and the environment.

    Log a warning for each setting that comes from Oríon.

    Raises
    ------
    ConfigurationError
        A file can't be read, or a setting is wrong or missing.
    """
    here = Path.cwd()
    theirs = orion_settings(os.environ, here)
    standing = standing_layers(os.environ, here)
    settings = resolve([theirs.layer, *standing, *layers], needs=needs)
    for note in theirs.notes(settings, creates=bool(needs)):
        log.warning("Note: %s.", note)
    return settings


def standing_files(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """Return the paths of the site's file and of the user's, whether they exist or not."""
    home = environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(home):  # the XDG specification says to ignore relative paths
        home = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".config")
    return Path(environ.get(SITE_CONFIG) or _SITE), Path(home, "orion-hpc", "config.yaml")


def standing_layers(environ: Mapping[str, str], base: Path | None = None) -> list[Layer]:
    """Return the layers below an experiment's own file, the weakest first.

    Parameters
    ----------
    environ : mapping
        The environment.
    base : Path, optional
        The base of relative paths in variables, by default the working directory. In a file it is
        the folder of the file.

    Raises
    ------
    ConfigurationError
        A file exists and can't be read, or has a setting of an experiment; a variable is wrong.
    """
    files = standing_files(environ)
    if environ.get(SITE_CONFIG) and not is_there(files[0]):
        raise ConfigurationError(
            f"{SITE_CONFIG} names {files[0]}, which isn't there", "Mend the variable or unset it."
        )
    layers = [_layer(path) for path in files if is_there(path)]
    return [*layers, environment_layer(environ, base)]


def is_there(path: Path) -> bool:
    """Return whether the configuration file exists.

    Raises
    ------
    ConfigurationError
        It isn't a file, or can't be accessed.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.islink(path):
            return False
        raise ConfigurationError(
            f"{path} is a link to what isn't there", "Mend it or remove it."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"can't look at {path}: {reason}",
            "It holds settings for all experiments, if it exists.",
        ) from None
    if not stat.S_ISREG(mode) and os.path.realpath(path) != os.devnull:
        raise ConfigurationError(
            f"{path} isn't a file", "It is where settings for all experiments are searched."
        )
    return True


def _layer(path: Path) -> Layer:
    document = read_yaml(path, may_be_empty=True)
    for key in document.mapping:
        if key in _OWN:
            raise ConfigurationError(
                f"{_place(document, key)}: {key} belongs to an experiment; this file is for all",
                "Move it to the experiment's own file.",
            )
    return document_layer(document, home=False)


def _place(document: Document, key: str) -> str:
    if (key,) not in document.positions:  # it came by a YAML merge
        return document.name
    return f"{document.name}, line {document.positions[(key,)][0]}"
