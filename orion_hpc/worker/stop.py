"""Notices that tell a worker to stop: the signals, and what each of them means.

The handler only takes a note; the worker's loop acts on it. The one exception is a trial that runs
in this very process (executor ``single``): it holds the main thread, so it has to be interrupted
when its time is over. How much time that is, is left to ``grace``.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from orion_hpc.model.trial import CANCELLED, PREEMPTED, TIMED_OUT

_MEANINGS = {
    signal.SIGINT: CANCELLED,
    signal.SIGHUP: CANCELLED,
    # Slurm sends it at preemption, and a person's scancel does too: which of the two, only the
    # accounting could tell.
    signal.SIGTERM: PREEMPTED,
    signal.SIGUSR1: TIMED_OUT,
    signal.SIGUSR2: TIMED_OUT,
}

_WAKE = signal.SIGINT
"""What interrupts the main thread, also in the middle of a system call."""

_SUSPENSION_DELAY = 10.0
"""Seconds for which an announced suspension is waited for. Slurm sends SIGTSTP, and SIGSTOP two
seconds later, where the site doesn't say otherwise (slurm.conf, suspend_grace_time)."""

_STEP = 0.1


def in_batch_job(environ: Mapping[str, str]) -> bool:
    """Return whether this is a job of a batch system, which sends a notice to all its processes."""
    return "SLURM_JOB_ID" in environ


def notice_delay(environ: Mapping[str, str]) -> float:
    """Return for how many seconds a trial's failure may be the doing of a notice to come.

    In a job the trial's processes get it, too, and may die of it first; elsewhere they are out of
    its reach.
    """
    return 1.0 if in_batch_job(environ) else 0.0


class StopNotice:
    """Remembers the first notice; ``cause`` is None while there is none, ``count`` counts them."""

    def __init__(self) -> None:
        self.cause: str | None = None
        self.signal: str = ""
        self.why: str = ""
        """Why it was given, if no signal gave it."""
        self.count = 0
        self.since = 0.0
        """When the first one came, by the monotonic clock."""
        self.terminated: float | None = None
        """When the first SIGTERM came, by the same clock: a batch system kills after it."""
        self.limit: float | None = None
        """When the job's time is over, by the same clock; None where nobody knows."""
        self.whole = 0.0
        """The seconds up to there when it was first known."""
        self.hurried = False
        """Whether a person has no patience: a SIGINT came after the first notice."""
        self.interrupted = False
        """Whether a notice came within the last block of :meth:`interrupting`."""
        self._suspension: float | None = None
        self._interruptible = False
        self._patient = False
        self._expiring = False
        self._thread = threading.get_ident()
        self._install: Callable[[], object] = lambda: None

    @contextmanager
    def listening(
        self,
        in_job: bool,
        numbers: Collection[signal.Signals] = tuple(_MEANINGS),
        impatient: bool = False,
    ) -> Iterator[StopNotice]:
        """Take the signals for the time of the block; must be entered in the main thread.

        Parameters
        ----------
        in_job : bool
            Outside a batch job SIGTERM is a person's wish, not a preemption.
        numbers : collection of Signals
            Those that are taken, by default all that anybody sends to a worker.
        impatient : bool, default False
            Whether a second notice raises KeyboardInterrupt, wherever the program is.
        """
        previous: dict[signal.Signals, Any] = {}
        self._thread = threading.get_ident()

        def take(number: int, frame: FrameType | None) -> None:
            ours, self._expiring = self._expiring and number == _WAKE, False
            if not ours:
                name = signal.Signals(number)
                self.count += 1
                self.hurried = self.hurried or (self.cause is not None and name == signal.SIGINT)
                if name == signal.SIGTERM and self.terminated is None:
                    self.terminated = time.monotonic()
                self.give(_MEANINGS[name] if in_job else CANCELLED, name.name)
            if self._interruptible and (ours or self.hurried or not self._patient):
                self._interruptible = False
                self.interrupted = True
                raise KeyboardInterrupt(self.signal)
            if ours:
                return
            if impatient and self.count > 1:
                raise KeyboardInterrupt(self.signal)

        def announce(number: int, frame: FrameType | None) -> None:
            self._suspension = time.monotonic() if number == signal.SIGTSTP else None

        # nohup(1) ignores SIGHUP, and means to.
        handlers: dict[signal.Signals, Any] = {
            number: take
            for number in numbers
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        if in_job:
            handlers |= dict.fromkeys((signal.SIGTSTP, signal.SIGCONT), announce)
        self._install = lambda: [signal.signal(*one) for one in handlers.items()]
        for number, handler in handlers.items():
            previous[number] = signal.signal(number, handler)
        # A launcher may have blocked some until there are handlers.
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, previous)
        try:
            yield self
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def give(self, cause: str, name: str, why: str = "") -> None:
        """Take note of a notice, if there was none before.

        ``name`` is the signal's, or that of what trials are to get; ``why`` where there was none.
        """
        if self.cause is None:
            self.since = time.monotonic()
            self.signal = name
            self.why = why
            self.cause = cause

    def await_suspension(self) -> None:
        """Return when no suspension is about to begin, unless this worker is told to end.

        To be called before the database's lock is taken: who is stopped while it holds the lock
        keeps it, and nobody else writes until it is resumed. The signal that announces a suspension
        doesn't stop this process, so that a transaction under way gets to its end.
        """
        while self._suspension is not None and self.cause is None:
            if time.monotonic() - self._suspension > _SUSPENSION_DELAY:
                self._suspension = None
            else:
                time.sleep(_STEP)

    @property
    def said(self) -> str:
        """What the notice was, in words."""
        return self.why or f"by {self.signal}"

    def expire(self) -> None:
        """Interrupt what runs in :meth:`interrupting`, from another thread: its time is over."""
        if self._interruptible:
            self._expiring = True
            signal.pthread_kill(self._thread, _WAKE)

    def reclaim(self) -> None:
        """Take the signals again, in case a function that ran here has put its own handlers."""
        self._install()

    @contextmanager
    def interrupting(self, patient: bool = False) -> Iterator[None]:
        """Let a notice raise KeyboardInterrupt within the block: user code runs there.

        ``patient``: only a hurried one, and :meth:`expire`.
        """
        self._interruptible, self.interrupted, self._patient = True, False, patient
        try:
            yield
        finally:
            self._interruptible = False
