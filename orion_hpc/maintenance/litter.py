"""Decides which files of an experiment aren't needed any more. Pure.

A file that isn't recognised stays, and so does any that may still be used: those of jobs whose
state Slurm doesn't report, of workers that may be alive, of trials that haven't ended.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orion_hpc.journal.heartbeat import SUSPENDED
from orion_hpc.model.trial_record import BROKEN, COMPLETED
from orion_hpc.sharedfs.layout import JOB_SPEC, LAUNCHER
from orion_hpc.sharedfs.process_identity import Identity

DAY = 86400.0
"""Seconds after which a write that was in progress has ended."""

WEEK = 7 * DAY
"""Seconds after which a write that a frozen host held back has landed, or never will."""

SIGNS, NOTICES, JOBS, LOGS, CODE, COPIES, TRIALS, WRITTEN_AHEAD = (
    "signs of life of workers that are gone",
    "stop notices to workers that are gone",
    "files for the start of jobs that are over",
    "logs of jobs that are over",
    "unfinished copies of the code",
    "unfinished copies of the database",
    "working directories of trials that are over",
    "workers' own copies of what the database has",
)

_ALL_WORKERS = (".turn", SUSPENDED)
"""Files that all workers share."""
_NOW = re.compile(r"\.now-\d+-[0-9a-f]{8}")
_JOB_FILE = re.compile(
    r"(?P<job>\d+)(?:_\d+){0,2}(?:_(?P<start>submitted\.pkl|result\.pkl(?:\.save_tmp)?|submission\.sh)"
    r"|_log\.(?:out|err)|\.(?:out|err))"
)
_LAUNCH = re.compile(r"(?P<launcher>slurm|local)-\d{8}-\d{6}-\d+-[0-9a-f]{8}")
_UNNAMED = re.compile(
    r"[0-9a-f]{32}\.pkl|\.submission_file_[0-9a-f]{32}\.sh"
    rf"|{re.escape(JOB_SPEC)}\.[0-9a-f]{{12}}\.new"
)
"""Names of files before they have their final one, as submitit's before a job has its id."""
_PACKED = re.compile(r"function-[0-9a-f]{16}\.pkl")
_PACKING = re.compile(r"\.function-\w+")
_MARK = re.compile(r"\.over-(?P<job>\d+)")
_COPYING = re.compile(r"\.new-\d+-[0-9a-f]+")
_KEPT = re.compile(r"unrecorded-\d+\.json")


@dataclass(frozen=True, slots=True)
class Use:
    """The workers and jobs that may use files.

    Attributes
    ----------
    alive : collection of str
        Workers that may be alive, or hold a trial.
    over, unknown : collection of str
        Slurm jobs that won't run any more, and jobs that Slurm doesn't know: it forgot them, or
        they are another cluster's. Any other job may wait or run.
    is_done : bool
        Whether the experiment has nothing left to run.
    may_begin : bool
        Whether jobs may be pending.
    """

    alive: Collection[str] = ()
    over: Collection[str] = ()
    unknown: Collection[str] = ()
    is_done: bool = False
    may_begin: bool = False


def slurm_jobs(launch: str, names: Collection[str]) -> set[str]:
    """Return the Slurm jobs that the files in the folder of a launch belong to."""
    match = _LAUNCH.fullmatch(launch)
    if match is None or match["launcher"] != "slurm":
        return set()
    return {parts["job"] for name in names if (parts := _JOB_FILE.fullmatch(name))}


def marked_job(name: str) -> str | None:
    """Return the Slurm job whose end a file beside the launches' folders marks."""
    match = _MARK.fullmatch(name)
    return match["job"] if match else None


def is_sign_litter(name: str, age: float, use: Use) -> bool:
    """Return whether a file among the signs of life or the notices isn't needed any more."""
    worker = name.removesuffix(".new")
    if Identity.parse(worker) is not None:
        return worker not in use.alive
    if name in _ALL_WORKERS:
        return not use.alive or age > DAY
    unfinished = name.startswith(f"{SUSPENDED}.") or _NOW.fullmatch(name) is not None
    return unfinished and age > DAY


