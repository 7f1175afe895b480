"""A trial: one point of the space, its status and its results. Pure.

Statuses and field names are Oríon's. Only replay changes a trial, by the rules in
:mod:`orion_hpc.model.replay_rules`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

NEW = "new"
RESERVED = "reserved"
COMPLETED = "completed"
INTERRUPTED = "interrupted"
SUSPENDED = "suspended"
BROKEN = "broken"

STATUSES = (NEW, RESERVED, SUSPENDED, COMPLETED, INTERRUPTED, BROKEN)
"""All statuses, in the order of tables."""

RESERVABLE = frozenset((NEW, INTERRUPTED, SUSPENDED))
"""Statuses from which a worker may reserve a trial."""

RELEASABLE = frozenset((NEW, INTERRUPTED, SUSPENDED, BROKEN))
"""Statuses to which a reserved trial may be released."""

SETTABLE = frozenset((NEW, INTERRUPTED, SUSPENDED, BROKEN))
"""Statuses to which a trial may be set by hand."""

# Causes: why an attempt ended without a result.
USER_ERROR = "user error"
PREEMPTED = "preempted"
TIMED_OUT = "timed out"
OUT_OF_MEMORY = "out of memory"
KILLED = "killed"
LOST_WORKER = "lost worker"
CANCELLED = "cancelled"
WORKER_SUSPENDED = "suspended"

PERHAPS_ITS_FAULT = frozenset((LOST_WORKER, OUT_OF_MEMORY))
"""Causes that the trial itself may be responsible for; they count towards ``max_attempts``.

A silent worker counts as lost even if it comes back, as after SIGSTOP by hand on another host. It
looks the same when a trial freezes its node, or holds Python's lock, for minutes. If that didn't
count, such a trial would be started again for ever.
"""

NOT_ITS_FAULT = frozenset((PREEMPTED, TIMED_OUT, CANCELLED, WORKER_SUSPENDED))
"""Causes that say nothing about the trial's point; ``CANCELLED`` is that of one broken by hand."""

Params = dict[str, Any]
"""Flat name (levels joined by a dot) -> plain value: number, str, bool, None or nested lists."""

Results = list[dict[str, Any]]
"""Oríon's form: ``[{"name": str, "type": str, "value": number}, …]``, one or more of them of the
type ``objective``."""


def params_key(params: Params) -> str:
    """Return a key that is equal for two sets of params if and only if they are the same point.

    ``repr`` distinguishes ``1``, ``1.0`` and ``True``, which ``==`` doesn't, and gives the shortest
    text of a float that reads back as the same number.
    """
    return repr(sorted(params.items()))


def hash_of(params: Params) -> str:
    """Return 32 hex digits that name this point (the MD5 of its :func:`params_key`)."""
    return hashlib.md5(params_key(params).encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class TrialRecord:
    """A trial. Times are seconds since the epoch, by the clock of the writer of the event."""

    number: int
    params: Params
    submit_time: float
    status: str = NEW
    attempt: int = 0
    worker: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    results: Results | None = None
    cause: str | None = None
    message: str | None = None
    losses: int = 0
    imported_id: str | None = None
    parent: int | None = None

    @property
    def id(self) -> str:
        """The id that an imported trial had; else :func:`hash_of` the params."""
        if self.imported_id is not None:
            return self.imported_id
        return hash_of(self.params)

    @property
    def objective(self) -> float | None:
        """The value to minimise, the first of several; None as long as there is none."""
        for result in self.results or ():
            if result["type"] == "objective":
                return float(result["value"])
        return None

    @property
    def objectives(self) -> tuple[float, ...]:
        """The values to minimise, in the order of the trial's results."""
        return tuple(
            float(one["value"]) for one in self.results or () if one["type"] == "objective"
        )

    @property
    def constraints(self) -> tuple[float, ...]:
        """The values of its constraints, each of which is satisfied if it is at most 0.

        That is the convention of Optuna and BoTorch; Oríon documents the opposite.
        """
        return tuple(
            float(one["value"]) for one in self.results or () if one["type"] == "constraint"
        )

    @property
    def feasible(self) -> bool:
        """Whether every constraint is satisfied; True without constraints."""
        return all(value <= 0 for value in self.constraints)

    @property
    def violation(self) -> float:
        """The sum of the positive values of its constraints; 0 for a feasible trial.

        Deb's measure (IEEE Transactions on Evolutionary Computation 6(2), 2002, section VI).
        """
        return sum((value for value in self.constraints if value > 0), 0.0)

    @property
    def live(self) -> bool:
        """Whether it may still complete: it is neither completed nor broken."""
        return self.status not in (COMPLETED, BROKEN)
