"""A worker whose trials take no time, for tests of the database.

It completes what it holds and reserves the next in one transaction, through the real planner and
storage, and writes down in a file of its own what it was given and what was acknowledged, and at
the end whether the state that it kept all the time is the journal's. On order it dies or stops in
the middle of an append. Run as a program it takes an `Order` as JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from orion_hpc.algorithms.random import Random
from orion_hpc.errors import DamagedDatabase, StorageError
from orion_hpc.journal.database_file import DatabaseFile
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.model.trial_record import COMPLETED, Results
from orion_hpc.sharedfs import lock, mounts
from orion_hpc.worker import plan
from tests.rigs.lying_file import NoLock
from tests.rigs.waiting import wait_until

_CLONE_NEWUTS = 0x04000000
_SEED = 7
_ALGORITHM = Random(Space.parse({"x": "uniform(0, 1)"}), seed=_SEED)
_PATIENCE = 60.0
"""Seconds without a trial after which a worker is stuck: longer than any lease."""


@dataclass(frozen=True)
class Order:
    """What a worker is to do.

    `host` is the host's name as it sees it. `gone` is a file with names of workers that are known
    to be dead. `fault` is what happens to it at its append number `at`: "die before" it, "die
    within" it, "stop before" it, or "stop in plan", ahead of it with the lock held. The lease lasts
    `lease` seconds, by default its 30. Without `locked` its lock excludes nobody.
    """

    database: str
    name: str
    host: str
    record: str
    gone: str
    fault: str = ""
    at: int = 0
    lease: float | None = None
    locked: bool = True


class Note(NamedTuple):
    """A line of a worker's record."""

    what: str
    number: int = -1
    attempt: int = -1
    told: str = ""


def command(order: Order) -> list[str]:
    """Return what to start."""
    return [sys.executable, "-m", "tests.rigs.trial_worker", json.dumps(asdict(order))]


def notes(record: Path) -> list[Note]:
    """Return what a worker wrote down so far."""
    if not record.exists():
        return []
    return [Note(*json.loads(line)) for line in record.read_text().splitlines()]


def results(name: str, number: int, attempt: int) -> Results:
    """Return what an attempt of this worker comes to; nobody else's comes to the same."""
    return [
        {"name": "loss", "type": "objective", "value": number + attempt / 100},
        {"name": name, "type": "statistic", "value": 1.0},
    ]


class _FaultyFile(DatabaseFile):
    """The real file, in whose append the process dies or stops.

    With the fault "die before" or "stop before" that is when nothing has been written yet, with
    "die within" when a part has been.
    """

    def __init__(self, path: str, fault: str, at: int) -> None:
        super().__init__(path, mounts.access(mounts.mount_of(path)))
        self._fault, self._left = fault, at

    def append(self, data: bytes, end: int) -> tuple[int, int]:
        self._left -= 1
        if self._left == 0:
            if self._fault == "die within":
                super().append(data[: len(data) // 2], end)
            stops = self._fault == "stop before"
            os.kill(os.getpid(), signal.SIGSTOP if stops else signal.SIGKILL)
        return super().append(data, end)


class _Worker:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._record = open(order.record, "a", buffering=1)  # noqa: SIM115 - until the end
        in_file = order.fault not in ("", "stop in plan")
        file = _FaultyFile(order.database, order.fault, order.at) if in_file else None
        self._db = PickledDB(order.database, file=file)
        if not order.locked:
            self._db._writer.lock = NoLock()  # type: ignore[assignment]
        self._held: list[tuple[int, int]] = []
        self._plans = 0

    def run(self) -> None:
        """Work until the experiment is done, or nothing comes for long."""
        pause, since = 0.0, time.monotonic()
        while not self._db.refresh().experiments[1].is_done:
            if time.monotonic() - since > _PATIENCE:
                self._note(Note("stuck"))
                break
            try:
                state = self._db.transact(1, self._decide).experiments[1]
            except DamagedDatabase:
                raise
            except StorageError as error:
                self._note(Note("trouble", told=str(error)))
                continue
            self._look(state)
            if self._held:
                pause, since = 0.0, time.monotonic()
            else:
                pause = min(0.1, pause + 0.01)
                time.sleep(pause)
        self._compare()

    def _compare(self) -> None:
        """Write down where the state that was kept isn't what a new reader gets."""
        kept = self._db.state.experiments[1].trials
        fresh = PickledDB(self._order.database)
        with contextlib.suppress(TimeoutError):  # its first looks may be of an old cache
            wait_until(lambda: fresh.refresh().experiments[1].trials == kept, 10, "the same")
        found = fresh.state.experiments[1].trials
        for mine, true in zip(kept, found, strict=False):
            if mine != true:
                self._note(Note("diverged", mine.number, mine.attempt, f"{mine} is {true}"))
        if len(kept) != len(found):
            self._note(Note("diverged", told=f"{len(kept)} trials are {len(found)}"))

    def _decide(self, state: State) -> Sequence[ev.Event]:
        seen, name = state.experiments[1], self._order.name
        self._plans += 1
        if self._order.fault == "stop in plan" and self._plans == self._order.at:
            os.kill(os.getpid(), signal.SIGSTOP)
        gone = Path(self._order.gone)
        lost = gone.read_text().split() if gone.exists() else []
        return [
            *(ev.CompleteTrial(*one, results(name, *one), 1.0) for one in self._held),
            *plan.losses(seen, plan.Loss(lost), 100, 1.0),
            *plan.reservations(seen, _ALGORITHM, _SEED, name, 1, 1.0),
        ]

    def _look(self, state: ExperimentState) -> None:
        """Write down what became of what was held, and what is held now."""
        for number, attempt in self._held:
            trial = state.trials[number]
            won = (trial.status, trial.attempt) == (COMPLETED, attempt)
            self._note(Note("acknowledged" if won else "refused", number, attempt))
        held = plan.held(state, self._order.name, ())
        self._held = [(trial.number, trial.attempt) for trial in held]
        for one in self._held:
            self._note(Note("given", *one))

    def _note(self, note: Note) -> None:
        self._record.write(json.dumps(note) + "\n")


def _be_on_host(name: str) -> None:
    """Have a host name of one's own, as a process on another node has."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUTS):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUTS)")
    socket.sethostname(name)


def main(order: Order) -> None:
    """Do as it is told."""
    _be_on_host(order.host)
    if order.lease is not None:
        lock.LEASE_DURATION = order.lease
    _Worker(order).run()


if __name__ == "__main__":
    options: dict[str, Any] = json.loads(sys.argv[1])
    main(Order(**options))
