"""Reads trials from a database: by replay, without the lock, while workers go on.

>>> from orion_hpc.client.trials import fetch_trials
>>> trials = fetch_trials("db.pkl", name="quick")  # doctest: +SKIP
>>> min(one.objective.value for one in trials if one.objective)  # doctest: +SKIP
0.0123
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from orion_hpc.client.trial import Trial, shown
from orion_hpc.experiments import frames
from orion_hpc.experiments.lookup import check_status, find_trial, read_experiment, read_experiments
from orion_hpc.experiments.trial_table import record, suggested_columns
from orion_hpc.model import pareto
from orion_hpc.model import trial as model
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs.layout import trial_folders


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
    experiment = read_experiment(storage, name, version)
    return _shown(experiment.trials, experiment, storage)


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
    found = sorted(experiment.having(status), key=lambda trial: trial.number)
    return _shown(found, experiment, storage)


def pareto_front(
    storage: str | os.PathLike[str], name: str | None = None, version: int | None = None
) -> list[Trial]:
    """Return the trials of several objectives that none other is better than in all of them; else
    as :func:`fetch_trials`.

    Only feasible ones, once there is one. With one objective, the best trials.
    """
    experiment = read_experiment(storage, name, version)
    return _shown(pareto.front(experiment.finalists()), experiment, storage)


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
    experiment = read_experiment(storage, name, version)
    (found,) = _shown([find_trial(experiment, trial)], experiment, storage)
    return found


def _shown(
    trials: Iterable[model.Trial], experiment: ExperimentState, storage: str | os.PathLike[str]
) -> list[Trial]:
    folder_of = trial_folders(
        os.fspath(storage), experiment.title, experiment.configuration.get("working_dir")
    )
    return [shown(trial, experiment, folder_of) for trial in trials]


def to_pandas(
    storage: str | os.PathLike[str],
    name: str | None = None,
    version: int | None = None,
    with_evc_tree: bool = False,
) -> frames.DataFrame:
    """Return the trials of an experiment as a table, a row for each.

    Returns
    -------
    pandas.DataFrame
        First the columns of Oríon's ``to_pandas``: ``id``, ``experiment_id`` (``NAME-vVERSION``),
        ``status``, ``suggested``, ``reserved``, ``completed`` (times, UTC; NaT where there is
        none), ``objective``, and one for each hyperparameter, by its flat name. Behind them what
        ``orion-hpc db export`` writes: ``experiment``, ``version``, ``number``, ``attempt``,
        further objectives, constraints and statistics by their names, ``submit_time``,
        ``start_time``, ``end_time``, ``worker``, ``cause``, ``message``, ``parent``.
        ``with_evc_tree`` takes in all versions of the name.

    Raises
    ------
    ConfigurationError
        pandas isn't installed.
    """
    one = read_experiment(storage, name, version)
    experiments = read_experiments(storage, one.name) if with_evc_tree else [one]
    records = [record(each, trial) for each in experiments for trial in each.trials]
    return frames.data_frame(suggested_columns(records))
