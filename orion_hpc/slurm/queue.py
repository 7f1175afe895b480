"""The state of submitted jobs in Slurm: from the controller's queue, then from the accounting.

``squeue`` has the current state, also of jobs that ended some minutes ago (slurm.conf, MinJobAge).
``sacct`` has all jobs, on sites that have it, but may lag behind. An answer that was cut short, or
isn't understood, counts as none.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from orion_hpc.slurm.commands import Answer, ask
from orion_hpc.slurm.tasks import Tasks, parse_indices, parse_job_id

_TRIES = 3
_FIELDS = ("ArrayJobID", "ArrayTaskID", "State", "RestartCnt", "Reason", "Name")


class Ended(NamedTuple):
    """Jobs that won't run any more according to Slurm, and jobs that it doesn't know."""

    over: frozenset[str]
    unknown: frozenset[str]


def ended(jobs: Collection[str]) -> Ended | None:
    """Return which of ``jobs`` are over with all tasks; None: the controller doesn't answer.

    In doubt a job isn't among them. A job that is being requeued has its processes ended first, and
    is over in the accounting meanwhile: only the controller knows that it will run again.
    """
    known = queued(jobs)
    if known is None:
        return None
    forgotten = frozenset(jobs) - {tasks.job for tasks in known}
    records = (recorded(forgotten) if forgotten else None) or []
    recorded_tasks = [tasks for tasks in records if tasks.job in forgotten]
    # A job that the controller has forgotten isn't requeued after a node failure.
    live = {tasks.job for tasks in known if tasks.phase != "over"}
    live |= {tasks.job for tasks in recorded_tasks if tasks.phase not in ("over", "lost")}
    unknown = forgotten - {tasks.job for tasks in recorded_tasks}
    return Ended(frozenset(jobs) - live - unknown, unknown)


def in_queue(jobs: Collection[str]) -> list[Tasks] | None:
    """Return the tasks of ``jobs`` that wait or run; None: not known.

    ``sacct`` is asked where ``squeue`` doesn't answer.
    """
    known = queued(jobs)
    if known is None:
        known = recorded(jobs)
        if known is None or {tasks.job for tasks in known} != set(jobs):
            return None  # a job that it doesn't know may wait
    return [tasks for tasks in known if tasks.in_queue]


def queued(jobs: Collection[str], tries: int = _TRIES) -> list[Tasks] | None:
    """Return the tasks of ``jobs`` in ``squeue``, recently ended ones too; None: no answer."""
    if not jobs:
        return []
    fields = ",".join(f"{field}:|" for field in _FIELDS)
    asked = ask("squeue", "--noheader", "--all", "--states=all", f"--Format={fields}",
                f"--jobs={','.join(jobs)}", tries=tries)  # fmt: skip
    if not asked.ok:
        # The error for a single job that it has forgotten; of several it lists the known ones.
        return [] if "Invalid job id" in asked.error else None
    return _read_queue(asked.output)


def recorded(jobs: Collection[str]) -> list[Tasks] | None:
    """Return the tasks of ``jobs`` in ``sacct``; None: no answer, as on many sites."""
    if not jobs:
        return []
    asked = ask("sacct", "--noheader", "--parsable2", "--allocations",
                "--format=JobID,State,JobName,Cluster", f"--jobs={','.join(jobs)}")  # fmt: skip
    return _read_records(asked.output) if asked.ok else None


def cancel(jobs: Collection[str]) -> Answer:
    """Cancel ``jobs``: running ones get SIGTERM, and SIGKILL after the site's KillWait."""
    return ask("scancel", *jobs, tries=_TRIES)


def cancel_called(name: str) -> Answer:
    """Cancel this user's jobs with that name, for a submission whose job id is unknown."""
    return ask("scancel", f"--name={name}", f"--user={os.getuid()}", tries=_TRIES)


def _read_queue(output: str) -> list[Tasks] | None:
    found = []
    for line in _lines(output):
        # A job's name may contain any character, '|' too.
        job, task, state, requeues, reason, rest = [*line.split("|", 5), *[""] * 6][:6]
        if not job.isdecimal() or not rest.endswith("|"):
            return None
        indices = () if task == "N/A" else parse_indices(task)
        if indices is None:
            return None
        count = int(requeues) if requeues.isdecimal() else None
        found.append(Tasks(job, indices, state, count, reason, rest[:-1]))
    return found


def _read_records(output: str) -> list[Tasks] | None:
    found = []
    for line in _lines(output):
        id_, state, rest = [*line.split("|", 2), *[""] * 3][:3]
        name, separator, cluster = rest.rpartition("|")
        job = parse_job_id(id_)
        if job is None or not separator or not cluster:
            return None
        found.append(Tasks(*job, state, None, "", name))
    return found


def _lines(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if line.strip()]
