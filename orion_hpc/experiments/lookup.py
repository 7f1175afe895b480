"""Finds experiments by name and version, and trials by number or id. An error lists what exists.

Reads by replay without the lock, so workers aren't delayed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from orion_hpc.errors import ConfigurationError, NoConfigurationError, did_you_mean
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import STATUSES, TrialRecord

BEST = "best"
"""What stands for the best trial's number."""

_FEWEST_DIGITS = 4


def wanted(name: str | None, version: int | None) -> Callable[[ExperimentState], bool]:
    """Return the predicate for experiments of this name and version; None matches any."""
    return lambda one: name in (None, one.name) and version in (None, one.version)


def chosen(
    experiments: Iterable[ExperimentState], where: str, name: str | None, version: int | None
) -> list[ExperimentState]:
    """Return the experiments of this name and version.

    Raises
    ------
    NoConfigurationError
        A name or a version is given, and the database ``where`` has no such experiment.
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
        f"There are: {known}." if names else "'orion-hpc submit CONFIG' creates one.",
    )


def the_one(
    experiments: Iterable[ExperimentState], where: str, name: str | None, version: int | None
) -> ExperimentState:
    """Return the experiment of this name and version, by default the highest version.

    Raises
    ------
    NoConfigurationError
        There is no such experiment, or no name is given and there are several names.
    """
    found = chosen(experiments, where, name, version)
    names = sorted({one.name for one in found})
    if len(names) > 1:
        raise NoConfigurationError(
            f"there are several experiments in {where}: {', '.join(names)}",
            "Give a name: --name NAME, or name='NAME' in Python.",
        )
    if not found:
        raise NoConfigurationError(
            f"there is no experiment in {where}", "'orion-hpc submit CONFIG' creates one."
        )
    return max(found, key=lambda one: one.version)


def read_experiments(
    storage: str | os.PathLike[str], name: str | None = None, version: int | None = None
) -> list[ExperimentState]:
    """Return the current state of the experiments of this name and version; None matches any.

    Raises
    ------
    NoConfigurationError
        There is no experiment of the given name or version.
    StorageError
        The database doesn't exist or can't be read.
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
    """Return the current state of one experiment; see :func:`the_one`."""
    return the_one(read_experiments(storage, name, version), os.fspath(storage), name, version)


def find_trial(experiment: ExperimentState, asked: str | int) -> TrialRecord:
    """Return the trial of a number or an id, or of the unique beginning of an id; or the ``best``.

    Raises
    ------
    ConfigurationError
        There is no such trial, or several ids begin so.
    """
    trials, text = experiment.trials, str(asked)
    if text == BEST:
        return best_of(experiment)
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
                "Give more characters of the id, or the number.",
            )
    numbers = f"0 to {len(trials) - 1}" if trials else "none yet"
    raise ConfigurationError(
        f"there is no trial {text!r:.100} in {experiment.title}",
        f"Give a number ({numbers}), an id, as 'orion-hpc trials CONFIG' shows them, or 'best'.",
    )


def best_of(experiment: ExperimentState) -> TrialRecord:
    """Return the best trial.

    Raises
    ------
    ConfigurationError
        No trial is completed.
    """
    if experiment.best is None:
        raise ConfigurationError(
            f"{experiment.title} has no completed trial yet",
            "'orion-hpc status CONFIG' shows whether it has workers.",
        )
    return experiment.best


def check_status(status: str) -> None:
    """Raise ConfigurationError if ``status`` isn't a status of trials."""
    if status not in STATUSES:
        raise ConfigurationError(
            f"there is no status {status!r:.100}{did_you_mean(status, STATUSES)}",
            f"There are: {', '.join(STATUSES)}.",
        )
