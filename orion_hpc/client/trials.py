"""Reads trials from a database: by replay, without the lock, while workers go on.

What the Python API gives (``fetch_trials``, ``fetch_trials_by_status``, ``get_trial``,
``to_pandas``) is built on this.
"""

from __future__ import annotations

import os

from orion_hpc.experiments import frames
from orion_hpc.experiments.lookup import check_status, find_trial, read_experiment, read_experiments
from orion_hpc.experiments.trial_table import record, suggested_columns
from orion_hpc.model.trial import Trial


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
