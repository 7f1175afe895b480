"""Functions that create and open experiments from Python: Oríon's of the same names.

How an experiment is looked up, compared and created is left to :mod:`orion_hpc.experiments`.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from orion_hpc.client.arguments import settings_of
from orion_hpc.client.ask_tell import MODES
from orion_hpc.client.executor_choice import ExecutorChoice
from orion_hpc.client.experiment import ExperimentClient
from orion_hpc.client.session import Session
from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError, NoConfigurationError
from orion_hpc.executors.base import Executor
from orion_hpc.experiments.get_or_create import draft
from orion_hpc.experiments.location import Place, place_of
from orion_hpc.experiments.lookup import the_one
from orion_hpc.journal.base import Storage
from orion_hpc.model.state import ExperimentState

log = logging.getLogger(__name__)


def build_experiment(
    name: str,
    version: int | None = None,
    space: Mapping[str, Any] | None = None,
    algorithm: str | Mapping[str, Any] | None = None,
    algorithms: str | Mapping[str, Any] | None = None,
    max_trials: int | None = None,
    max_broken: int | None = None,
    storage: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    heartbeat: float | None = None,
    working_dir: str | os.PathLike[str] | None = None,
    debug: bool = False,
    executor: str | Mapping[str, Any] | Executor | None = None,
    warm_start: str | Mapping[str, Any] | None = None,
) -> ExperimentClient:
    """Return the experiment of this name; create it if it doesn't exist.

    What isn't given comes from the database if the experiment exists, otherwise from environment
    variables such as ``ORION_HPC_STORAGE`` and configuration files, otherwise from the defaults.

    Parameters
    ----------
    name : str
        Any text of one line.
    version : int, optional
        By default the highest that exists, or 1.
    space : mapping, optional
        Name -> prior, such as ``{"lr": "loguniform(1e-5, 1)"}``; may be nested. Required for a new
        experiment.
    algorithm : str or mapping, optional
        A name or ``{name: options}``; by default ``random``. ``algorithms`` is Oríon's older name.
    max_trials : int, optional
        Completed trials after which the experiment is done. None: no limit, or as recorded. May be
        changed later.
    max_broken : int, optional
        Broken trials that stop the experiment; by default 3. May be changed later.
    storage : path or mapping, optional
        The database file, by default ``./db.pkl``; or Oríon's ``{"type": "legacy", "database":
        {"type": "pickleddb", "host": path}}``. ``{"type": "ephemeraldb"}`` is memory. Any other
        type is a third party's (see :class:`orion_hpc.journal.base.Opener`).
    heartbeat : float, optional
        Seconds between heartbeats; by default 60. A worker that is silent for four of them loses
        its trials.
    working_dir : path, optional
        Where the trials' directories are made; by default beside the database.
    debug : bool, default False
        Store the experiment in memory, whatever ``storage`` says.
    executor : str, mapping or Executor, optional
        What ``workon`` runs trials with: a name (by default ``joblib``), ``{"name": …, "n_workers":
        …}`` with the options of :meth:`ExperimentClient.tmp_executor`, or an executor object.
    warm_start : str or mapping, optional
        Another experiment of this space whose completed trials count as history: its name, or
        ``{"name": …, "version": …, "storage": …}``. By default its highest version in this storage.

    Returns
    -------
    ExperimentClient
        With the mode ``x``.

    Raises
    ------
    NoConfigurationError
        There is no such experiment, and no space is given.
    ExperimentConflict
        The experiment exists with another space or algorithm; the message says what differs.
    ConfigurationError
        An argument is wrong; the message lists all that are.
    StorageError
        The database can't be read or written.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> experiment = build_experiment(
    ...     "demo",
    ...     space={"lr": "loguniform(1e-5, 1)", "model": {"depth": "uniform(1, 9, discrete=True)"}},
    ...     algorithm={"random": {"seed": 1}},
    ...     max_trials=10,
    ...     storage="demo.pkl",
    ... )
    >>> list(experiment.space)
    ['lr', 'model.depth']
    >>> build_experiment("demo", storage="demo.pkl").max_trials  # it exists now
    10
    """
    if algorithm is not None and algorithms is not None:
        raise ConfigurationError(
            "algorithm and algorithms are both given; they mean the same", "Keep algorithm."
        )
    other = Place() if debug else place_of(storage)
    given = {
        "name": name,
        "version": version,
        "space": space,
        "algorithm": algorithm if algorithm is not None else algorithms,
        "max_trials": None if max_trials == math.inf else max_trials,
        "max_broken": max_broken,
        "storage": None if other is not None else _path(storage),
        "working_dir": _path(working_dir),
        "warm_start": warm_start,
        "worker": {} if heartbeat is None else {"heartbeat": float(heartbeat)},
    }
    place, opened, experiment, settings = _get_or_create(given, other)
    return _client(place, opened, experiment, settings, executor, "x")


def create_experiment(*args: Any, **kwargs: Any) -> ExperimentClient:
    """Return the experiment of this name: Oríon's older name of :func:`build_experiment`.

    Parameters
    ----------
    *args, **kwargs
        As of :func:`build_experiment`.

    Returns
    -------
    ExperimentClient

    Raises
    ------
    OrionHpcError
        As :func:`build_experiment` does.

    Examples
    --------
    >>> from orion_hpc.client import create_experiment
    >>> create_experiment("demo", space={"x": "uniform(0, 1)"}, debug=True)
    Experiment(name=demo, version=1)
    """
    return build_experiment(*args, **kwargs)


def get_experiment(
    name: str,
    version: int | None = None,
    mode: str = "r",
    storage: str | os.PathLike[str] | Mapping[str, Any] | None = None,
) -> ExperimentClient:
    """Return an experiment that exists.

    Parameters
    ----------
    name : str
    version : int, optional
        By default, and if it is higher, the highest that exists.
    mode : {"r", "w", "x"}
        ``r`` to read only, ``w`` to insert and release trials too, ``x`` to run them too.
    storage : path or mapping, optional
        As of :func:`build_experiment`.

    Returns
    -------
    ExperimentClient

    Raises
    ------
    NoConfigurationError
        There is no such experiment, or no database; the message lists the experiments there are.
    ConfigurationError
        There is no such mode.
    StorageError
        The database can't be read.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment, get_experiment
    >>> built = build_experiment("demo", space={"x": "uniform(0, 1)"}, storage="demo.pkl")
    >>> trial = built.insert({"x": 0.5}, results=2.0)
    >>> experiment = get_experiment("demo", storage="demo.pkl")
    >>> experiment.mode, experiment.stats.best_evaluation
    ('r', 2.0)
    """
    if mode not in MODES:
        raise ConfigurationError(
            f"there is no mode {mode!r:.100}",
            "Use 'r' to read, 'w' to insert trials, 'x' to run them.",
        )
    other = place_of(storage)
    if other is not None and not other.is_shared:
        raise NoConfigurationError(
            "a storage in memory is gone with the experiment that was built in it",
            "Keep what build_experiment returned.",
        )
    file = None if other is not None else _path(storage)
    given = {"name": name, "version": version, "storage": file}
    settings = settings_of("get_experiment", given)
    place = Place(settings.storage) if other is None else other
    opened, found = _opened(place, name, version)
    return _client(place, opened, found, settings, None, mode)


def _opened(place: Place, name: str, version: int | None) -> tuple[Storage, ExperimentState]:
    """Return the storage, which follows the experiment only, and the experiment.

    Of a version that is higher than all others the newest one takes the place, as in Oríon.
    """
    opened = place.open_if_there(lambda one: one.name == name and version in (None, one.version))
    if opened is None:
        raise NoConfigurationError(
            f"there is no experiment {name!r}: there is no database at {place.name}",
            "build_experiment creates both; or pass another storage.",
        )
    experiments = opened.refresh().experiments.values()
    newest = max((one.version for one in experiments if one.name == name), default=None)
    if version is not None and newest is not None and version > newest:
        log.warning("%s has no version %d; its newest one, %d, is taken", name, version, newest)
        opened.close()
        return _opened(place, name, newest)
    return opened, the_one(experiments, place.name, name, version)


def workon(
    function: Callable[..., Any],
    space: Mapping[str, Any],
    name: str = "loop",
    algorithm: str | Mapping[str, Any] | None = None,
    algorithms: str | Mapping[str, Any] | None = None,
    max_trials: int | None = None,
    max_broken: int | None = None,
    **kwargs: Any,
) -> ExperimentClient:
    """Optimise a function in memory; return the experiment, which holds the trials.

    Parameters
    ----------
    function : callable
        Called with the hyperparameters by name; returns a number to be minimised, or a list of
        results.
    space : mapping
        As of :func:`build_experiment`.
    name, algorithm, algorithms, max_trials, max_broken
        As of :func:`build_experiment`.
    **kwargs
        As of :meth:`ExperimentClient.workon`, including constant arguments of the function. Trials
        run in this thread, unless ``n_workers`` is more than 1.

    Returns
    -------
    ExperimentClient

    Raises
    ------
    ConfigurationError
        An argument is wrong, or ``max_trials`` is missing and the search would never end.
    BrokenExperiment, InvalidResult
        As :meth:`ExperimentClient.workon` does.

    Examples
    --------
    >>> from orion_hpc.client import workon
    >>> space = {"x": "choices([1, 2, 3])"}
    >>> experiment = workon(lambda x, y: x * y, space, max_trials=3, y=10.0)
    >>> sorted(trial.objective.value for trial in experiment.fetch_trials())
    [10.0, 20.0, 30.0]
    """
    client = build_experiment(
        name,
        space=space,
        algorithm=algorithm,
        algorithms=algorithms,
        max_trials=max_trials,
        max_broken=max_broken,
        debug=True,
    )
    random = list(client.configuration["algorithm"]) == ["random"]
    if max_trials is None and random and client.space.cardinality == math.inf:
        raise ConfigurationError(
            "max_trials is missing: the search would never end", "Give max_trials=100, for example."
        )
    if kwargs.get("n_workers") in (None, 1):
        with client.tmp_executor("single"):
            client.workon(function, **kwargs)
    else:
        client.workon(function, **kwargs)
    return client


def _get_or_create(
    given: Mapping[str, Any], other: Place | None
) -> tuple[Place, Storage, ExperimentState, Settings]:
    """Return the experiment that the arguments name, created if it doesn't exist.

    Parameters
    ----------
    given : mapping
        The arguments of :func:`build_experiment`, as settings.
    other : Place, optional
        A storage that isn't a database file of ours.
    """
    settings = settings_of("build_experiment", given)
    place = Place(settings.storage) if other is None else other
    there = place.open_if_there(lambda one: one.name == settings.name)
    found = None if there is None else there.refresh().find(str(settings.name), settings.version)
    if found is None and settings.space is None:
        if there is not None:
            there.close()
        raise NoConfigurationError(
            f"there is no experiment {given['name']!r}{_which(given['version'])} in "
            f"{place.name}, and no space is given to make one",
            "Give space={'lr': 'loguniform(1e-5, 1)'}, or check the name and the storage.",
        )
    spec = ExperimentSpec.of(settings, None if found is None else found.configuration)
    opened, built = draft(spec, place, there).write(time.time())
    for line in (*built.changes, *built.kept, *built.learned, *built.advice):
        log.info("%s: %s", built.experiment.title, line)
    return place, opened, built.experiment, settings


def _client(
    place: Place,
    storage: Storage,
    experiment: ExperimentState,
    settings: Settings,
    executor: str | Mapping[str, Any] | Executor | None,
    mode: str,
) -> ExperimentClient:
    return ExperimentClient(
        place,
        Session(
            place,
            storage,
            experiment.number,
            settings.worker.heartbeat,
            settings.worker.on_suspend,
        ),
        _executor(executor, settings),
        settings.worker.n_workers,
        settings.worker.idle_timeout,
        settings.worker.grace,
        mode,
    )


def _executor(
    executor: str | Mapping[str, Any] | Executor | None, settings: Settings
) -> ExecutorChoice:
    if executor is None:
        return ExecutorChoice(settings.worker.executor)
    if not isinstance(executor, Mapping):
        return ExecutorChoice(executor)
    options = dict(executor)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"executor is {dict(executor)!r:.100} and has no name",
            "Write executor={'name': 'joblib', 'n_workers': 4}.",
        )
    return ExecutorChoice(name, options.pop("n_workers", None), **options)


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _which(version: int | None) -> str:
    return "" if version is None else f" version {version}"
