"""The database's lock: its kinds, how processes wait for it, and the errors if they don't get it.

The lock keeps appends in order. It isn't what makes them right; replay is (see
:mod:`orion_hpc.model.replay_rules`). There are three kinds, of which a database uses always the
same one:

``flock``
    The kernel's (:mod:`orion_hpc.sharedfs.flock`), on a file beside the database. The kernel
    releases it when its holder dies. Where it is local to a host it doesn't exclude other hosts.
``flock-database``
    The same on the database itself. On NFS 4 it is held on the descriptor that is written through.
    If the server has given a silent holder's lock to another client, it refuses that holder's
    writes. There the kind ``flock`` takes that lock in addition to its own.
``lease``
    A marker file (:mod:`orion_hpc.sharedfs.lease`) that is created exclusively and refreshed by its
    holder. Another process takes it over if it isn't refreshed for the lease's duration, by that
    process's own clock. A holder that was stopped for longer doesn't notice. So it checks
    :attr:`DatabaseLock.overdue` before it writes, and again before it relies on what it wrote.
    Exclusion is *not* guaranteed between that check and the write.

None of them guarantees fairness.
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
from orion_hpc.sharedfs.backoff import Backoff, poll
from orion_hpc.sharedfs.flock import Flock
from orion_hpc.sharedfs.hints import hint
from orion_hpc.sharedfs.host_queue import PATIENCE, HostQueue
from orion_hpc.sharedfs.lease import Lease
from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE, LEASE

log = logging.getLogger(__name__)

KINDS = (FLOCK, FLOCK_DATABASE, LEASE)

LEASE_DURATION = 30.0
"""Seconds. All processes that use a lease must agree on it, so it isn't a setting."""

HURRIED_TIMEOUT = 5.0
"""Seconds."""

WARN_AFTER = 10.0
"""Seconds of waiting after which a warning is logged."""

_SLICES = {True: 0.1, False: 0.5}
"""Seconds of waiting between two calls of ``meanwhile``, which are also checks whether to go on
waiting; by whether all processes are on this host, where they need no round trips to a server."""


class OwnLock(Protocol):
    """The kernel's lock on the descriptor through which a database is written."""

    def try_acquire(self) -> bool:
        """Take it if it is free; raise OSError if that can't be found out."""
        ...

    def release(self) -> None:
        """Release it, in whatever state an interruption left it."""
        ...


class _Lock(Protocol):
    trouble: str
    """Why the last try failed, as a clause whose subject is the lock."""

    def acquire(self, seconds: float) -> bool:
        """Take it within ``seconds``, or a little longer; return whether it was taken."""
        ...

    def release(self) -> None:
        """Release it and stop waiting for it, in whatever state an interruption left it."""
        ...

    def close(self) -> None:
        """Release it, and keep no file open."""
        ...


class DatabaseLock:
    """Excludes other writers of one database while it is held.

    Parameters
    ----------
    path : str
        The file that is locked: see :func:`lock_path`. Under ``flock`` it is never removed; a
        lease's marker is created and removed.
    kind : str
        One of :data:`KINDS`.
    timeout : float
        Seconds until :class:`~orion_hpc.errors.LockTimeout`.
    hurried : callable
        Called while waiting; once it returns True, :data:`HURRIED_TIMEOUT` seconds are left.
    mode : int, default 0o600
        The file's permissions.
    local : bool, default False
        Whether all processes are on this host: then the kernel can wake them in their order.
    own : OwnLock, optional
        The lock by which the server refuses writes once it is lost. Not for a lease.
    queue : HostQueue, optional
        In which the processes of this host wait for their turn to poll a file server.
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
                f"the database needs a lock of kind {kind!r:.40}, which this version doesn't know",
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
                _FileLock(Flock(path, None if kind == FLOCK_DATABASE else mode), local)
            )
        if own is not None and kind != LEASE:
            self._locks.append(_DescriptorLock(own))
        self._slice = _SLICES[local]
        self._queue = queue
        self._since = 0.0

    @contextmanager
    def held(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock during the block; while waiting for it, call ``meanwhile`` at intervals."""
        try:
            self._acquire(meanwhile)
            yield
        finally:
            for lock in reversed(self._locks):
                lock.release()
            if self._queue is not None:
                self._queue.leave()

    def close(self) -> None:
        """Release it, and close its file: on network file systems an open file can't be removed
        completely. The next use opens it again."""
        for lock in self._locks:
            lock.close()
        if self._queue is not None:
            self._queue.close()

    @property
    def overdue(self) -> bool:
        """Whether the holder was held up for so long that it may have lost the lock."""
        return self._kind == LEASE and _now() - self._since > self._duration / 2

    def _acquire(self, meanwhile: Callable[[], None]) -> None:
        clock = AwakeClock()  # time in which this process was stopped doesn't count
        start = clock()
        deadline = start + self._timeout
        warned = False
        if self._queue is not None:
            self._wait_in_queue(self._queue, deadline, clock, meanwhile)
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
                if now - start > WARN_AFTER and not warned:
                    warned = True
                    log.warning(
                        "waiting for the database's lock %s, which %s for %.0f s; giving up in "
                        "%.0f s", self._path, lock.trouble, now - start, deadline - now,
                    )  # fmt: skip
                meanwhile()

    def _wait_in_queue(
        self,
        queue: HostQueue,
        deadline: float,
        clock: Callable[[], float],
        meanwhile: Callable[[], None],
    ) -> None:
        """Wait for this process's turn on this host; or give up, which only makes it slower."""
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
            # A lease that isn't refreshed is taken over before this timeout, so it is refreshed.
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
    """Return the file that is locked, or the lease's marker, by database and kind of lock."""
    return database if kind == FLOCK_DATABASE else f"{database}.lock"


def _now() -> float:
    """Return seconds of a clock that goes on while the host is suspended (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _FileLock:
    """flock(2) on a file: waits in the kernel's queue on a local file system, elsewhere polls."""

    trouble = "wasn't free"

    def __init__(self, lock: Flock, local: bool) -> None:
        self._lock = lock
        self._local = local
        self._backoff = Backoff(0.02, random.Random())

    def acquire(self, seconds: float) -> bool:
        if self._local:
            return self._lock.try_acquire() or self._lock.wait(seconds)
        return poll(self._lock.try_acquire, seconds, self._backoff)

    def release(self) -> None:
        self._lock.release()

    def close(self) -> None:
        self._lock.close()


class _DescriptorLock:
    """flock(2) on the database's own descriptor, by polling."""

    trouble = "wasn't free"

    def __init__(self, lock: OwnLock) -> None:
        self._lock = lock
        self._backoff = Backoff(0.02, random.Random())

    def acquire(self, seconds: float) -> bool:
        return poll(self._lock.try_acquire, seconds, self._backoff)

    def release(self) -> None:
        self._lock.release()

    def close(self) -> None:
        self._lock.release()
