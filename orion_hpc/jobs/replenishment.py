"""Submits new tasks for those that Slurm has cancelled or lost."""

from __future__ import annotations

import time
from collections.abc import Set

from orion_hpc.config.settings import Settings
from orion_hpc.experiments.failed_starts import FailedStarts, failed_starts
from orion_hpc.jobs.base import Jobs, Launcher
from orion_hpc.jobs.launch_request import launch_request
from orion_hpc.jobs.submission import Submission, launch_event, missing_tasks, useful_tasks
from orion_hpc.journal.heartbeat import signs
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout

_IN_A_ROW = 3
"""Tasks that end without having been a worker, after which there is a cause to be fixed."""


def now(submission: Submission) -> ExperimentState:
    """Return the current state of the experiment."""
    return submission.storage.refresh().experiments[submission.experiment.number]


def top_up(
    submission: Submission, settings: Settings, launcher: Launcher, in_queue: int
) -> tuple[int, Jobs] | None:
    """Submit as many tasks as are missing; return how many, and the jobs, or None.

    None is missing of an experiment that is done, or was stopped meanwhile.

    Raises
    ------
    LaunchError
        Slurm refused them; nothing has changed.
    """
    state = now(submission)
    tasks = missing_tasks(useful_tasks(settings, state.left), in_queue)
    if not tasks:
        return None
    jobs = launcher.launch(launch_request(settings, launcher, state, tasks, submission.code))
    try:
        launched = launch_event(launcher, jobs, submission.code)
        submission.storage.transact(state.number, lambda seen: [launched])
    except BaseException:
        jobs.stop(0)
        raise
    return tasks, jobs


def launch_time(submission: Submission) -> float:
    """Return when the jobs of ``submission`` were launched; now, if there are none."""
    own = submission.jobs.ids if submission.jobs is not None else ()
    launches = submission.storage.state.experiments[submission.experiment.number].jobs
    return next((one.time for one in launches if one.job_ids == own), time.time())


def hopeless(
    submission: Submission, state: ExperimentState, queued: Set[str], since: float
) -> FailedStarts | None:
    """Return the tasks that ended without having been a worker, if too many did in a row.

    Not if Slurm preempted the last one, or its node failed.

    Parameters
    ----------
    submission : Submission
    state : ExperimentState
        The experiment as it is now.
    queued : set of str
        The ids of the jobs that have tasks in the queue.
    since : float
        The time of the first launch that counts.
    """
    database = submission.storage.path
    found = signs(layout.workers_folder(database, state.title))
    failed = failed_starts(state, database, found, queued, since)
    if failed is None or failed.tasks < _IN_A_ROW or failed.by_slurm:
        return None
    return failed


class Patience:
    """Decides when to top up: at once after progress, and less and less often without.

    So jobs that end without completing a trial aren't submitted for a whole weekend, one after
    the other.
    """

    def __init__(self, shortest: float = 10.0, longest: float = 600.0) -> None:
        self._shortest, self._longest = shortest, longest
        self._pause = shortest
        self._completed = -1
        self._next = 0.0

    def may(self, now: float, completed: int) -> bool:
        """Return whether to submit now, with so many trials completed; if so it takes note."""
        if completed > self._completed:
            self._pause = self._shortest
        if now < self._next and completed <= self._completed:
            return False
        self._completed = completed
        self._next = now + self._pause
        self._pause = min(2 * self._pause, self._longest)
        return True
