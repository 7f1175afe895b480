"""What of an experiment's files nobody needs any more. Pure: names and facts in, decisions out.

What isn't recognised stays, and so does whatever may still be used: of jobs that Slurm doesn't
answer for, of workers that may live, of trials that aren't over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orion_hpc.files.identity import Identity
from orion_hpc.model.trial import BROKEN, COMPLETED

DAY = 86400.0
"""Seconds. What was being written so long ago is written no more."""

SIGNS, NOTICES, JOBS, LOGS, CODE, TRIALS = (
    "signs of life of workers that are gone",
    "stop notices to workers that are gone",
    "files for the start of jobs that are over",
    "logs of jobs that are over",
    "unfinished copies of the code",
    "working directories of trials that are over",
)

_TEMPORARY = re.compile(r"\.(now-|new-|function-|turn$)")
_JOB_FILE = re.compile(r"(\d+)(?:_\d+)?(?:_(\d+))?_(log\.(?:out|err)|submitted\.pkl|result\.pkl|"
                       r"submission\.sh)|(\d+)(?:_\d+)?\.(out|err)")  # fmt: skip
_LAUNCH = re.compile(r"(slurm|local)-\d{8}-\d{6}-\d+-[0-9a-f]{8}")
_SHARED = re.compile(r"(?:[0-9a-f]{32}|function-[0-9a-f]{16})\.pkl|\.submission_file_[0-9a-f]+\.sh")
"""What belongs to all jobs of a launch, or to none that came to be."""
_MARK = re.compile(r"\.over-(\d+)")


@dataclass(frozen=True, slots=True)
class Use:
    """What is in use.

    Attributes
    ----------
    alive : collection of str
        Workers that may live, or hold a trial.
    jobs : collection of str or None
        Ids of Slurm jobs that wait or run; None: Slurm doesn't say, so any may.
    """

    alive: Collection[str]
    jobs: Collection[str] | None


def is_sign_litter(name: str, age: float, use: Use) -> bool:
    """Return whether a file among the signs of life, or the notices, is of no use any more."""
    worker = name.removesuffix(".new")
    if Identity.parse(worker) is not None:
        return worker not in use.alive
    return _TEMPORARY.match(name) is not None and age > DAY


def job_litter(launch: str, names: Mapping[str, float], use: Use) -> dict[str, str]:
    """Return which files in the folder of a launch are litter, and of which kind.

    Parameters
    ----------
    launch : str
        The folder's name.
    names : mapping of str to float
        The files' names and ages in seconds.
    use : Use
    """
    match = _LAUNCH.fullmatch(launch)
    if match is None:
        return {}
    kinds: dict[str, str] = {}
    jobs = set()
    for name in names:
        parts = _JOB_FILE.fullmatch(name)
        if parts is not None:
            jobs.add(parts[1] or parts[4])
            is_log = parts[5] is not None or parts[3].startswith("log.")
            kinds[name] = LOGS if is_log else JOBS
        elif _SHARED.fullmatch(name):
            kinds[name] = JOBS
    if not jobs and names and min(names.values()) < DAY:
        return {}  # it is being submitted
    over = _no_slurm_job(jobs, use) if match[1] == "slurm" else _no_local_job(jobs, use)
    return kinds if over else {}


def is_mark_litter(name: str, use: Use) -> bool:
    """Return whether a file beside the launches' folders is the mark of a job that is over."""
    match = _MARK.fullmatch(name)
    return match is not None and _no_slurm_job({match[1]}, use)


def is_packed_litter(name: str, is_done: bool, use: Use) -> bool:
    """Return whether it is a Python program's function that no job will call any more."""
    packed = _SHARED.fullmatch(name) is not None and name.startswith("function-")
    return packed and is_done and not use.alive and use.jobs is not None and not use.jobs


def is_code_litter(name: str, age: float) -> bool:
    """Return whether a folder among the copies of the code is one that was never finished."""
    return name.startswith(".new-") and age > DAY


def is_trial_litter(name: str, statuses: Mapping[int, str]) -> bool:
    """Return whether it is the working directory of a trial that is over."""
    return name.isdecimal() and statuses.get(int(name)) in (COMPLETED, BROKEN)


def _no_slurm_job(jobs: Collection[str], use: Use) -> bool:
    if use.jobs is None or any(job in use.jobs for job in jobs):
        return False
    return not any(_job_of(worker) in jobs for worker in use.alive)


def _no_local_job(jobs: Collection[str], use: Use) -> bool:
    # A worker of another host may have the same number; then they stay.
    return not any(_job_of(worker).removeprefix("local-") in jobs for worker in use.alive)


def _job_of(worker: str) -> str:
    who = Identity.parse(worker)
    return "" if who is None else who.job.partition(".")[0].partition("_")[0]
