"""One point of the space and what became of it; pure, and mutable only for the replay.

The statuses and the field names are Oríon's. Who may change a trial, and when, is
:mod:`orion_hpc.model.state`'s business.
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
"""Every status, in the order in which tables show them."""

RESERVABLE = frozenset((NEW, INTERRUPTED, SUSPENDED))
"""What a worker may reserve."""

RELEASABLE = frozenset((NEW, INTERRUPTED, SUSPENDED, BROKEN))
"""What a reserved trial may be released to."""

SETTABLE = frozenset((NEW, INTERRUPTED, SUSPENDED, BROKEN))
"""What a trial may be set to by hand."""

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
"""Ends of a worker that its trial may have brought about; they count towards ``max_attempts``.

Silence counts as an end also where the worker comes back, as after SIGSTOP by hand on another host:
it looks the same when a trial freezes its node, or holds Python's lock, for minutes. Such a one
would be begun for ever if each return were taken for its innocence.
"""

Params = dict[str, Any]
"""Flat name (levels joined by a dot) -> plain value: number, str, bool, None or nested lists."""

Results = list[dict[str, Any]]
"""Oríon's form: ``[{"name": str, "type": str, "value": number}, …]``, one or more of them of the
type ``objective``."""


def params_key(params: Params) -> str:
    """Return what two sets of parameters share exactly when they are the same point.

    ``repr`` keeps ``1``, ``1.0`` and ``True`` apart, which ``==`` doesn't, and gives a float's
    shortest text that reads back as the same number.
    """
    return repr(sorted(params.items()))


def hash_of(params: Params) -> str:
    """Return 32 hex digits that name this point (the MD5 of its :func:`params_key`)."""
    return hashlib.md5(params_key(params).encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Trial:
    """A trial as the journal tells it. Times are seconds since the epoch, by the writer's clock."""

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
        """What another program called this trial; else :func:`hash_of` its params."""
        if self.imported_id is not None:
            return self.imported_id
        return hash_of(self.params)

    @property
    def objective(self) -> float | None:
        """The value to be minimised, the first of several; None while there is none."""
        for result in self.results or ():
            if result["type"] == "objective":
                return float(result["value"])
        return None

    @property
    def objectives(self) -> tuple[float, ...]:
        """The values to be minimised, in the order in which the trial told them."""
        return tuple(
            float(one["value"]) for one in self.results or () if one["type"] == "objective"
        )

    @property
    def constraints(self) -> tuple[float, ...]:
        """The values of its constraints, each of which is kept where it is at most 0.

        That is the convention of Oríon, Optuna and BoTorch.
        """
        return tuple(
            float(one["value"]) for one in self.results or () if one["type"] == "constraint"
        )

    @property
    def feasible(self) -> bool:
        """Whether every constraint is kept; of a trial without any, True."""
        return all(value <= 0 for value in self.constraints)

    @property
    def violation(self) -> float:
        """By how much its constraints are broken, added up; 0 of a feasible trial.

        Deb's measure (IEEE Transactions on Evolutionary Computation 6(2), 2002, section VI).
        """
        return sum((value for value in self.constraints if value > 0), 0.0)

    @property
    def live(self) -> bool:
        """Whether it still counts as a trial that will complete."""
        return self.status not in (COMPLETED, BROKEN)
