"""A client's session with its experiment: its writer id, the trials it holds, its sign of life.

May be used from several threads, and from forks of a process: a fork takes a new writer id, and
holds nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from orion_hpc.experiments.location import Place
from orion_hpc.journal.base import Storage
from orion_hpc.journal.heartbeat import Heartbeat
from orion_hpc.model.event import Event
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import RESERVED, TrialRecord
from orion_hpc.sharedfs import process_identity
from orion_hpc.worker.job_spec import OnSuspend
from orion_hpc.worker.recorder import ExperimentJournal
from orion_hpc.worker.recovery import Recovery, make_recovery
from orion_hpc.worker.runtime import make_heartbeat

_numbers = itertools.count(1)


def new_name() -> str:
    """Return a name for one more worker in this process: no two share a sign of life."""
    own = process_identity.own()
    return str(replace(own, job=f"{own.job or 'client'}+{next(_numbers)}"))


class Session:
    """Reads and writes one experiment.

    Parameters
    ----------
    place : Place
    storage : Storage
        For this session alone.
    number : int
        The experiment's.
    interval : float
        Seconds between signs of life.
    on_suspend : str, default "auto"
        What becomes of its trials while this job is suspended.

    Attributes
    ----------
    held : dict
        Number -> attempt of what this session has reserved; to be read with the lock held.
    """

    def __init__(
        self,
        place: Place,
        storage: Storage,
        number: int,
        interval: float,
        on_suspend: OnSuspend = "auto",
    ) -> None:
        self.place = place
        self.number = number
        self.interval = interval
        self.on_suspend = on_suspend
        self._journal = ExperimentJournal(storage, number)
        self._heartbeat: Heartbeat | None = None
        self._take_new_id()

    def refresh(self) -> ExperimentState:
        """Return the experiment as it is now."""
        with self.lock:
            return self._journal.refresh()

    @property
    def state(self) -> ExperimentState:
        """The experiment as it was read last."""
        return self._journal.state

    def transact(self, plan: Callable[[ExperimentState], Sequence[Event]]) -> ExperimentState:
        """Append what ``plan`` decides; return the experiment as it is then."""
        with self.lock:
            return self._journal.transact(plan)

    @property
    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Held for steps that belong together; in a fork of a process, one of its own."""
        if self._pid != os.getpid():
            self._take_new_id()
        return self._lock

    @property
    def name(self) -> str:
        """The worker's name in the journal; to be read with the lock held."""
        return self._name

    def hold(self, trial: TrialRecord, suggested: bool = False) -> None:
        """Record that this session has reserved ``trial``, which may have been ``suggested``."""
        self.held[trial.number] = trial.attempt
        self._threads[trial.number] = threading.get_ident() if suggested else None

    def suggested_here(self) -> list[int]:
        """Return the numbers of the trials that it holds and that were suggested to this thread.

        To be called with the lock held.
        """
        own = threading.get_ident()
        return [number for number in self.held if self._threads[number] == own]

    def holds(self, trial: TrialRecord) -> bool:
        """Return whether the trial is reserved by this session, by the state as it was read."""
        return trial.status == RESERVED and self.held.get(trial.number) == trial.attempt

    def live(self) -> None:
        """Give signs of life from now on; before the first reservation."""
        if self._heartbeat is None and self.place.is_shared:
            files = self.place.files_of(self.state)
            beat = make_heartbeat(files, self.name, self.interval, 1, self.on_suspend)
            if beat is not None:
                beat.start()
                self._heartbeat = beat
                self._end = weakref.finalize(self, _stop, beat, os.getpid(), self.held)

    def awake(self) -> float:
        """Return seconds of a clock without the time in which this process was stopped, where that
        can be detected."""
        beat = self._heartbeat
        return time.monotonic() if beat is None else beat.awake()

    def make_recovery(self) -> Recovery:
        """Return what finds lost workers of the experiment."""
        return make_recovery(self.place.files_of(self.state), self.interval, self.awake)

    def close(self) -> None:
        """Give no more signs of life."""
        if self._heartbeat is not None and self._pid == os.getpid():
            self._end()
        self._heartbeat = None
        self._journal.storage.close()

    def _take_new_id(self) -> None:
        self._pid = os.getpid()
        self._name = new_name()
        self.held: dict[int, int] = {}
        self._threads: dict[int, int | None] = {}
        self._heartbeat = None
        self._lock = threading.RLock()  # another thread may have held it while this one forked


def _stop(beat: Heartbeat, pid: int, held: dict[int, int]) -> None:
    """End the signs of life; with a trial still held, leave the last one to grow old."""
    if os.getpid() == pid:
        beat.stop(remove=not held)
