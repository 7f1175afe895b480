"""The database's lock: which kind, how it is waited for, and what is said when it isn't had.

The lock keeps appends orderly; it isn't what makes them right (replay is, see
:mod:`orion_hpc.model.state`). Three kinds, of which a database uses one for all its life:

``flock``
    The kernel's (:mod:`orion_hpc.sharedfs.flock`), on a file beside the database. It dies with its
    holder. Where it doesn't reach other hosts it excludes nobody there.
``flock-database``
    The same on the database itself. On NFS 4 it is held on the descriptor that is written through:
    a holder that was silent for so long that the server gave its lock away can't write any more.
    There the kind ``flock`` takes that lock besides its own.
``lease``
    A marker file (:mod:`orion_hpc.sharedfs.lease`) that is created exclusively, refreshed by its
    holder, and taken by another when it was seen unrefreshed for the lease's duration, by that
    one's own clock. A holder that was stopped for longer can go on without knowing; it asks
    :meth:`DatabaseLock.overdue` before it writes, and again before it believes what it wrote.
    Exclusion is *not* promised between that question and the write.

Fairness is not promised by either.
"""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from orion_hpc.errors import ConfigurationError, LockTimeout, StorageError
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.sharedfs.backoff import Waiting, poll
from orion_hpc.sharedfs.flock import Flock
from orion_hpc.sharedfs.hints import hint
from orion_hpc.sharedfs.host_queue import PATIENCE, HostQueue
from orion_hpc.sharedfs.lease import Lease
from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE, LEASE

log = logging.getLogger(__name__)

KINDS = (FLOCK, FLOCK_DATABASE, LEASE)

LEASE_DURATION = 30.0
"""Seconds. All who use a lease must agree on it, so it isn't a setting."""

HURRIED_TIMEOUT = 5.0
"""Seconds."""

TOLD_AFTER = 10.0
"""Seconds of waiting after which the log says what is waited for."""

_SLICES = {True: 0.1, False: 0.5}
"""Seconds for which is waited before something else is done meanwhile, and looked whether waiting
still makes sense; by whether that costs round trips to a file server."""


class OwnLock(Protocol):
    """The kernel's lock on the very descriptor through which a database is written."""

    def try_acquire(self) -> bool:
        """Take it if it is free; OSError if that can't be known."""
        ...

    def release(self) -> None:
        """Let go of it; good after any interruption."""
        ...


class _Lock(Protocol):
    trouble: str
    """Why the last try was in vain, with the lock for a subject."""

    def acquire(self, seconds: float) -> bool:
        """Take it within so many seconds, or a little more; return whether it was had."""
        ...

    def release(self) -> None:
        """Let go of it if it is had, and wait for it no longer: good after any interruption."""
        ...

    def close(self) -> None:
        """The same, and keep nothing open."""
        ...


