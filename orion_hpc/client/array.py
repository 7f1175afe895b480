"""Submission of jobs from Python: what the command ``submit`` does, for a function of the program.

Arrays, launchers and code snapshots are left to :mod:`orion_hpc.jobs`.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orion_hpc.client.arguments import check_count, check_function, check_options, settings_of
from orion_hpc.client.executor_choice import ExecutorChoice
from orion_hpc.client.session import Session
from orion_hpc.config.settings import Settings, known_keys
from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.summary import experiment_summary
from orion_hpc.jobs.base import Jobs
from orion_hpc.jobs.code_snapshot import code_for
from orion_hpc.jobs.job_files import check_job_files
from orion_hpc.jobs.launch_request import launch_request
from orion_hpc.jobs.submission import choose_launcher, launch_event, useful_tasks
from orion_hpc.journal.heartbeat import signs
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout
from orion_hpc.worker.portable import pack, write_packed
from orion_hpc.worker.shutdown import GRACE

_SHORTEST_LOOK = 0.1
_LONGEST_LOOK = 5.0
_STOP_WAIT = GRACE + 15.0
"""Seconds that local jobs have to release their trials."""

_one_launch = threading.Lock()
"""Launchers set variables in this process's environment, so one launch at a time."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """The arguments of :meth:`~orion_hpc.client.ExperimentClient.submit`, in its order."""

    fct: Callable[..., Any]
    array: int | str
    launcher: str
    trial_arg: str | None
    n_workers: int | None
    options: Mapping[str, Any]
    kwargs: Mapping[str, Any]

    def check(self, space: Space) -> None:
        """Raise ConfigurationError if an argument is wrong by itself."""
        check_options(self.fct, self.options)
        check_function(self.fct, space, self.kwargs, self.trial_arg)
        check_count("n_workers", self.n_workers, least=1)

    @property
    def bound(self) -> Callable[..., Any]:
        """The function with its constant arguments."""
        return functools.partial(self.fct, **self.kwargs) if self.kwargs else self.fct


@dataclass(frozen=True, slots=True)
class SubmittedJobs:
    """Jobs that were submitted; none if no trials were left to run.

    Attributes
    ----------
    job_ids : tuple of str
        As ``squeue`` shows them; one for a whole array.
    tasks : int
        The number of jobs, or of tasks of the array.
    logs : str
        Where the output goes: a path, which may be a pattern of the shell.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> space = {"x": "uniform(-5, 5)"}
    >>> experiment = build_experiment("demo", space=space, max_trials=2, executor="single")
    >>> jobs = experiment.submit(lambda x: x**2, executor="debug")
    >>> len(jobs.job_ids), jobs.tasks, jobs.logs
    (1, 1, 'this terminal')
    """

    job_ids: tuple[str, ...]
    tasks: int
    logs: str
    _jobs: Jobs | None = field(repr=False)
    _session: Session = field(repr=False)

    def status(self) -> dict[str, Any]:
        """Return the experiment's status, as ``orion-hpc status --json`` shows it.

        Returns
        -------
        dict
            Plain data, which ``json.dumps`` takes.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> space = {"x": "uniform(-5, 5)"}
        >>> experiment = build_experiment("demo", space=space, max_trials=2, executor="single")
        >>> jobs = experiment.submit(lambda x: x**2, executor="debug")
        >>> status = jobs.status()
        >>> status["name"], status["max_trials"], status["trials"]["completed"]
        ('demo', 2, 2)
        """
        with self._session.lock:
            state = self._session.refresh()
            folder = layout.workers_folder(str(self._session.place.path), state.title)
            return experiment_summary(state, signs(folder))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the experiment is done or the jobs have ended.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which to return in any case; by default there is no limit.

        Returns
        -------
        bool
            Whether the experiment is done.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> space = {"x": "uniform(-5, 5)"}
        >>> experiment = build_experiment("demo", space=space, max_trials=2, executor="single")
        >>> experiment.submit(lambda x: x**2, executor="debug").wait(timeout=60)
        True
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_LOOK
        while True:
            gone = self._jobs is None or self._jobs.ended()
            with self._session.lock:  # read after the jobs' states, to count what they did
                state = self._session.refresh()
                if state.is_done or gone:
                    return state.is_done
            left = _LONGEST_LOOK if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_LOOK)

    def cancel(self) -> None:
        """Cancel the jobs. Those that run get their stop notice and release their trials.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> space = {"x": "uniform(-5, 5)"}
        >>> experiment = build_experiment("demo", space=space, max_trials=2, executor="single")
        >>> jobs = experiment.submit(lambda x: x**2, executor="debug")
        >>> jobs.cancel()  # they have ended: nothing happens
        """
        if self._jobs is not None:
            self._jobs.stop(_STOP_WAIT)


