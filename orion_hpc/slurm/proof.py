"""Which jobs are known to have ended. Only what Slurm says in so many words is a proof.

No answer, a job that nobody knows, and a state that isn't understood prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from orion_hpc.slurm.queue import queued, recorded
from orion_hpc.slurm.tasks import Tasks, word

REQUEUED = "REQUEUED"
"""What is said of a run whose task waits, or runs, anew."""

_NAME = re.compile(r"(?P<job>\d+)(?:_(?P<task>\d+))?\.(?P<requeues>\d+)")


def ended_runs(runs: Collection[str]) -> dict[str, str]:
    """Return those of ``runs`` that have ended, and Slurm's word for how, such as ``TIMEOUT``.

    Parameters
    ----------
    runs : collection of str
        Each a job, or a task of an array, and how often it had been requeued when it began:
        ``15.0``, ``12_3.1``.
    """
    jobs = sorted({match["job"] for run in runs if (match := _NAME.fullmatch(run))})
    if not jobs:
        return {}
    queue = queued(jobs)
    if queue is None:
        return {}  # what is requeued right now, only the controller knows
    forgotten = [run for run in runs if not _known(run, queue)]
    records = recorded(jobs) if forgotten else None
    told = {run: how_ended(run, queue) for run in runs}
    told |= {run: how_ended(run, records or ()) for run in forgotten}
    return {run: how for run, how in told.items() if how}


def how_ended(run: str, known: Sequence[Tasks]) -> str:
    """Return how ``run`` ended by what is ``known`` of its job, ``''`` if it isn't known to have.

    See :func:`ended_runs`.
    """
    match = _NAME.fullmatch(run)
    if match is None:
        return ""
    for tasks in _of(match, known):
        # Slurm counts up when it begins to end the run before.
        if tasks.requeues is not None and tasks.requeues > int(match["requeues"]):
            if tasks.phase in ("waits", "runs", "over"):
                return REQUEUED
        elif tasks.phase == "over":
            return word(tasks.state)
    return ""


def _known(run: str, known: Sequence[Tasks]) -> bool:
    match = _NAME.fullmatch(run)
    return match is not None and bool(_of(match, known))


def _of(match: re.Match[str], known: Sequence[Tasks]) -> list[Tasks]:
    task = None if match["task"] is None else int(match["task"])
    return [tasks for tasks in known if tasks.has(match["job"], task)]
