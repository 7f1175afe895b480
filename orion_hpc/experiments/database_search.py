"""Finds databases in folders, and lists their experiments. Takes no lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orion_hpc.config.config_files import load_settings
from orion_hpc.errors import ConfigurationError, NoConfigurationError
from orion_hpc.experiments.lookup import read_experiment, read_experiments
from orion_hpc.experiments.progress import duration
from orion_hpc.experiments.status import summary_of
from orion_hpc.experiments.summary import shown
from orion_hpc.journal.framing import MAGIC
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout

LIST_COLUMNS = ("experiment", "state", "completed", "broken", "workers", "best", "last change")
"""Headings of :func:`list_rows`."""


def find_databases(paths: Iterable[str], found: list[str]) -> Iterator[str]:
    """Add the databases at the paths, and below them, to ``found``; yield what is searched.

    A file is taken as it is. In a folder a database is known by its name, ``.pkl`` at the end or
    its folder ``.files`` beside it, and by its first bytes; other files aren't opened.

    Raises
    ------
    ConfigurationError
        There is nothing at a path.
    """
    for path in paths:
        if not os.path.exists(path):
            raise ConfigurationError(
                f"there is no file or folder {path}", "Give databases, or folders to be searched."
            )
        if not os.path.isdir(path):
            found.append(path)
            continue
        for folder, folders, names in os.walk(path):
            yield folder
            folders[:] = sorted(one for one in folders if _is_searched(one))
            for name in sorted(names):
                if _may_be_database(folder, name) and is_database(os.path.join(folder, name)):
                    found.append(os.path.normpath(os.path.join(folder, name)))


def _is_searched(folder: str) -> bool:
    return not folder.startswith((".", "__")) and not folder.endswith(layout.FILES)


def _may_be_database(folder: str, name: str) -> bool:
    return name.endswith(".pkl") or os.path.isdir(os.path.join(folder, name + layout.FILES))


def is_database(path: str) -> bool:
    """Return whether the file begins as a database does; False if it can't be read."""
    if not os.path.isfile(path):  # opening a pipe would wait for its writer
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def experiments_at(path: str) -> list[ExperimentState]:
    """Return the experiment of a configuration file, or all experiments of a database.

    Raises
    ------
    ConfigurationError
        The configuration can't be read, or is wrong.
    NoConfigurationError
        There is no experiment.
    StorageError
        The database can't be read.
    """
    folder, name = os.path.split(path)
    if not is_database(path) and not (os.path.exists(path) and _may_be_database(folder, name)):
        settings = load_settings(Path(path), {}, needs=())
        return [read_experiment(settings.storage, settings.name, settings.version)]
    found = read_experiments(path)
    if not found:
        raise NoConfigurationError(
            f"there is no experiment in {path}", "'orion-hpc submit CONFIG' creates one."
        )
    return found


def experiments_of(path: str) -> list[dict[str, Any]]:
    """Return a summary of each experiment of a database, by name and version.

    Returns
    -------
    list of dict
        As :func:`~orion_hpc.experiments.summary.experiment_summary`, without Slurm's queue; and
        ``changed``, the time of the last change of a trial in seconds since the epoch.

    Raises
    ------
    StorageError
        The database can't be read.
    """
    found = sorted(read_experiments(path), key=lambda one: (one.name, one.version))
    return [{**summary_of(one, path, asks_slurm=False), "changed": _changed(one)} for one in found]


def _changed(state: ExperimentState) -> float:
    times = (time for one in state.trials for time in (one.start_time, one.end_time) if time)
    return max([state.create_time, *(jobs.time for jobs in state.jobs), max(times, default=0.0)])


def list_rows(summaries: Sequence[Mapping[str, Any]], now: float | None = None) -> list[list[str]]:
    """Return a row for each experiment; a name's later versions stand below its first one."""
    now = time.time() if now is None else now
    rows, before = [], None
    for one in summaries:
        budget = "" if one["max_trials"] is None else f"/{one['max_trials']}"
        title = (
            f"  v{one['version']}" if one["name"] == before else f"{one['name']} v{one['version']}"
        )
        before = one["name"]
        rows.append(
            [
                title,
                one["state"],
                f"{one['trials']['completed']}{budget}",
                str(one["trials"]["broken"]),
                str(len(one["workers"])),
                "-" if one["best"] is None else shown(one["best"]),
                f"{duration(max(0.0, now - one['changed']))} ago",
            ]
        )
    return rows
