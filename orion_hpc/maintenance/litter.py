"""What of an experiment's files nobody needs any more. Pure: names and facts in, decisions out.

What isn't recognised stays, and so does whatever may still be used: of jobs that Slurm doesn't
answer for, of workers that may live, of trials that aren't over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from orion_hpc.journal.heartbeat import SUSPENDED
from orion_hpc.model.trial import BROKEN, COMPLETED
from orion_hpc.sharedfs.layout import JOB_SPEC, LAUNCHER
from orion_hpc.sharedfs.process_identity import Identity

DAY = 86400.0
"""Seconds. What was being written so long ago is written no more."""

WEEK = 7 * DAY
"""Seconds. A write that a host held up as it stood still has landed by then, or never will."""

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
"""What is written before it has its name: submitit's files before a job's id is known."""
_PACKED = re.compile(r"function-[0-9a-f]{16}\.pkl")
_PACKING = re.compile(r"\.function-\w+")
_MARK = re.compile(r"\.over-(?P<job>\d+)")
_COPYING = re.compile(r"\.new-\d+-[0-9a-f]+")
_KEPT = re.compile(r"unrecorded-\d+\.json")


@dataclass(frozen=True, slots=True)
class Use:
    """What is in use.

    Attributes
    ----------
    alive : collection of str
        Workers that may live, or hold a trial.
    over, unknown : collection of str
        Slurm jobs that will run no more, and those of which it knows nothing: it forgot them, or
        they are another cluster's. Any other may wait or run.
    is_done : bool
        Whether there is nothing to be run any more.
    may_begin : bool
        Whether jobs may wait that haven't begun.
    """

    alive: Collection[str] = ()
    over: Collection[str] = ()
    unknown: Collection[str] = ()
    is_done: bool = False
    may_begin: bool = False


def slurm_jobs(launch: str, names: Collection[str]) -> set[str]:
    """Return the Slurm jobs of which the files in the folder of a launch are."""
    match = _LAUNCH.fullmatch(launch)
    if match is None or match["launcher"] != "slurm":
        return set()
    return {parts["job"] for name in names if (parts := _JOB_FILE.fullmatch(name))}


def marked_job(name: str) -> str | None:
    """Return the Slurm job of whose end a file beside the launches' folders is the mark."""
    match = _MARK.fullmatch(name)
    return match["job"] if match else None


def is_sign_litter(name: str, age: float, use: Use) -> bool:
    """Return whether a file among the signs of life, or the notices, is of no use any more."""
    worker = name.removesuffix(".new")
    if Identity.parse(worker) is not None:
        return worker not in use.alive
    if name in _ALL_WORKERS:
        return not use.alive or age > DAY
    unfinished = name.startswith(f"{SUSPENDED}.") or _NOW.fullmatch(name) is not None
    return unfinished and age > DAY


def launch_litter(launch: str, names: Mapping[str, float], use: Use, gone: bool) -> dict[str, str]:
    """Return which files in the folder of a launch are litter, and of which kind.

    Parameters
    ----------
    launch : str
        The folder's name.
    names : mapping of str to float
        The files' names and ages in seconds.
    use : Use
    gone : bool
        Whether none of the processes runs that were started from it, and neither the one that
        started them. False also means that nobody can tell.
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
    # The processes of one launch on this machine are watched by one, which leaves nothing but logs.
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
    # Of a submission that is on its way, or came to nothing.
    kinds |= {name: JOBS for name, age in names.items() if _UNNAMED.fullmatch(name) and age > DAY}
    return kinds


def is_launch(name: str) -> bool:
    """Return whether a folder is that of a launch."""
    return _LAUNCH.fullmatch(name) is not None


def is_left_launch(name: str, age: float) -> bool:
    """Return whether the folder of a launch, with nothing in it, is one that nobody will use."""
    return is_launch(name) and age > DAY


def is_beside_litter(name: str, age: float, use: Use) -> bool:
    """Return whether a file beside the launches' folders is of no use any more.

    Such are marks of jobs, and functions of Python programs that jobs call.
    """
    job = marked_job(name)
    if job is not None:
        return _is_over(job, age, use)
    if _PACKED.fullmatch(name):
        return use.is_done and not use.alive and not use.may_begin
    return _PACKING.fullmatch(name) is not None and age > DAY


def is_code_litter(name: str, age: float) -> bool:
    """Return whether a folder among the copies of the code is one that was never finished."""
    return _COPYING.fullmatch(name) is not None and age > DAY


def is_copy_litter(name: str, database: str, age: float) -> bool:
    """Return whether a file beside a database is a new one of it that was never finished."""
    return (
        re.fullmatch(re.escape(database) + r"\.[0-9a-f]{12}\.new", name) is not None and age > DAY
    )


def may_be_settled(age: float) -> bool:
    """Return whether what a writer keeps for itself may be needed no more, if the database has it
    all."""
    return age > WEEK


def is_trial_litter(name: str, statuses: Mapping[int, str]) -> bool:
    """Return whether it is the working directory of a trial that is over."""
    is_number = name.isascii() and name.isdecimal() and str(int(name)) == name
    return is_number and statuses.get(int(name)) in (COMPLETED, BROKEN)


def has_kept(names: Collection[str]) -> bool:
    """Return whether there are results among a trial's files that couldn't be recorded."""
    return any(_KEPT.fullmatch(name) for name in names)


def _is_over(job: str, age: float, use: Use) -> bool:
    if not _no_worker(job, use):
        return False
    # What is unknown here may wait in another cluster.
    return job in use.over or (job in use.unknown and (use.is_done or age > DAY))


def _no_worker(job: str, use: Use) -> bool:
    # A worker of another host may have the same number; then they stay.
    return not any(_job_of(worker) == job for worker in use.alive)


def _job_of(worker: str) -> str:
    who = Identity.parse(worker)
    return "" if who is None else who.job.partition(".")[0].partition("_")[0]
