"""Jobs and array tasks in the output of Slurm's commands, and their states. Pure.

Sources: squeue(1) and sacct(1), JOB STATE CODES; sbatch(1), ``--array``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["waits", "runs", "ends", "over", "lost", "unclear"]
"""A task's phase: pending (again), running, its processes being ended, certainly over, over on a
node that Slurm can't reach, or in a state that proves nothing."""

_STATES: dict[Phase, frozenset[str]] = {
    "waits": frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD",
                        "SPECIAL_EXIT", "CONFIGURING", "POWER_UP_NODE"}),
    "runs": frozenset({"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"}),
    "ends": frozenset({"COMPLETING", "STAGE_OUT"}),
    "over": frozenset({"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "DEADLINE",
                       "OUT_OF_MEMORY", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL"}),
    # Its processes may still run and write to the file system.
    "lost": frozenset({"NODE_FAIL"}),
}  # fmt: skip
# REVOKED isn't listed: a sibling of the job runs in another cluster of the federation.

_SUSPENDED = frozenset({"SUSPENDED", "STOPPED"})
"""States of running tasks in which Slurm has stopped all processes: by ``scontrol suspend``,
preemption with ``PreemptMode=SUSPEND`` or a time slice, and by ``scancel --signal=STOP``."""

_ID = re.compile(r"(?P<job>\d+)(?:_(?:(?P<task>\d+)|\[(?P<tasks>[^\]]*)\]))?(?:\+\d+)?")
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_MOST_TASKS = 10_000_000
"""Slurm's own limit is 4,000,001 (slurm.conf, MaxArraySize)."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks of one job that are in the same state.

    Attributes
    ----------
    job : str
        The id of the array, or of a single job.
    indices : tuple of range
        The array's tasks; empty for a single job.
    state : str
        Slurm's state.
    requeues : int or None
        How often they were requeued, where that is known.
    reason : str
        Why they are pending.
    name : str
        The job's name.
    """

    job: str
    indices: tuple[range, ...]
    state: str
    requeues: int | None = None
    reason: str = ""
    name: str = ""

    @property
    def count(self) -> int:
        return sum(map(len, self.indices)) if self.indices else 1

    @property
    def phase(self) -> Phase:
        return phase(self.state)

    @property
    def suspended(self) -> bool:
        """Whether they have begun and are stopped."""
        return word(self.state) in _SUSPENDED

    @property
    def in_queue(self) -> bool:
        """Whether they wait or run; true in an unknown state."""
        return self.phase in ("waits", "runs", "unclear")

    def has(self, job: str, task: int | None) -> bool:
        """Return whether the job, or that task of the array, is among them."""
        if job != self.job or (task is None) != (not self.indices):
            return False
        return task is None or any(task in indices for indices in self.indices)


def phase(state: str) -> Phase:
    """Return the phase of a state, such as sacct's ``CANCELLED by 1000``."""
    bare = word(state)
    return next((name for name, states in _STATES.items() if bare in states), "unclear")


def word(state: str) -> str:
    """Return the bare word of a state: sacct adds who cancelled, and cuts long ones (``+``)."""
    return state.strip().rstrip("+").partition(" ")[0].upper()


def parse_job_id(text: str) -> tuple[str, tuple[range, ...]] | None:
    """Return the job and the tasks in ``12``, ``12_3`` or ``12_[3-7,9-20:2%2]``.

    None for anything else, such as a list that Slurm cut short (``12_[1,3,5,...]``).
    """
    match = _ID.fullmatch(text.strip())
    if match is None:
        return None
    if match["task"] is not None:
        return match["job"], (range(int(match["task"]), int(match["task"]) + 1),)
    if match["tasks"] is None:
        return match["job"], ()
    indices = parse_indices(match["tasks"])
    return None if indices is None else (match["job"], indices)


def parse_indices(text: str) -> tuple[range, ...] | None:
    """Return the tasks in the ``--array`` form ``3-7,9-20:2%2``; None for anything else."""
    found = []
    for part in text.partition("%")[0].split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            return None
        first, last, step = match.groups()
        one = range(int(first), int(last or first) + 1, int(step or 1) or 1)
        if not one or len(one) > _MOST_TASKS:
            return None
        found.append(one)
    return tuple(found)
