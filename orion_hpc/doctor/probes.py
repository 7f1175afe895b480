"""The probes of one party: it uses a lock and a journal at the same time as other parties.

All is done as workers do it, on a database of its own. The callers decide who takes part, and when
each step begins.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from orion_hpc.doctor.open_reader import ReaderProcess
from orion_hpc.errors import LockTimeout, StorageError
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE, State
from orion_hpc.sharedfs import mounts
from orion_hpc.sharedfs.lock import DatabaseLock
from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE

_DATABASE = "db.pkl"
_LOCK = "contention.lock"
_INSIDE = "inside"
_NUMBER = 1
_STAY = 0.005
"""Seconds for which the lock is held, so that a second holder would be noticed; the process then
pauses for about as long, so that the others have their turn."""

_LOCK_TIMEOUT = 45.0
"""Seconds. Somewhat longer than the lease that a dead holder leaves behind."""

_POLL, _LOOK = 0.005, 0.5


@dataclass(frozen=True, slots=True)
class Contention:
    """How often a process held the lock, how often another did at the same time, and the error."""

    held: int
    overlaps: int
    trouble: str = ""


class Rehearsal:
    """One party's part in the probes in ``folder``, where :meth:`prepare` was called once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._database = PickledDB(os.path.join(folder, _DATABASE), lock_timeout=_LOCK_TIMEOUT)
        self._reading = ReaderProcess(self._database.path)
        self._labels: set[str] = set()
        self._looked = 0

    @classmethod
    def prepare(cls, folder: str, lock: str | None) -> Rehearsal:
        """Create the database; ``lock``: None for the one that suits the file system."""
        database = PickledDB.create(os.path.join(folder, _DATABASE), lock=lock)
        settings = {"max_trials": None, "max_broken": 1}
        created = ev.CreateExperiment("rehearsal", 1, settings, time.time())
        database.transact(CATALOGUE, lambda state: [created])
        database.close()
        return cls(folder)

    @property
    def lock(self) -> str:
        return self._database.lock

    def contend(self, enough: Callable[[], bool]) -> Contention:
        """Take the lock repeatedly until ``enough`` returns True."""
        local = mounts.is_coherent(mounts.mount_of(self._folder))
        path = os.path.join(self._folder, _LOCK)
        # This file isn't the database: there is one kind of kernel lock for it.
        kind = FLOCK if self.lock == FLOCK_DATABASE else self.lock
        lock = DatabaseLock(path, kind, _LOCK_TIMEOUT, hurried=enough, local=local)
        held = overlaps = 0
        try:
            while not enough():
                with lock.held():
                    overlaps += not self._alone()
                    held += 1
                time.sleep(random.uniform(0.5, 1.5) * _STAY)
        except LockTimeout as error:
            return Contention(held, overlaps, "" if enough() else error.message)
        except (StorageError, OSError) as error:
            return Contention(held, overlaps, str(error).partition("\n")[0])
        finally:
            lock.close()
        return Contention(held, overlaps)

    def _alone(self) -> bool:
        """Hold the lock for a moment; return whether no other process held it at the same time."""
        mark = os.path.join(self._folder, _INSIDE)
        try:
            os.mkdir(mark, 0o700)  # of two processes, the server lets one succeed
        except OSError as error:
            # sshfs has one error for everything that a server refuses.
            if error.errno == errno.EEXIST or os.path.isdir(mark):
                return False
            raise
        time.sleep(_STAY)
        os.rmdir(mark)
        return True

    def start_reader(self) -> None:
        """Start a process that only reads the journal, until :meth:`close`.

        Raises
        ------
        OSError, StorageError
            It couldn't be started, or couldn't read the journal.
        """
        if not self._reading.start():
            raise StorageError("a process that only reads the journal couldn't read it")

    def append(self, label: str) -> None:
        """Append a trial with this label; return once the journal has it."""

        def plan(state: State) -> Sequence[ev.Event]:
            if _NUMBER not in state.experiments:
                raise StorageError(
                    "a new reader doesn't find what was written before it opened the file"
                )
            number = len(state.experiments[_NUMBER].trials)
            return [ev.RegisterTrial(number, {"label": label}, time.time())]

        while True:
            self._database.transact(_NUMBER, plan)
            if self.has(label):
                return

    def has(self, label: str) -> bool:
        """Return whether a trial with this label was read so far."""
        state = self._database.state
        if _NUMBER not in state.experiments:
            return False
        trials = state.experiments[_NUMBER].trials
        self._labels.update(str(trial.params["label"]) for trial in trials[self._looked :])
        self._looked = len(trials)
        return label in self._labels

    def sees(self, label: str, seconds: float) -> bool:
        """Read until there is a trial with this label; return whether there was one in time."""
        deadline = time.monotonic() + seconds
        while True:
            self._database.refresh()
            if self.has(label):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL)

    def missing(self, labels: Collection[str], seconds: float) -> list[str]:
        """Return those of ``labels`` that a new reader doesn't find within ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            fresh = PickledDB(self._database.path)
            try:
                trials = fresh.refresh().experiments[_NUMBER].trials
            finally:
                fresh.close()
            left = sorted(set(labels).difference(str(one.params["label"]) for one in trials))
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(_LOOK)

    def close(self) -> None:
        self._reading.close()
        self._database.close()
