"""The shutdown of a worker: the signals that stop it, the time that trials have then, and how they
are notified.

A signal handler only takes a note; the worker's loop acts on it. The one exception is a trial that
runs in the worker's own thread (executor ``single``): it holds the main thread, so that it has to
be interrupted when its time is over.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from orion_hpc.model.trial_record import CANCELLED, PREEMPTED, TIMED_OUT
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.atomic import new_file
from orion_hpc.slurm.own_job import in_batch_job
from orion_hpc.worker.task import CommandTarget, Target

GRACE = 60.0
"""Seconds, by default."""

KILL_WAIT = 30.0
"""Slurm's default for the seconds from SIGTERM to SIGKILL."""

_MEANINGS = {
    signal.SIGINT: CANCELLED,
    signal.SIGHUP: CANCELLED,
    # Slurm sends it at preemption, and a person's scancel does too: which of the two, only the
    # accounting could say.
    signal.SIGTERM: PREEMPTED,
    signal.SIGUSR1: TIMED_OUT,
    signal.SIGUSR2: TIMED_OUT,
}

_WAKE = signal.SIGINT
"""What interrupts the main thread, also in the middle of a system call."""

_SUSPENSION_DELAY = 10.0
"""Seconds to wait for an announced suspension. Slurm sends SIGTSTP, and SIGSTOP two seconds later,
where the site doesn't say otherwise (slurm.conf, suspend_grace_time)."""

_STEP = 0.1

_SHARE = 0.2
"""Of the time before the kill, for the worker: to end what is left, and to release it."""
_LONGEST_SHARE, _SHORTEST_SHARE = 10.0, 5.0

_POLL = 0.2
_LONGEST_POLL = 1.0
"""Seconds between looks at the notice while a trial runs in the worker's own thread."""


def notice_delay(environ: Mapping[str, str]) -> float:
    """Return for how many seconds after a trial's failure a notice may still explain it.

    In a job the trial's processes receive the notice, too, and may die of it first; elsewhere they
    are out of its reach.
    """
    return 1.0 if in_batch_job(environ) else 0.0


_undo: list[Callable[[], None]] = []
"""What takes away the handlers of each :meth:`StopNotice.listening` under way, the latest last."""

_before_fork = threading.local()


def _hold_before_fork() -> None:
    # Between the fork and the removal, a handler would swallow a signal meant for the child. While
    # it is blocked, the signal stays pending.
    _before_fork.mask = (
        signal.pthread_sigmask(signal.SIG_BLOCK, tuple(_MEANINGS)) if _undo else None
    )


def _release_after_fork() -> None:
    if _before_fork.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _remove_in_child() -> None:
    """Give a child that a trial forks the handlers that it would have without this package.

    multiprocessing ends the processes of its pools by SIGTERM.
    """
    while _undo:
        _undo.pop()()
    _release_after_fork()


def forks_begin_with(act: Callable[[], None]) -> None:
    """Have each fork of this process call ``act`` first, with the signals of a worker held."""
    _undo.insert(0, act)


os.register_at_fork(
    before=_hold_before_fork, after_in_parent=_release_after_fork, after_in_child=_remove_in_child
)


class StopNotice:
    """The first notice to stop; ``cause`` is None while there is none, ``count`` counts them."""

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
        """When the job's time is over, by the same clock; None where it is unknown."""
        self.whole = 0.0
        """The seconds up to there when it was first known."""
        self.hurried = False
        """Whether a SIGINT came after the first notice: a person doesn't want to wait."""
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
        """Handle the signals for the time of the block; must be entered in the main thread.

        Parameters
        ----------
        in_job : bool
            Outside a batch job SIGTERM is a person's wish, not a preemption.
        numbers : collection of Signals
            Those to handle, by default all that are sent to workers.
        impatient : bool, default False
            Whether a second notice raises KeyboardInterrupt, wherever the program is.
        """

        def take(number: int, frame: FrameType | None) -> None:
            self._take(signal.Signals(number), in_job, impatient)

        def announce(number: int, frame: FrameType | None) -> None:
            self._suspension = time.monotonic() if number == signal.SIGTSTP else None

        previous: dict[signal.Signals, Any] = {}
        self._thread = threading.get_ident()
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

        def undo() -> None:
            for number, handler in previous.items():
                if signal.getsignal(number) is handlers[number]:  # not the function's own
                    signal.signal(number, handler)

        _undo.append(undo)
        try:
            yield self
        finally:
            with suppress(ValueError):  # a fork that leaves this block, too, has none
                _undo.remove(undo)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _take(self, name: signal.Signals, in_job: bool, impatient: bool) -> None:
        """Act on a signal; called by its handler."""
        ours, self._expiring = self._expiring and name == _WAKE, False
        if not ours:
            self.count += 1
            self.hurried = self.hurried or (self.cause is not None and name == signal.SIGINT)
            if name == signal.SIGTERM and self.terminated is None:
                self.terminated = time.monotonic()
            self.give(_MEANINGS[name] if in_job else CANCELLED, name.name)
        if self._interruptible and (ours or self.hurried or not self._patient):
            self._interruptible = False
            self.interrupted = True
            raise KeyboardInterrupt(self.signal)
        if not ours and impatient and self.count > 1:
            raise KeyboardInterrupt(self.signal)

    def give(self, cause: str, name: str, why: str = "") -> None:
        """Record a notice, if there was none before.

        ``name`` is the signal's, or that of the one to send to trials; ``why`` is for a notice
        without a signal.
        """
        if self.cause is None:
            self.since = time.monotonic()
            self.signal = name
            self.why = why
            self.cause = cause

    def await_suspension(self) -> None:
        """Return when no suspension is about to begin, or a stop notice has come.

        To be called before the database's lock is taken: a process that is stopped while it holds
        the lock keeps it, and no other one writes until it is resumed. The signal that announces a
        suspension doesn't stop this process, so that a transaction under way completes.
        """
        while self._suspension is not None and self.cause is None:
            if time.monotonic() - self._suspension > _SUSPENSION_DELAY:
                self._suspension = None
            else:
                time.sleep(_STEP)

    @property
    def description(self) -> str:
        """What the notice was, in words."""
        return self.why or f"by {self.signal}"

    def expire(self) -> None:
        """Interrupt what runs in :meth:`interrupting`, from another thread: its time is over."""
        if self._interruptible:
            self._expiring = True
            signal.pthread_kill(self._thread, _WAKE)

    def reinstall(self) -> None:
        """Install the handlers again, in case a function that ran here has installed its own."""
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


