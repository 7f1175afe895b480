"""Notices that tell a worker to stop: the signals, and what each of them means.

The handler only takes a note; the worker's loop acts on it. The one exception is a trial that runs
in this very process (executor ``single``): it holds the main thread, so it has to be interrupted.
"""

from __future__ import annotations

import signal
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
        self.count = 0
        self.interrupted = False
        """Whether a notice came within the last block of :meth:`interrupting`."""
        self._interruptible = False
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

        def take(number: int, frame: FrameType | None) -> None:
            self.count += 1
            if self.cause is None:
                self.signal = signal.Signals(number).name
                self.cause = _MEANINGS[signal.Signals(number)] if in_job else CANCELLED
            if self._interruptible:
                self._interruptible = False
                self.interrupted = True
                raise KeyboardInterrupt(self.signal)
            if impatient and self.count > 1:
                raise KeyboardInterrupt(self.signal)

        self._install = lambda: [signal.signal(number, take) for number in previous]
        for number in numbers:
            # nohup(1) ignores it, and means to.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, take)
        # A launcher may have blocked some until there are handlers.
        before = signal.pthread_sigmask(signal.SIG_UNBLOCK, previous)
        try:
            yield self
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def reclaim(self) -> None:
        """Take the signals again, in case a function that ran here has put its own handlers."""
        self._install()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a notice raise KeyboardInterrupt within the block: user code runs there."""
        self._interruptible, self.interrupted = True, False
        try:
            yield
        finally:
            self._interruptible = False
