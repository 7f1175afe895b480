"""Submits jobs from Python: what the command ``submit`` does, with a function of the program's."""

from __future__ import annotations

import functools
import inspect
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orion_hpc.client.arguments import settings_of
from orion_hpc.client.executor_choice import ExecutorChoice
from orion_hpc.client.session import Session
from orion_hpc.config.settings import Settings, known_keys
from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.summary import experiment_summary
from orion_hpc.jobs.base import Jobs
from orion_hpc.jobs.code_snapshot import code_for
from orion_hpc.jobs.launch_request import launch_request
from orion_hpc.jobs.submission import choose_launcher, launch_event, useful_tasks
from orion_hpc.journal.heartbeat import signs
from orion_hpc.sharedfs import layout
from orion_hpc.worker.portable import pack, write_packed
from orion_hpc.worker.shutdown import GRACE

_SHORTEST_LOOK = 0.1
_LONGEST_LOOK = 5.0
_STOP_WAIT = GRACE + 15.0
"""Seconds that local jobs get to release their trials."""


_one_launch = threading.Lock()
"""Launchers pass things through this process's environment."""


@dataclass(frozen=True, slots=True)
class SubmittedJobs:
    """Jobs that were submitted; none where nothing was left to be run.

    Attributes
    ----------
    job_ids : tuple of str
        As ``squeue`` shows them; one for a whole array.
    tasks : int
        How many jobs.
    logs : str
        Where their output goes; a pattern that the shell understands.
    """

    job_ids: tuple[str, ...]
    tasks: int
    logs: str
    _jobs: Jobs | None = field(repr=False)
    _session: Session = field(repr=False)

    def status(self) -> dict[str, Any]:
        """Return how the experiment stands: what ``orion-hpc status --json`` shows of it."""
        with self._session.lock:
            state = self._session.refresh()
            folder = layout.workers_folder(str(self._session.place.path), state.title)
            return experiment_summary(state, signs(folder))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the experiment is done or the jobs have ended; return whether it is done.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which to return in any case.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_LOOK
        while True:
            gone = self._jobs is None or self._jobs.ended()
            with self._session.lock:  # after the look at the jobs: what they did counts
                state = self._session.refresh()
                if state.is_done or gone:
                    return state.is_done
            left = _LONGEST_LOOK if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_LOOK)

    def cancel(self) -> None:
        """End the jobs: those that run get their stop notice, and release their trials."""
        if self._jobs is not None:
            self._jobs.stop(_STOP_WAIT)


def submit(
    place: Place,
    session: Session,
    choice: ExecutorChoice,
    fct: Callable[..., Any],
    array: int | str,
    executor: str,
    trial_arg: str | None,
    n_workers: int | None,
    options: Mapping[str, Any],
    kwargs: Mapping[str, Any],
) -> SubmittedJobs:
    """Submit jobs; see :meth:`~orion_hpc.client.experiment.ExperimentClient.submit`."""
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
    settings = _settings(place.path, state.name, state.version, choice, session, n_workers,
                         array, options)  # fmt: skip
    launcher = choose_launcher(executor, settings)
    launcher.check()
    data = pack(functools.partial(fct, **kwargs) if kwargs else fct)
    tasks = useful_tasks(settings, state.left)
    if not tasks:
        return SubmittedJobs((), 0, "", None, session)
    with code_for(settings, state.title, _directory(fct)) as code:
        request = launch_request(settings, launcher, state, tasks, code)
        layout.make_folder(request.folder)
        spec = replace(
            request.argument,
            function=write_packed(data, request.folder),
            trial_arg=trial_arg,
            options=dict(choice.options),
        )
        with _one_launch:
            jobs = launcher.launch(replace(request, argument=spec, spec=spec.to_json()))
        try:
            launched = launch_event(launcher, jobs, code)
            session.transact(lambda seen: [launched])
        except BaseException:
            jobs.stop(0)
            raise
    return SubmittedJobs(jobs.ids, tasks, jobs.logs, jobs, session)


def _settings(
    storage: str,
    name: str,
    version: int,
    choice: ExecutorChoice,
    session: Session,
    n_workers: int | None,
    array: int | str,
    options: Mapping[str, Any],
) -> Settings:
    known = known_keys(("slurm",))
    slurm: dict[str, Any] = {"array": str(array), "additional": {}}
    for option, value in options.items():
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
    if n_workers is not None:
        worker["n_workers"] = n_workers
    given = {"name": name, "version": version, "storage": storage, "slurm": slurm, "worker": worker}
    return settings_of("submit", given)


def _directory(fct: Callable[..., Any]) -> str:
    """Return where the modules lie that the function comes from."""
    try:
        return os.path.dirname(os.path.abspath(inspect.getfile(inspect.unwrap(fct))))
    except (TypeError, OSError):  # a notebook's, or a callable object
        return os.getcwd()