# -- the time that trials have ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grace:
    """The time that running trials have after a stop notice.

    Attributes
    ----------
    seconds : float, default 0
        From the notice on; 0 ends them at once.
    kill_wait : float or None
        Seconds from SIGTERM to the kill; None where nothing kills.
    """

    seconds: float = 0.0
    kill_wait: float | None = None

    def left(
        self, now: float, noticed: float, terminated: float | None, limit: float | None = None
    ) -> float:
        """Return how many seconds are left, 0 or less when the time is over.

        All are of one clock: ``noticed`` is when the first notice came, ``terminated`` when SIGTERM
        did, ``limit`` when the job's time is over.
        """
        end = noticed + self.seconds
        if limit is not None and limit > noticed:
            # Before Slurm ends the job: only one that runs can be requeued by its worker.
            end = min(end, limit - _own_share(limit - noticed))
        if terminated is not None and self.kill_wait is not None:
            end = min(end, terminated + self.kill_wait - _own_share(self.kill_wait))
        return end - now


NO_GRACE = Grace()


def _own_share(time: float) -> float:
    """Return what of ``time`` the worker needs for itself."""
    share = min(max(_SHARE * time, _SHORTEST_SHARE), _LONGEST_SHARE)
    return min(share, time / 2)


def grace_of(seconds: float, target: Target, kill_wait: float | None) -> Grace:
    """Return the grace of a worker's trials.

    Where nothing kills, it is a person who stops the worker, and waits: a function that can't
    receive the notice has no use for the time.
    """
    can_notice = isinstance(target, CommandTarget) or target.trial_arg is not None
    return Grace(seconds if can_notice or kill_wait is not None else 0.0, kill_wait)


def time_to_notice(left: float, grace: float) -> float:
    """Return in how many seconds to notify trials of the job's limit, ``left`` seconds away.

    So that the grace ends before the limit does; but the first four fifths of what the job has are
    for work.
    """
    return left - min(grace + _own_share(left), left * _SHARE)


# -- notifying trials ------------------------------------------------------------------------------


class NoticeFile:
    """The file by which trials, in any process of any host, find a worker's stop notice.

    Parameters
    ----------
    path : str or None
        None where no trial can look.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.over = False
        """Whether it was withdrawn for good."""
        self._posted = False
        self._lock = threading.Lock()

    def post(self, signal: str) -> None:
        """Write the file. If that fails, trials are ended when their time is over."""
        with self._lock:
            if self.path is not None and not self._posted and not self.over:
                self._write(self.path, signal)

    def withdraw(self) -> None:
        """Remove the file, now that no trial of this worker runs any more."""
        with self._lock:
            self.over = True
            if self.path is not None and self._posted:
                with suppress(OSError):
                    os.unlink(self.path)

    def _write(self, path: str, signal: str) -> None:
        folder = os.path.dirname(path)
        with suppress(OSError):
            layout.make_folder(folder)
            # Whole from the start: a trial that finds it reads it.
            new = f"{path}.new"
            with new_file(path, 0o600, replace=True, durable=False, temporary=new) as file:
                layout.share(file.fileno(), folder)
                file.write(signal.encode())
            self._posted = True


def read_notice(path: str | None) -> str:
    """Return the name of the signal in a worker's notice file, ``''`` without a notice."""
    if path is None:
        return ""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(32)
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """What a worker needs to end its trials in order.

    Attributes
    ----------
    stop : StopNotice
    file : NoticeFile
        Where trials look for the notice.
    grace : Grace
        The time that they have then.
    """

    stop: StopNotice
    file: NoticeFile
    grace: Grace = NO_GRACE

    def notify(self) -> None:
        """Let the running trials find the notice."""
        self.file.post(self.stop.signal)

    def time_left(self) -> float:
        """Return how many seconds the running trials have left; 0 or less: none."""
        stop = self.stop
        return self.grace.left(time.monotonic(), stop.since, stop.terminated, stop.limit)


class TrialInterrupter:
    """Notifies a trial that runs in the worker's own thread, and interrupts it in time.

    A thread that looks at the notice. A signal's handler can't do this itself: what it interrupts
    may hold the lock that it needs. For trials elsewhere the worker's loop does it.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._thread: threading.Thread | None = None
        self._trial = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Do it for the trial in the block."""
        if self._shutdown.grace.seconds <= 0:
            yield
            return
        self._trial.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="shutdown", daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            self._trial.clear()

    def _watch(self) -> None:
        shutdown, stop = self._shutdown, self._shutdown.stop
        while stop.cause is None and not shutdown.file.over:
            self._trial.wait(_LONGEST_POLL)
            time.sleep(_POLL)
        # No trial begins after a notice.
        if self._trial.is_set():
            shutdown.notify()
        while self._trial.is_set():
            left = shutdown.time_left()
            if left <= 0:
                stop.expire()
                left = _LONGEST_POLL  # until the next look
            time.sleep(min(left, _LONGEST_POLL))