def launch_litter(launch: str, names: Mapping[str, float], use: Use, gone: bool) -> dict[str, str]:
    """Return the files in the folder of a launch that aren't needed, and the kind of each.

    Parameters
    ----------
    launch : str
        The folder's name.
    names : mapping of str to float
        The files' names and ages in seconds.
    use : Use
    gone : bool
        Whether the launching process and all that it started have ended. False also means: not
        known.
    """
    match = _LAUNCH.fullmatch(launch)
    if match is None:
        return {}
    local = match["launcher"] == "local"
    files = {name: parts for name in names if (parts := _JOB_FILE.fullmatch(name))}
    youngest: dict[str, float] = {}
    for name, parts in files.items():
        job = parts["job"]
        youngest[job] = min(names[name], youngest.get(job, names[name]))
    # One process watches those of a launch on this machine; it removes all but the logs.
    settled = LAUNCHER not in names and not any(parts["start"] for parts in files.values())
    ended = gone or settled or min(names.values(), default=0.0) > DAY
    over = {
        job
        for job, age in youngest.items()
        if (ended and _no_worker(f"local-{job}", use) if local else _is_over(job, age, use))
    }
    kinds = {
        name: JOBS if parts["start"] else LOGS
        for name, parts in files.items()
        if parts["job"] in over
    }
    if local and ended and LAUNCHER in names and over == set(youngest):
        kinds[LAUNCHER] = JOBS
    if JOB_SPEC in names and over == set(youngest):
        # Without files of jobs in the folder, jobs may be about to be submitted.
        old = names[JOB_SPEC] > DAY
        if local:
            unused = ended and (old or LAUNCHER in names)
        else:
            unused = not use.alive and not use.may_begin and (old or (use.is_done and bool(over)))
        if unused:
            kinds[JOB_SPEC] = JOBS
    # Of a submission that is in progress, or failed.
    kinds |= {name: JOBS for name, age in names.items() if _UNNAMED.fullmatch(name) and age > DAY}
    return kinds


def is_launch(name: str) -> bool:
    """Return whether a folder is that of a launch, by its name."""
    return _LAUNCH.fullmatch(name) is not None


def is_left_launch(name: str, age: float) -> bool:
    """Return whether the empty folder of a launch won't be used any more."""
    return is_launch(name) and age > DAY


def is_beside_litter(name: str, age: float, use: Use) -> bool:
    """Return whether a file beside the launches' folders isn't needed any more.

    Such files are marks of jobs, and pickled functions that jobs call.
    """
    job = marked_job(name)
    if job is not None:
        return _is_over(job, age, use)
    if _PACKED.fullmatch(name):
        return use.is_done and not use.alive and not use.may_begin
    return _PACKING.fullmatch(name) is not None and age > DAY


def is_code_litter(name: str, age: float) -> bool:
    """Return whether a folder among the copies of the code is an unfinished one."""
    return _COPYING.fullmatch(name) is not None and age > DAY


def is_copy_litter(name: str, database: str, age: float) -> bool:
    """Return whether a file beside a database is an unfinished copy of it."""
    return (
        re.fullmatch(re.escape(database) + r"\.[0-9a-f]{12}\.new", name) is not None and age > DAY
    )


def may_be_settled(age: float) -> bool:
    """Return whether a writer's own file is old enough to be removed, if the database has all of
    it."""
    return age > WEEK


def is_trial_litter(name: str, statuses: Mapping[int, str]) -> bool:
    """Return whether it is the working directory of a trial that ended."""
    is_number = name.isascii() and name.isdecimal() and str(int(name)) == name
    return is_number and statuses.get(int(name)) in (COMPLETED, BROKEN)


def has_kept(names: Collection[str]) -> bool:
    """Return whether a trial's files include results that couldn't be recorded."""
    return any(_KEPT.fullmatch(name) for name in names)


def _is_over(job: str, age: float, use: Use) -> bool:
    if not _no_worker(job, use):
        return False
    # A job that is unknown here may be pending in another cluster.
    return job in use.over or (job in use.unknown and (use.is_done or age > DAY))


def _no_worker(job: str, use: Use) -> bool:
    # A worker of another host may have the same number; then the files stay.
    return not any(_job_of(worker) == job for worker in use.alive)


def _job_of(worker: str) -> str:
    who = Identity.parse(worker)
    return "" if who is None else who.job.partition(".")[0].partition("_")[0]
