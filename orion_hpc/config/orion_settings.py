"""Settings that Oríon's variables and configuration files give, for programs that come from it.

They are weaker than all of ours. Oríon needn't be installed. What has no meaning here isn't read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orion_hpc.config.document import read_value, read_yaml
from orion_hpc.config.provenance import Keys
from orion_hpc.config.resolve import Layer, explain
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError

_LABEL = "Oríon's settings"

_READ: dict[Keys, tuple[str, Keys]] = {
    ("database", "type"): ("ORION_DB_TYPE", ("storage", "type")),
    ("database", "host"): ("ORION_DB_ADDRESS", ("storage", "host")),
    ("experiment", "max_trials"): ("ORION_EXP_MAX_TRIALS", ("max_trials",)),
    ("experiment", "max_broken"): ("ORION_EXP_MAX_BROKEN", ("max_broken",)),
    ("experiment", "working_dir"): ("ORION_WORKING_DIR", ("working_dir",)),
    ("worker", "n_workers"): ("ORION_N_WORKERS", ("worker", "n_workers")),
    ("worker", "executor"): ("ORION_EXECUTOR", ("worker", "executor")),
    ("worker", "heartbeat"): ("ORION_HEARTBEAT", ("worker", "heartbeat")),
    ("worker", "idle_timeout"): ("ORION_IDLE_TIMEOUT", ("worker", "idle_timeout")),
}
"""By its place in Oríon's file: the variable, and the setting here."""

_TEXTS = ("ORION_DB_TYPE", "ORION_DB_ADDRESS", "ORION_WORKING_DIR", "ORION_EXECUTOR")

_UNREAD = (
    *("ORION_STORAGE_TYPE", "ORION_DB_NAME", "ORION_DB_PORT", "ORION_POOL_SIZE"),
    *("ORION_WORKER_MAX_TRIALS", "ORION_WORKER_MAX_BROKEN", "ORION_MAX_IDLE_TIME"),
    *("ORION_INTERRUPT_CODE", "ORION_USER_SCRIPT_CONFIG", "ORION_WEBAPI_FRONTENDS_URI"),
)
"""Other variables of Oríon; those of its version control begin with ``ORION_EVC_``."""


@dataclass(frozen=True, slots=True)
class OrionSettings:
    """Settings of Oríon.

    Attributes
    ----------
    layer : Layer
        Those that are read, as settings here.
    unread : list of str
        A sentence for each that is not.
    foreign : str
        A sentence on a database that can't be used here; empty if there is none.
    """

    layer: Layer
    unread: list[str] = field(default_factory=list)
    foreign: str = ""

    def notes(self, settings: Settings, creates: bool) -> Iterator[str]:
        """Yield a sentence for each source of settings in use, and on what isn't read.

        ``creates``: the experiment may be created, so that more matters than the database.
        """
        used: dict[str, list[str]] = {}
        for path, value, _ in explain(settings):
            if settings.origin(path) == _LABEL and (creates or path == "storage"):
                place = self.layer.places[tuple(path.split("."))]
                used.setdefault(place, []).append(f"{path} is {value}")
        for place, given in used.items():
            yield f"{', '.join(given)}, from {place}"
        if self.foreign and settings.origin("storage") == "defaults":
            yield f"{self.foreign}; the database is {settings.storage}"
        if creates:
            yield from self.unread


def orion_settings(environ: Mapping[str, str], base: Path) -> OrionSettings:
    """Return the settings in Oríon's variables and in its configuration files.

    Parameters
    ----------
    environ : mapping
        The environment.
    base : Path
        The base of relative paths: as in Oríon the working directory, for its files, too.

    Raises
    ------
    ConfigurationError
        The value of a variable can't be parsed.
    """
    found: dict[Keys, tuple[Any, str]] = {}
    unread: list[str] = []
    for path in _files(environ):
        if os.path.isfile(path):
            found.update(_from_file(path, unread))
    found.update(_from_variables(environ))
    others = [
        name
        for name in sorted(environ)
        if environ[name] and (name in _UNREAD or name.startswith("ORION_EVC_"))
    ]
    if others:
        unread.append(f"orion-hpc doesn't read {', '.join(others)}")
    kind, host = found.pop(("storage", "type"), None), found.pop(("storage", "host"), None)
    foreign = ""
    if kind is not None and str(kind[0]).lower() != "pickleddb":
        foreign = f"{kind[1]} names a database of type {kind[0]!r:.50}, which orion-hpc can't use"
    elif host is not None:
        found["storage",] = host
    mapping: dict[str, Any] = {}
    for (first, *rest), (value, _) in found.items():
        if rest:
            mapping.setdefault(first, {})[rest[0]] = value
        else:
            mapping[first] = value
    places = {keys: place for keys, (_, place) in found.items()}
    return OrionSettings(Layer(_LABEL, mapping, base, places), unread, foreign)


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the paths of Oríon's files, the weakest first (XDG Base Directory Specification)."""
    home = environ.get("HOME") or os.path.expanduser("~")
    above = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)[0]
    own = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    for folder in (above, own):
        yield Path(folder, "orion.core", "orion_config.yaml")


def _from_file(path: Path, unread: list[str]) -> dict[Keys, tuple[Any, str]]:
    """Return the settings in a file; append a sentence on what isn't read to ``unread``."""
    try:
        content = read_yaml(path, may_be_empty=True).mapping
    except ConfigurationError as error:
        unread.append(f"orion-hpc doesn't read Oríon's file: {error.message}")
        return {}
    storage = content.get("storage")
    inner = storage.get("database") if isinstance(storage, Mapping) else None
    blocks = {**content, "database": inner or content.get("database")}
    blocks.pop("storage", None)
    found: dict[Keys, tuple[Any, str]] = {}
    others: list[str] = []
    for name, block in blocks.items():
        for key, value in block.items() if isinstance(block, Mapping) else ():
            if (name, key) not in _READ:
                others.append(f"{name}.{key}")
            elif _is_given(value):
                found[_READ[name, key][1]] = value, str(path)
        if block is not None and not isinstance(block, Mapping):
            others.append(str(name))
    if others:
        unread.append(f"orion-hpc doesn't read {', '.join(others)} of {path}")
    return found


def _from_variables(environ: Mapping[str, str]) -> dict[Keys, tuple[Any, str]]:
    found: dict[Keys, tuple[Any, str]] = {}
    # A trial's own working directory has the same variable.
    in_trial = not environ.keys().isdisjoint(("ORION_RESULTS_PATH", "ORION_TRIAL_ID"))
    for name, keys in _READ.values():
        text = environ.get(name, "")
        if not text or (in_trial and name == "ORION_WORKING_DIR"):
            continue
        value = text if name in _TEXTS else read_value(text, name)
        if _is_given(value):
            found[keys] = value.lower() if name == "ORION_EXECUTOR" else value, name
    return found


def _is_given(value: Any) -> bool:
    """Return whether a value of Oríon's sets something: its ``inf`` is no limit, as by default."""
    return value not in (None, "", "inf", float("inf"))
