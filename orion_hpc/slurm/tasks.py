"""Jobs and array tasks as Slurm's commands tell of them, and what their words mean. Pure.

Sources: squeue(1) and sacct(1), JOB STATE CODES; sbatch(1), ``--array``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["waits", "runs", "ends", "over", "lost", "unclear"]
"""Where a task stands: not begun (or to begin anew), running, its processes being ended, certainly
over, over on a node that Slurm can't reach, or in a state that says nothing sure."""

_STATES: dict[Phase, frozenset[str]] = {
    "waits": frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD",
                        "SPECIAL_EXIT", "CONFIGURING", "POWER_UP_NODE"}),
    "runs": frozenset({"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"}),
    "ends": frozenset({"COMPLETING", "STAGE_OUT"}),
    "over": frozenset({"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "PREEMPTED", "DEADLINE",
                       "OUT_OF_MEMORY", "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL"}),
    # Its processes may run on, with the file system in reach.
    "lost": frozenset({"NODE_FAIL"}),
}  # fmt: skip
# REVOKED isn't among them: a sibling of the job runs in another cluster of the federation.

_SUSPENDED = frozenset({"SUSPENDED", "STOPPED"})
"""Of those that run, the states in which Slurm has stopped all processes: by ``scontrol suspend``,
preemption with ``PreemptMode=SUSPEND`` or a time slice, and by ``scancel --signal=STOP``."""

_ID = re.compile(r"(?P<job>\d+)(?:_(?:(?P<task>\d+)|\[(?P<tasks>[^\]]*)\]))?(?:\+\d+)?")
_RANGE = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_MOST_TASKS = 10_000_000
"""Slurm's own bound is 4,000,001 (slurm.conf, MaxArraySize)."""


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks of one job that are in the same state.

    Attributes
    ----------
    job : str
        The id of the array, or of a job that is none.
    indices : tuple of range
        The array's tasks; empty for a job that is none.
    state : str
        Slurm's word.
    requeues : int or None
        How often they were requeued, where that is told.
    reason : str
        Why they wait.
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
        """Whether they wait or run; in a state that nobody knows they may."""
        return self.phase in ("waits", "runs", "unclear")

    def has(self, job: str, task: int | None) -> bool:
        """Whether the job, or that task of the array, is among them."""
        if job != self.job or (task is None) != (not self.indices):
            return False
        return task is None or any(task in indices for indices in self.indices)


def phase(state: str) -> Phase:
    """Return what Slurm's word for a state means, such as sacct's ``CANCELLED by 1000``."""
    said = word(state)
    return next((name for name, states in _STATES.items() if said in states), "unclear")


def word(state: str) -> str:
    """Return the bare word of a state: sacct adds who cancelled, and cuts long ones (``+``)."""
    return state.strip().rstrip("+").partition(" ")[0].upper()


def parse_job_id(text: str) -> tuple[str, tuple[range, ...]] | None:
    """Return the job and its tasks that ``12``, ``12_3`` or ``12_[3-7,9-20:2%2]`` names.

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
    """Return the tasks that the ``--array`` form ``3-7,9-20:2%2`` names; None for anything else."""
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