def submit(
    place: Place, session: Session, choice: ExecutorChoice, request: JobRequest
) -> SubmittedJobs:
    """Submit jobs for an experiment.

    Parameters
    ----------
    place : Place
        Where the experiment is stored: a file.
    session : Session
        Through which it is read, and the launch recorded.
    choice : ExecutorChoice
        What each job runs trials with: an executor chosen by name.
    request : JobRequest

    Raises
    ------
    ConfigurationError, LaunchError, StorageError
        As :meth:`~orion_hpc.client.ExperimentClient.submit` says.
    """
    if place.path is None:
        raise ConfigurationError(
            f"an experiment in the storage {place.name!r} can't be run by jobs",
            "Build it with a database file on a file system that the jobs see.",
        )
    if choice.is_given:
        raise ConfigurationError(
            f"jobs can't be given an executor that is an object ({choice.name})",
            "Choose one by its name: tmp_executor('joblib', n_workers=4).",
        )
    state = session.refresh()
    settings = _settings(place.path, state, choice, session, request)
    launcher = choose_launcher(request.launcher, settings)
    launcher.check()
    check_job_files(settings, launcher, state.name)
    data = pack(request.bound)
    tasks = useful_tasks(settings, state.left)
    if not tasks:
        return SubmittedJobs((), 0, "", None, session)
    with code_for(settings, state.title, _directory(request.fct)) as code:
        launch = launch_request(settings, launcher, state, tasks, code)
        layout.make_folder(launch.folder)
        spec = replace(
            launch.argument,
            function=write_packed(data, launch.folder),
            trial_arg=request.trial_arg,
            options=dict(choice.options),
        )
        with _one_launch:
            jobs = launcher.launch(replace(launch, argument=spec, spec=spec.to_json()))
        try:
            launched = launch_event(launcher, jobs, code)
            session.transact(lambda seen: [launched])
        except BaseException:
            jobs.stop(0)
            raise
    return SubmittedJobs(jobs.ids, tasks, jobs.logs, jobs, session)


def _settings(
    storage: str,
    experiment: ExperimentState,
    choice: ExecutorChoice,
    session: Session,
    request: JobRequest,
) -> Settings:
    known = known_keys(("slurm",))
    slurm: dict[str, Any] = {"array": str(request.array), "additional": {}}
    for option, value in request.options.items():
        if value is None:
            continue
        if option in known:
            slurm[option] = value
        else:
            slurm["additional"][option.replace("_", "-")] = value
    worker: dict[str, Any] = {
        "executor": choice.name,
        "heartbeat": session.interval,
        "on_suspend": session.on_suspend,
    }
    if request.n_workers is not None:
        worker["n_workers"] = request.n_workers
    given = {
        "name": experiment.name,
        "version": experiment.version,
        "storage": storage,
        "slurm": slurm,
        "worker": worker,
    }
    return settings_of("submit", given)


def _directory(fct: Callable[..., Any]) -> str:
    """Return the directory of the function's source file."""
    try:
        return os.path.dirname(os.path.abspath(inspect.getfile(inspect.unwrap(fct))))
    except (TypeError, OSError):  # defined in a notebook, or a callable object
        return os.getcwd()
