"""Finds experiments by name and version, and their trials, and tells which there are if it can't.

Reads by replay, without the lock, while workers go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from orion_hpc.errors import ConfigurationError, NoConfigurationError, did_you_mean
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import STATUSES, TrialRecord

_FEWEST_DIGITS = 4


def wanted(name: str | None, version: int | None) -> Callable[[ExperimentState], bool]:
    """Return what tells of an experiment whether it has this name and version; None: any."""
    return lambda one: name in (None, one.name) and version in (None, one.version)


def chosen(
    experiments: Iterable[ExperimentState], where: str, name: str | None, version: int | None
) -> list[ExperimentState]:
    """Return the experiments of this name and version.

    Raises
    ------
    NoConfigurationError
        A name or a version is asked for, and there is none in the database ``where``.
    """
    experiments = list(experiments)
    found = list(filter(wanted(name, version), experiments))
    if found or (name is None and version is None):
        return found
    names = sorted({one.name for one in experiments})
    asked = f" {name!r}" if name is not None else ""
    asked += f" version {version}" if version is not None else ""
    known = ", ".join(names)
    if name in names:
        known = ", ".join(one.title for one in experiments if one.name == name)
    guess = did_you_mean(name, names) if name and name not in names else ""
    raise NoConfigurationError(
        f"there is no experiment{asked} in {where}{guess}",
        f"There are: {known}." if names else "'orion-hpc submit CONFIG' makes one.",
    )


def the_one(
    experiments: Iterable[ExperimentState], where: str, name: str | None, version: int | None
) -> ExperimentState:
    """Return the experiment of this name and version; of a name without one, the highest version.

    Raises
    ------
    NoConfigurationError
        There is none, or there are several and no name was given.
    """
    found = chosen(experiments, where, name, version)
    names = sorted({one.name for one in found})
    if len(names) > 1:
        raise NoConfigurationError(
            f"there are several experiments in {where}: {', '.join(names)}",
            "Say which one by its name: --name NAME, or name='NAME' from Python.",
        )
    if not found:
        raise NoConfigurationError(
            f"there is no experiment in {where}", "'orion-hpc submit CONFIG' makes one."
        )
    return max(found, key=lambda one: one.version)


def read_experiments(
    storage: str | os.PathLike[str], name: str | None = None, version: int | None = None
) -> list[ExperimentState]:
    """Return the experiments of this name and version as they stand now; None: any.

    Raises
    ------
    NoConfigurationError
        There is none of the name or version that is given.
    StorageError
        There is no database, or it can't be read.
    """
    database = PickledDB(os.fspath(storage), wanted(name, version))
    try:
        found = database.refresh().experiments.values()
    finally:
        database.close()
    return chosen(found, database.path, name, version)


def read_experiment(
    storage: str | os.PathLike[str], name: str | None = None, version: int | None = None
) -> ExperimentState:
    """Return one experiment as it stands now; see :func:`the_one`."""
    return the_one(read_experiments(storage, name, version), os.fspath(storage), name, version)


def find_trial(experiment: ExperimentState, asked: str | int) -> TrialRecord:
    """Return the trial of a number or an id.

    The beginning of an id will do where only one has it.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    trials, text = experiment.trials, str(asked)
    if text.isdecimal() and text.isascii() and len(text) < 10 and int(text) < len(trials):
        return trials[int(text)]
    if isinstance(asked, str):
        found = [trial for trial in trials if trial.id == asked] or [
            trial for trial in trials if len(asked) >= _FEWEST_DIGITS and trial.id.startswith(asked)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigurationError(
                f"{len(found)} trials of {experiment.title} have an id that begins with {asked!r}",
                "Give more of the id, or the number.",
            )
    numbers = f"0 to {len(trials) - 1}" if trials else "none yet"
    raise ConfigurationError(
        f"there is no trial {text!r:.100} in {experiment.title}",
        f"Give a number ({numbers}) or an id, as 'orion-hpc db export' shows them.",
    )


def check_status(status: str) -> None:
    """Raise ConfigurationError if there is no such status."""
    if status not in STATUSES:
        raise ConfigurationError(
            f"there is no status {status!r:.100}{did_you_mean(status, STATUSES)}",
            f"There are: {', '.join(STATUSES)}.",
        )
