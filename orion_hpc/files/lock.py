"""The database's lock: which kind, how it is waited for, and what is said when it isn't had.

The one file that knows filelock. The lock keeps appends orderly; it isn't what makes them right
(replay is, see :mod:`orion_hpc.model.state`). Two kinds, of which a database uses one for all its
life:

``flock``
    The kernel's (:mod:`orion_hpc.files.flock`). It dies with its holder. Where it doesn't reach
    other hosts it excludes nobody there.
``lease``
    A marker file that is created exclusively, refreshed by its holder, and taken by another when it
    was seen unrefreshed for the lease's duration, by that one's own clock. A holder that was
    stopped for longer can go on without knowing; it asks :meth:`DatabaseLock.overdue` before it
    writes. Exclusion is *not* promised between that question and the write.

Fairness is not promised by either.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from orion_hpc.errors import ConfigurationError, LockTimeout, StorageError
from orion_hpc.files.flock import Flock
from orion_hpc.files.mounts import FLOCK, LEASE

log = logging.getLogger(__name__)

KINDS = (FLOCK, LEASE)

LEASE_DURATION = 30.0
"""Seconds. All who use a lease must agree on it, so it isn't a setting."""

HURRIED_TIMEOUT = 5.0
"""Seconds."""

TOLD_AFTER = 10.0
"""Seconds of waiting after which the log says what is waited for."""


class Waiting:
    """How long to sleep between two tries. Pure but for the random numbers.

    A waiter that asks more often gets the lock sooner and slows the holder down. So all should ask
    about as often, and the rarer the more they are. Each learns that from its own luck: many tries
    before it had the lock mean a long queue.
    """

    SHORTEST = 0.0001
    LONGEST = {FLOCK: 0.02, LEASE: 0.1}  # noqa: RUF012 (never changed)
    MANY, FEW = 6, 2
    """Tries before the lock was had; between them the interval suits the queue."""

    def __init__(self, kind: str, rng: random.Random) -> None:
        self._longest = self.LONGEST[kind]
        self._rng = rng
        self._tries = 0
        self.interval = 5 * self.SHORTEST

    def next(self) -> float:
        """Return the seconds to sleep after a try in vain."""
        self._tries += 1
        if self._tries > self.MANY:
            self._set(self.interval * 1.2)
        return self.interval * self._rng.uniform(0.5, 1.5)

    def had(self) -> None:
        """Take note that a try succeeded."""
        if self._tries < self.FEW:
            self._set(self.interval / 1.5)
        self._tries = 0

    def _set(self, interval: float) -> None:
        self.interval = min(max(interval, self.SHORTEST), self._longest)


class _Lock(Protocol):
    def try_acquire(self) -> bool: ...

    def release(self) -> None: ...


class DatabaseLock:
    """Excludes other writers of one database while it is held.

    Parameters
    ----------
    path : str
        The lock file. Under ``flock`` it stays; a lease's comes and goes.
    kind : str
        One of :data:`KINDS`.
    timeout : float
        Seconds until :class:`~orion_hpc.errors.LockTimeout`.
    lease_duration : float, default 30
        For tests.
    hurried : callable
        Asked while waiting; once it says so, there are :data:`HURRIED_TIMEOUT` seconds left.
    mode : int, default 0o600
        The file's permissions.
    """

    def __init__(
        self,
        path: str,
        kind: str,
        timeout: float,
        lease_duration: float | None = None,
        hurried: Callable[[], bool] = lambda: False,
        mode: int = 0o600,
    ) -> None:
        if kind not in KINDS:
            raise ConfigurationError(
                f"the database wants a lock of kind {kind!r:.40}, which this version doesn't know",
                "Install the version of orion-hpc that made the database, or a later one.",
            )
        self._path = path
        self._timeout = timeout
        self._hurried = hurried
        self._duration = LEASE_DURATION if lease_duration is None else lease_duration
        self._waiting = Waiting(kind, random.Random())
        self._lock: _Lock = (
            Flock(path, mode) if kind == FLOCK else _Lease(path, self._duration, mode)
        )
        self._leased = kind == LEASE
        self._since = 0.0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the time of the block."""
        self._acquire()
        try:
            yield
        finally:
            self._lock.release()

    @property
    def overdue(self) -> bool:
        """Whether the holder was held up for so long that it may hold the lock no more."""
        return self._leased and time.monotonic() - self._since > self._duration / 2

    def _acquire(self) -> None:
        start = time.monotonic()
        deadline = start + self._timeout
        told = False
        trouble = "wasn't free"
        while True:
            self._since = time.monotonic()
            try:
                if self._lock.try_acquire():
                    self._waiting.had()
                    return
                trouble = "wasn't free"
            except PermissionError as error:
                # sshfs answers EPERM, and no more, when another client was faster to create a file.
                if not self._leased:
                    raise self._refused(error) from error
                trouble = f"couldn't be created ({error.strerror})"
            except (OSError, NotImplementedError, ValueError) as error:
                raise self._refused(error) from error
            now = time.monotonic()
            if self._hurried():
                deadline = min(deadline, now + HURRIED_TIMEOUT)
            if now > deadline:
                raise LockTimeout(
                    f"the lock {self._path} {trouble} within {now - start:.3g} s",
                    "Another process holds it: look for a stopped one with "
                    f"'lsof {self._path}' on the hosts that use the database.",
                ) from None
            if now - start > TOLD_AFTER and not told:
                told = True
                log.warning(
                    "waiting for the database's lock %s, which %s for %.0f s; giving up in %.0f s",
                    self._path, trouble, now - start, deadline - now,
                )  # fmt: skip
            time.sleep(self._waiting.next())

    def _refused(self, error: Exception) -> StorageError:
        reason = getattr(error, "strerror", None) or str(error)
        return StorageError(
            f"can't lock the database with {self._path}: {reason}",
            "Check the permissions there; a lock file of another kind may be removed while nobody "
            "uses the database.",
        )


class _Lease:
    """filelock's expiring claim."""

    def __init__(self, path: str, duration: float, mode: int) -> None:
        from filelock import SoftFileLease

        self._lock = SoftFileLease(path, lease_duration=duration, mode=mode, thread_local=False)

    def try_acquire(self) -> bool:
        from filelock import Timeout

        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        # A marker that can't be removed expires, and one that was taken isn't ours.
        with suppress(OSError):
            self._lock.release()
