"""Which jobs are known to have ended. Only what Slurm says in so many words is a proof.

No answer, a job that nobody knows, and a state that isn't understood prove nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from orion_hpc.slurm.queue import queued, recorded
from orion_hpc.slurm.tasks import Tasks

_NAME = re.compile(r"(?P<job>\d+)(?:_(?P<task>\d+))?\.(?P<requeues>\d+)")


def ended_runs(runs: Collection[str]) -> set[str]:
    """Return those of ``runs`` that have ended.

    Parameters
    ----------
    runs : collection of str
        Each a job, or a task of an array, and how often it had been requeued when it began:
        ``15.0``, ``12_3.1``.
    """
    jobs = sorted({match["job"] for run in runs if (match := _NAME.fullmatch(run))})
    if not jobs:
        return set()
    queue = queued(jobs)
    if queue is None:
        return set()  # what is requeued right now, only the controller knows
    ended = {run for run in runs if in_the_past(run, queue)}
    forgotten = [run for run in runs if not _known(run, queue)]
    records = recorded(jobs) if forgotten else None
    return ended | {run for run in forgotten if in_the_past(run, records or ())}


def in_the_past(run: str, known: Sequence[Tasks]) -> bool:
    """Return whether ``run`` has ended by what is ``known`` of its job; see :func:`ended_runs`."""
    match = _NAME.fullmatch(run)
    if match is None:
        return False
    return any(
        tasks.phase == "over"
        or (
            # It waits or runs anew. Slurm counts up when it begins to end the run before.
            tasks.phase in ("waits", "runs")
            and tasks.requeues is not None
            and tasks.requeues > int(match["requeues"])
        )
        for tasks in _of(match, known)
    )


def _known(run: str, known: Sequence[Tasks]) -> bool:
    match = _NAME.fullmatch(run)
    return match is not None and bool(_of(match, known))


def _of(match: re.Match[str], known: Sequence[Tasks]) -> list[Tasks]:
    task = None if match["task"] is None else int(match["task"])
    return [tasks for tasks in known if tasks.has(match["job"], task)]
