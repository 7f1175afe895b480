"""Finds the tasks that ended without ever being a worker, and what they left of the reason.

What follows is left to the callers: ``status`` shows it, and ``submit --keep`` stops.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from orion_hpc.experiments.launch_logs import last_lines, launch_logs
from orion_hpc.model.event import LaunchJobs
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_identity import Identity

_BY_SLURM = ("DUE TO PREEMPTION", "DUE TO NODE FAILURE")
"""In slurmstepd's line at the end of the log of a job that had to make room, or lost its node."""

_LINES = 10
_LONGEST_LINE = 500
"""How much of a log or a reason is shown: its last lines, and characters of each."""


@dataclass(frozen=True, slots=True)
class FailedStarts:
    """The tasks since the last one that became a worker: all of them ended without.

    Attributes
    ----------
    tasks : int
        How many, as far as they left files; of a launch that left none, one.
    job : str
        The last of their jobs.
    path : str or None
        The file with the reason: what the last worker reported, else a log.
    lines : tuple of str
        The end of it.
    """

    tasks: int
    job: str
    path: str | None = None
    lines: tuple[str, ...] = ()

    @property
    def by_slurm(self) -> bool:
        """Whether Slurm ended the last one, which so might have become a worker."""
        return any(sign in line for line in self.lines for sign in _BY_SLURM)

    @property
    def text(self) -> str:
        """What happened, and on the next lines the end of the file with the reason."""
        tasks = f"{self.tasks} tasks" if self.tasks > 1 else "task"
        told = f"the last {tasks} ended before a worker started (job {self.job})"
        if not self.lines:
            return f"{told}, and there is no log"
        return "\n".join([f"{told}; {self.path} ends with:", *(f"  {one}" for one in self.lines)])


def failed_starts(
    experiment: ExperimentState,
    database: str,
    signs: Iterable[str],
    queued: Set[str] | None,
    since: float = 0.0,
) -> FailedStarts | None:
    """Return the tasks that ended without ever being a worker; None if the last one became one.

    Parameters
    ----------
    experiment : ExperimentState
    database : str
        Its path.
    signs : iterable of str
        The names of the workers that have a heartbeat.
    queued : set of str or None
        The ids of the jobs with tasks that wait or run; None: not known.
    since : float, default 0.0
        Launches before this time, in seconds since the epoch, don't count.
    """
    workers = [*signs, *experiment.worker_names, *(one.worker for one in experiment.departures)]
    began = set(map(_job_of, workers))
    failed: list[_Ended] = []
    for launch in reversed(experiment.jobs):
        jobs = {(launch.launcher, id_) for id_ in launch.job_ids}
        if launch.time < since or began & jobs:
            break
        reports = _reports(launch, database, experiment.title)
        if launch.launcher == "slurm" and queued is not None:
            over = queued.isdisjoint(launch.job_ids)
        else:
            over = bool(reports)
        if over:
            failed.append(_Ended(launch, reports, _logs(launch)))
    if not failed:
        return None
    last = failed[0]
    path = _newest(last.reports or last.logs)
    lines = [] if path is None else last_lines(path, _LINES)
    return FailedStarts(
        sum(one.tasks for one in failed),
        last.launch.job_ids[-1],
        path,
        tuple(line[:_LONGEST_LINE] for line in lines),
    )


class _Ended(NamedTuple):
    """A launch of which no task became a worker: the workers' reports, and the tasks' logs."""

    launch: LaunchJobs
    reports: list[str]
    logs: list[str]

    @property
    def tasks(self) -> int:
        return max(1, len(self.reports), len(self.logs))


def _job_of(worker: str) -> tuple[str, str]:
    """Return the launcher and the job id of a worker, by its name."""
    who = Identity.parse(worker)
    job = "" if who is None else who.job
    if job.startswith("local-"):
        return "local", job.removeprefix("local-").partition("+")[0]
    return "slurm", re.split("[_.+]", job)[0]


def _reports(launch: LaunchJobs, database: str, title: str) -> list[str]:
    """Return the paths of the reports of workers of the launch that couldn't start."""
    folder = glob.escape(os.path.dirname(launch.folder))
    if launch.launcher == "slurm":  # its logs may be elsewhere
        folder = os.path.join(glob.escape(layout.jobs_folder(database, title)), "slurm-*")
    return [
        path
        for id_ in launch.job_ids
        for pattern in (layout.start_report(folder, id_), layout.start_report(folder, f"{id_}_*"))
        for path in glob.glob(pattern)
    ]


def _logs(launch: LaunchJobs) -> list[str]:
    """Return the paths of the logs of the launch: those that name its jobs, if some do.

    A pattern of the user's may match those of other launches, too.
    """
    logs = launch_logs(launch)
    ids = "|".join(map(re.escape, launch.job_ids))
    named = re.compile(rf"(.*[^0-9])?({ids})[^0-9].*")
    found = [path for path in logs if named.fullmatch(os.path.basename(path))]
    return found or logs[:1]


def _newest(paths: Sequence[str]) -> str | None:
    def written(path: str) -> float:
        try:
            return os.stat(path).st_mtime
        except OSError:
            return 0.0

    return max(paths, key=written, default=None)
