"""Which jobs are known to have ended, or to be suspended: only by an explicit answer of Slurm.

No answer, an unknown job, and a state that isn't understood prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from orion_hpc.slurm.queue import queued, recorded
from orion_hpc.slurm.tasks import Tasks, word

REQUEUED = "REQUEUED"
"""The end of a run whose task was requeued."""

_NAME = re.compile(r"(?P<job>\d+)(?:_(?P<task>\d+))?\.(?P<requeues>\d+)")


class Known(NamedTuple):
    """What Slurm knows about runs of jobs.

    ``ended`` maps a run to Slurm's final state, such as ``TIMEOUT``. All processes of the runs in
    ``suspended`` are stopped until they are resumed.
    """

    ended: Mapping[str, str] = {}
    suspended: frozenset[str] = frozenset()


def known_runs(runs: Collection[str]) -> Known | None:
    """Return which of ``runs`` ended or are suspended; None: the controller doesn't answer.

    Parameters
    ----------
    runs : collection of str
        A job or array task and its number of requeues at the start of the run: ``15.0``,
        ``12_3.1``.
    """
    jobs = jobs_of(runs)
    if not jobs:
        return Known()
    queue = queued(jobs)
    if queue is None:
        return None  # only the controller knows what is being requeued
    forgotten = [run for run in runs if not _known(run, queue)]
    records = recorded(jobs) if forgotten else None
    how_known = {run: how_ended(run, queue) for run in runs}
    how_known |= {run: how_ended(run, records or ()) for run in forgotten}
    ended = {run: how for run, how in how_known.items() if how}
    return Known(ended, frozenset(run for run in runs if is_suspended(run, queue)))


def jobs_of(runs: Iterable[str]) -> list[str]:
    """Return the job ids of ``runs``; see :func:`known_runs`."""
    return sorted({match["job"] for run in runs if (match := _NAME.fullmatch(run))})


def how_ended(run: str, known: Sequence[Tasks]) -> str:
    """Return the final state of ``run``, ``''`` if it isn't known to have ended.

    See :func:`known_runs`.
    """
    match = _NAME.fullmatch(run)
    if match is None:
        return ""
    for tasks in _of(match, known):
        # Slurm increases the count when it begins to end the previous run.
        if tasks.requeues is not None and tasks.requeues > int(match["requeues"]):
            if tasks.phase in ("waits", "runs", "over"):
                return REQUEUED
        elif tasks.phase == "over":
            return word(tasks.state)
    return ""


def is_suspended(run: str, known: Sequence[Tasks]) -> bool:
    """Return whether ``run`` is suspended according to the controller."""
    match = _NAME.fullmatch(run)
    return match is not None and any(
        tasks.suspended and tasks.requeues == int(match["requeues"]) for tasks in _of(match, known)
    )


def _known(run: str, known: Sequence[Tasks]) -> bool:
    match = _NAME.fullmatch(run)
    return match is not None and bool(_of(match, known))


def _of(match: re.Match[str], known: Sequence[Tasks]) -> list[Tasks]:
    task = None if match["task"] is None else int(match["task"])
    return [tasks for tasks in known if tasks.has(match["job"], task)]
