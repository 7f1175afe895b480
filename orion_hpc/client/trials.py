"""Reads trials from a database: by replay, without the lock, while workers go on.

What the Python API gives (``fetch_trials``, ``fetch_trials_by_status``, ``get_trial``,
``to_pandas``) is built on this.
"""

from __future__ import annotations

import os

from orion_hpc.client.experiments import chosen, the_one, wanted
from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import STATUSES, Trial
from orion_hpc.report import frames
from orion_hpc.report.trials import record, suggested_columns
from orion_hpc.storage.pickleddb import PickledDB


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
    """Return one experiment as it stands now; see :func:`~.experiments.the_one`."""
    return the_one(read_experiments(storage, name, version), os.fspath(storage), name, version)


def fetch_trials(
    storage: str | os.PathLike[str], name: str | None = None, version: int | None = None
) -> list[Trial]:
    """Return all trials of an experiment, by their numbers.

    Parameters
    ----------
    storage : path
        The database.
    name : str, optional
        May be left out where there is one name only.
    version : int, optional
        By default the highest.

    Raises
    ------
    NoConfigurationError
        There is no such experiment, or it isn't said which of several.
    StorageError
        There is no database, or it can't be read.
    """
    return list(read_experiment(storage, name, version).trials)


def fetch_trials_by_status(
    status: str,
    storage: str | os.PathLike[str],
    name: str | None = None,
    version: int | None = None,
) -> list[Trial]:
    """Return the trials of one status, by their numbers; else as :func:`fetch_trials`.

    Raises
    ------
    ConfigurationError
        There is no such status.
    """
    check_status(status)
    experiment = read_experiment(storage, name, version)
    return sorted(experiment.having(status), key=lambda trial: trial.number)


def get_trial(
    trial: str | int,
    storage: str | os.PathLike[str],
    name: str | None = None,
    version: int | None = None,
) -> Trial:
    """Return the trial of a number or an id (or the beginning of an id that only one has).

    Raises
    ------
    ConfigurationError
        There is none.
    """
    return find_trial(read_experiment(storage, name, version), trial)


def find_trial(experiment: ExperimentState, asked: str | int) -> Trial:
    """Return the trial of a number or an id; see :func:`get_trial`."""
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


_FEWEST_DIGITS = 4


def check_status(status: str) -> None:
    """Raise ConfigurationError if there is no such status."""
    if status not in STATUSES:
        raise ConfigurationError(
            f"there is no status {status!r:.100}{did_you_mean(status, STATUSES)}",
            f"There are: {', '.join(STATUSES)}.",
        )


def to_pandas(
    storage: str | os.PathLike[str],
    name: str | None = None,
    version: int | None = None,
    with_evc_tree: bool = False,
) -> frames.DataFrame:
    """Return the trials of an experiment as Oríon's ``to_pandas`` does: a row for each.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``experiment_id`` (``NAME-vVERSION``), ``status``, ``suggested``, ``reserved``,
        ``completed`` (times, UTC; NaT where there is none), ``objective``, and a column for each
        hyperparameter, by its flat name. Behind them, where there are such, one for each objective
        after the first and for each constraint. ``with_evc_tree`` takes in all versions of the
        name.

    Raises
    ------
    ConfigurationError
        pandas isn't installed.
    """
    one = read_experiment(storage, name, version)
    experiments = read_experiments(storage, one.name) if with_evc_tree else [one]
    records = [record(each, trial) for each in experiments for trial in each.trials]
    return frames.data_frame(suggested_columns(records))
