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

import errno
import logging
import os
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


_SLICE = 0.5
"""Seconds for which is waited before it is looked whether waiting still makes sense."""


class Waiting:
    """How long to sleep between two tries, where nobody can wake who waits. Pure but for chance.

    A waiter that asks more often gets the lock sooner and slows the holder down. So all should ask
    about as often as each other, and the rarer the more they are. Each learns that from its own
    luck: many tries before it had the lock mean a long queue.
    """

    SHORTEST = 0.0005
    MANY, FEW = 6, 2
    """Tries before the lock was had; between them the interval suits the queue."""

    def __init__(self, longest: float, rng: random.Random) -> None:
        self._longest = longest
        self._rng = rng
        self._tries = 0
        self.interval = self.SHORTEST

    def next(self) -> float:
        """Return the seconds to sleep after a try in vain."""
        self._tries += 1
        if self._tries > 10 * self.MANY:  # this is no queue any more
            self._set(self.interval * 1.2)
        return self.interval * self._rng.uniform(0.5, 1.5)

    def had(self) -> None:
        """Take note that a try succeeded."""
        if self._tries > self.MANY:
            self._set(self.interval * 1.3)
        elif self._tries < self.FEW:
            self._set(self.interval / 1.3)
        self._tries = 0

    def _set(self, interval: float) -> None:
        self.interval = min(max(interval, self.SHORTEST), self._longest)


class _Lock(Protocol):
    trouble: str
    """Why the last try was in vain, with the lock for a subject."""

    def acquire(self, seconds: float) -> bool:
        """Take it within so many seconds, or a little more; return whether it was had."""
        ...

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
    local : bool, default False
        Whether all who want it are on this host: then the kernel can wake them in their order.
    """

    def __init__(
        self,
        path: str,
        kind: str,
        timeout: float,
        lease_duration: float | None = None,
        hurried: Callable[[], bool] = lambda: False,
        mode: int = 0o600,
        local: bool = False,
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
        self._leased = kind == LEASE
        self._lock: _Lock
        if self._leased:
            self._lock = _Lease(path, self._duration, mode)
        else:
            self._lock = _Kernel(Flock(path, mode), local)
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
        while True:
            try:
                if self._lock.acquire(min(_SLICE, max(0.0, deadline - time.monotonic()))):
                    self._since = time.monotonic()
                    return
            except (OSError, NotImplementedError, ValueError) as error:
                raise self._refused(error) from error
            now = time.monotonic()
            if self._hurried():
                deadline = min(deadline, now + HURRIED_TIMEOUT)
            if now >= deadline:
                raise LockTimeout(
                    f"the lock {self._path} {self._lock.trouble} within {now - start:.3g} s",
                    "Another process holds it: look for a stopped one with "
                    f"'lsof {self._path}' on the hosts that use the database.",
                ) from None
            if now - start > TOLD_AFTER and not told:
                told = True
                log.warning(
                    "waiting for the database's lock %s, which %s for %.0f s; giving up in %.0f s",
                    self._path, self._lock.trouble, now - start, deadline - now,
                )  # fmt: skip

    def _refused(self, error: Exception) -> StorageError:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            reason = "it is a symbolic link, which isn't followed"
        return StorageError(
            f"can't lock the database with {self._path}: {reason}",
            "Check the permissions there; a lock file of another kind may be removed while nobody "
            "uses the database.",
        )


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
        return _poll(self._lock.try_acquire, seconds, self._waiting)

    def release(self) -> None:
        self._lock.release()


class _Lease:
    """filelock's expiring claim."""

    def __init__(self, path: str, duration: float, mode: int) -> None:
        from filelock import SoftFileLease

        self._lock = SoftFileLease(path, lease_duration=duration, mode=mode, thread_local=False)
        self._waiting = Waiting(0.1, random.Random())
        self._path = path
        self._duration = duration
        self._empty: tuple[int, int, float] | None = None
        self._lapsing: tuple[str | None, float, float] = ("", 0.0, 0.0)
        self.trouble = ""

    def acquire(self, seconds: float) -> bool:
        return _poll(self._try_acquire, seconds, self._waiting)

    def _try_acquire(self) -> bool:
        from filelock import Timeout

        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            self.trouble = "wasn't free"
            self._clear_empty()
            self._break_lapsed()
            return False
        except PermissionError as error:
            # sshfs answers EPERM, and no more, when another client was faster to create the file.
            self.trouble = f"couldn't be created ({error.strerror})"
            return False
        return True

    def _break_lapsed(self) -> None:
        """Remove a marker that was seen unrefreshed for longer than the lease.

        filelock takes such a one over by swapping two names, which the client of sshfs refuses,
        and that of NFS; then it leaves it alone for ever. It has had its chance here. Who
        takes the lock in between loses its marker: rare, and replay bears it.
        """
        with suppress(OSError):
            owner, touched = self._lock.owner, os.stat(self._path).st_mtime
            token = owner.token if owner else None
            now = time.monotonic()
            if token is None or self._lapsing[:2] != (token, touched):
                self._lapsing = (token, touched, now)
            elif now - self._lapsing[2] > 1.25 * self._duration:
                self._lock.force_break()

    def _clear_empty(self) -> None:
        """Remove a marker that stays empty for as long as a lease lasts.

        Its maker died between creating it and writing its name into it. filelock leaves such a one
        alone for ever, since it can't tell it from one that is being made.
        """
        with suppress(OSError):
            found = os.stat(self._path)
            now = time.monotonic()
            if found.st_size:
                self._empty = None
            elif self._empty is None or self._empty[:2] != (found.st_ino, found.st_ctime_ns):
                self._empty = (found.st_ino, found.st_ctime_ns, now)
            elif now - self._empty[2] > self._duration:
                os.unlink(self._path)
                self._empty = None

    def release(self) -> None:
        # A marker that can't be removed expires, and one that was taken isn't ours.
        with suppress(OSError):
            self._lock.release()


def _poll(try_acquire: Callable[[], bool], seconds: float, waiting: Waiting) -> bool:
    end = time.monotonic() + seconds
    while True:
        if try_acquire():
            waiting.had()
            return True
        pause = waiting.next()
        if time.monotonic() + pause > end:
            return False
        time.sleep(pause)
