"""What Slurm's queue says of jobs that were submitted before."""

from __future__ import annotations

from collections.abc import Collection

from orion_hpc.slurm.commands import Answer, ask

_ENDING = frozenset({"COMPLETING", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED",
                     "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "REVOKED",
                     "SPECIAL_EXIT"})  # fmt: skip
"""States of squeue(1) in which a job runs nothing any more; in all others it does, or still may."""

_TRIES = 3


def live_tasks(jobs: Collection[str]) -> list[str] | None:
    """Return the job id of each task of ``jobs`` that waits or runs; None: Slurm doesn't say.

    Parameters
    ----------
    jobs : collection of str
        Job ids, of arrays or single jobs. An array's comes so often as it has such tasks.
    """
    if not jobs:
        return []
    asked = ask(
        "squeue", "--noheader", "--array", "--all", "--format=%F|%T", f"--jobs={','.join(jobs)}",
        tries=_TRIES,
    )  # fmt: skip
    if not asked.ok:
        # Slurm forgets jobs some minutes after their end.
        return [] if "Invalid job id" in asked.error else None
    lines = [line.partition("|") for line in asked.said.split()]
    return [job for job, _, state in lines if state not in _ENDING]


def cancel(jobs: Collection[str]) -> Answer:
    """Cancel ``jobs``: those that run get SIGTERM, and the kill after the site's KillWait."""
    return ask("scancel", *jobs, tries=_TRIES)