class DatabaseLock:
    """Excludes other writers of one database while it is held.

    Parameters
    ----------
    path : str
        The file that is locked: see :func:`lock_path`. Under ``flock`` it stays; a lease's marker
        comes and goes.
    kind : str
        One of :data:`KINDS`.
    timeout : float
        Seconds until :class:`~orion_hpc.errors.LockTimeout`.
    hurried : callable
        Asked while waiting; once it says so, there are :data:`HURRIED_TIMEOUT` seconds left.
    mode : int, default 0o600
        The file's permissions.
    local : bool, default False
        Whether all who want it are on this host: then the kernel can wake them in their order.
    own : OwnLock, optional
        What guards writes against a lock that was lost. Not for a lease.
    queue : HostQueue, optional
        Where who is on this host waits for its turn to ask a file server.
    """

    def __init__(
        self,
        path: str,
        kind: str,
        timeout: float,
        hurried: Callable[[], bool] = lambda: False,
        mode: int = 0o600,
        local: bool = False,
        own: OwnLock | None = None,
        queue: HostQueue | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ConfigurationError(
                f"the database wants a lock of kind {kind!r:.40}, which this version doesn't know",
                "Install the version of orion-hpc that made the database, or a later one.",
            )
        self._path = path
        self._timeout = timeout
        self._hurried = hurried
        self._duration = LEASE_DURATION
        self._kind = kind
        self._locks: list[_Lock] = []
        if kind == LEASE:
            self._locks.append(Lease(path, self._duration, mode))
        elif own is None or kind == FLOCK:
            self._locks.append(
                _Kernel(Flock(path, None if kind == FLOCK_DATABASE else mode), local)
            )
        if own is not None and kind != LEASE:
            self._locks.append(_Own(own))
        self._slice = _SLICES[local]
        self._queue = queue
        self._since = 0.0

    @contextmanager
    def held(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock for the time of the block; until it is had, call ``meanwhile`` at times."""
        try:
            self._acquire(meanwhile)
            yield
        finally:
            for lock in reversed(self._locks):
                lock.release()
            if self._queue is not None:
                self._queue.leave()

    def close(self) -> None:
        """Let go of it, and keep no descriptor: on network file systems a file that is open can't
        be removed for good. The next use opens another."""
        for lock in self._locks:
            lock.close()
        if self._queue is not None:
            self._queue.close()

    @property
    def overdue(self) -> bool:
        """Whether the holder was held up for so long that it may hold the lock no more."""
        return self._kind == LEASE and _now() - self._since > self._duration / 2

    def _acquire(self, meanwhile: Callable[[], None]) -> None:
        clock = AwakeClock()  # time in which this process was stopped isn't waiting
        start = clock()
        deadline = start + self._timeout
        told = False
        if self._queue is not None:
            self._stand_in_line(self._queue, deadline, clock, meanwhile)
        for lock in self._locks:
            while True:
                now = clock()
                self._since = _now()
                try:
                    if lock.acquire(min(self._slice, max(0.0, deadline - now))):
                        break
                except (OSError, NotImplementedError, ValueError) as error:
                    raise self._refused(error) from error
                if self._hurried():
                    deadline = min(deadline, now + HURRIED_TIMEOUT)
                if now >= deadline:
                    raise self._timed_out(lock, now - start)
                if now - start > TOLD_AFTER and not told:
                    told = True
                    log.warning(
                        "waiting for the database's lock %s, which %s for %.0f s; giving up in "
                        "%.0f s", self._path, lock.trouble, now - start, deadline - now,
                    )  # fmt: skip
                meanwhile()

    def _stand_in_line(
        self,
        queue: HostQueue,
        deadline: float,
        clock: Callable[[], float],
        meanwhile: Callable[[], None],
    ) -> None:
        """Wait for this one's turn on this host; or give that up, which costs speed alone."""
        end = min(deadline, clock() + PATIENCE)
        while not queue.is_avoided and not queue.wait(min(self._slice, max(0.0, end - clock()))):
            if clock() >= end or self._hurried():
                queue.avoid()
            meanwhile()

    def _timed_out(self, lock: _Lock, seconds: float) -> LockTimeout:
        held = (
            "A process on one of the hosts that use the database holds it: look there for a "
            f"stopped one with 'lsof {self._path}'. "
        )
        if self._kind == LEASE:
            # A lease that nobody refreshes is taken over before this: somebody does refresh it.
            held += "Then submit again."
        else:
            held += (
                "Its job may be suspended ('squeue -t S'). "
                "Or such a host is frozen or down: NFS 3 keeps its lock until it has booted again, "
                "NFS 4 for about 90 s. Then submit again."
            )
        return LockTimeout(f"the lock {self._path} {lock.trouble} within {seconds:.3g} s", held)

    def _refused(self, error: Exception) -> StorageError:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            reason = "it is a symbolic link, which isn't followed"
        return StorageError(
            f"can't lock the database with {self._path}: {reason}",
            hint(
                getattr(error, "errno", None),
                self._path,
                "Check the permissions there; a lock file of another kind may be removed while "
                "nobody uses the database.",
            ),
        )


def lock_path(database: str, kind: str) -> str:
    """Return the file that is locked, or the lease's marker, for a database and a kind of lock."""
    return database if kind == FLOCK_DATABASE else f"{database}.lock"


def _now() -> float:
    """Return seconds of a clock that goes on while the host is suspended (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Kernel:
    """flock(2): by standing in the kernel's queue on this host, elsewhere by asking again."""

    trouble = "wasn't free"

    def __init__(self, lock: Flock, local: bool) -> None:
        self._lock = lock
        self._local = local
        self._waiting = Waiting(0.02, random.Random())

    def acquire(self, seconds: float) -> bool:
        if self._local:
            return self._lock.try_acquire() or self._lock.wait(seconds)
        return poll(self._lock.try_acquire, seconds, self._waiting)

    def release(self) -> None:
        self._lock.release()

    def close(self) -> None:
        self._lock.close()


class _Own:
    """flock(2) on the database's own descriptor, by asking again."""

    trouble = "wasn't free"

    def __init__(self, lock: OwnLock) -> None:
        self._lock = lock
        self._waiting = Waiting(0.02, random.Random())

    def acquire(self, seconds: float) -> bool:
        return poll(self._lock.try_acquire, seconds, self._waiting)

    def release(self) -> None:
        self._lock.release()

    def close(self) -> None:
        self._lock.release()
