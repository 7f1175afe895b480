"""Functions that read trials from a database file, without an experiment's client.

By replay and without the lock, so that workers aren't delayed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from orion_hpc.client.trial import Trial, shown
from orion_hpc.experiments import frames
from orion_hpc.experiments.lookup import check_status, find_trial, read_experiment, read_experiments
from orion_hpc.experiments.trial_table import record, suggested_columns
from orion_hpc.model import pareto
from orion_hpc.model import trial_record as model
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs.layout import trial_folders


def fetch_trials(
    storage: str | os.PathLike[str], name: str | None = None, version: int | None = None
) -> list[Trial]:
    """Return all trials of an experiment, by number.

    Parameters
    ----------
    storage : path
        The database file.
    name : str, optional
        The experiment; required if the database has several.
    version : int, optional
        By default the highest.

    Returns
    -------
    list of Trial

    Raises
    ------
    NoConfigurationError
        There is no such experiment, or there are several and ``name`` isn't given.
    StorageError
        There is no database, or it can't be read.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> from orion_hpc.client.trials import fetch_trials
    >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, storage="demo.pkl")
    >>> trial = experiment.insert({"x": 0.5}, results=2.0)
    >>> [trial.objective.value for trial in fetch_trials("demo.pkl")]
    [2.0]
    """
    experiment = read_experiment(storage, name, version)
    return _shown(experiment.trials, experiment, storage)


def fetch_trials_by_status(
    status: str,
    storage: str | os.PathLike[str],
    name: str | None = None,
    version: int | None = None,
) -> list[Trial]:
    """Return the trials of one status, by number.

    Parameters
    ----------
    status : {"new", "reserved", "suspended", "completed", "interrupted", "broken"}
    storage, name, version
        As of :func:`fetch_trials`.

    Returns
    -------
    list of Trial

    Raises
    ------
    ConfigurationError
        There is no such status.
    NoConfigurationError, StorageError
        As :func:`fetch_trials` does.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> from orion_hpc.client.trials import fetch_trials_by_status
    >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, storage="demo.pkl")
    >>> trial = experiment.insert({"x": 0.5})
    >>> [trial.params for trial in fetch_trials_by_status("new", "demo.pkl")]
    [{'x': 0.5}]
    """
    check_status(status)
    experiment = read_experiment(storage, name, version)
    found = sorted(experiment.having(status), key=lambda trial: trial.number)
    return _shown(found, experiment, storage)


def pareto_front(
    storage: str | os.PathLike[str], name: str | None = None, version: int | None = None
) -> list[Trial]:
    """Return the completed trials that no other one dominates.

    A trial dominates another if it is as good in every objective and better in one. Trials that
    violate a constraint are left out once there is one that doesn't.

    Parameters
    ----------
    storage, name, version
        As of :func:`fetch_trials`.

    Returns
    -------
    list of Trial
        With a single objective, the best trials.

    Raises
    ------
    NoConfigurationError, StorageError
        As :func:`fetch_trials` does.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> from orion_hpc.client.trials import pareto_front
    >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, storage="demo.pkl")
    >>> for x in (0.5, 1.5):
    ...     trial = experiment.insert({"x": x}, results=x**2)
    >>> [trial.params for trial in pareto_front("demo.pkl")]
    [{'x': 0.5}]
    """
    experiment = read_experiment(storage, name, version)
    return _shown(pareto.front(experiment.finalists()), experiment, storage)


def get_trial(
    trial: str | int,
    storage: str | os.PathLike[str],
    name: str | None = None,
    version: int | None = None,
) -> Trial:
    """Return one trial.

    Parameters
    ----------
    trial : int or str
        Its number, its id, or the beginning of its id if no other trial's id begins so.
    storage, name, version
        As of :func:`fetch_trials`.

    Returns
    -------
    Trial

    Raises
    ------
    ConfigurationError
        There is no such trial.
    NoConfigurationError, StorageError
        As :func:`fetch_trials` does.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> from orion_hpc.client.trials import get_trial
    >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, storage="demo.pkl")
    >>> trial = experiment.insert({"x": 0.5})
    >>> get_trial(0, "demo.pkl").id == get_trial(trial.id[:8], "demo.pkl").id == trial.id
    True
    """
    experiment = read_experiment(storage, name, version)
    (found,) = _shown([find_trial(experiment, trial)], experiment, storage)
    return found


def to_pandas(
    storage: str | os.PathLike[str],
    name: str | None = None,
    version: int | None = None,
    with_evc_tree: bool = False,
) -> frames.DataFrame:
    """Return the trials of an experiment as a table, one row for each.

    Parameters
    ----------
    storage, name, version
        As of :func:`fetch_trials`.
    with_evc_tree : bool, default False
        Whether to include all versions of the experiment.

    Returns
    -------
    pandas.DataFrame
        First the columns of Oríon's ``to_pandas``: ``id``, ``experiment_id`` (``NAME-vVERSION``),
        ``status``, ``suggested``, ``reserved``, ``completed`` (times in UTC; NaT where there is
        none), ``objective``, and one for each hyperparameter by its flat name. After them those of
        ``orion-hpc db export``: ``experiment``, ``version``, ``number``, ``attempt``, further
        objectives, constraints and statistics by name, ``submit_time``, ``start_time``,
        ``end_time``, ``worker``, ``cause``, ``message``, ``parent``.

    Raises
    ------
    ConfigurationError
        pandas isn't installed.
    NoConfigurationError, StorageError
        As :func:`fetch_trials` does.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> from orion_hpc.client.trials import to_pandas
    >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, storage="demo.pkl")
    >>> trial = experiment.insert({"x": 0.5}, results=2.0)
    >>> to_pandas("demo.pkl")[["experiment_id", "status", "objective", "x"]]
      experiment_id     status  objective    x
    0       demo-v1  completed        2.0  0.5
    """
    one = read_experiment(storage, name, version)
    experiments = read_experiments(storage, one.name) if with_evc_tree else [one]
    records = [record(each, trial) for each in experiments for trial in each.trials]
    return frames.data_frame(suggested_columns(records))


def _shown(
    trials: Iterable[model.TrialRecord],
    experiment: ExperimentState,
    storage: str | os.PathLike[str],
) -> list[Trial]:
    folder_of = trial_folders(
        os.fspath(storage), experiment.title, experiment.configuration.get("working_dir")
    )
    return [shown(trial, experiment, folder_of) for trial in trials]
