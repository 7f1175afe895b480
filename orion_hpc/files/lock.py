"""The database's lock. The one file that knows filelock.

The lock keeps appends orderly; it isn't what makes them right (replay is, see
:mod:`orion_hpc.model.state`). Two kinds, of which a database uses one for all its life:

``flock``
    The kernel's. It dies with its holder. Where it doesn't reach other hosts it excludes nobody.
``lease``
    A marker file that is created exclusively, refreshed by its holder, and taken by another when it
    was seen unrefreshed for the lease's duration, by that one's own clock. A holder that was
    stopped for longer goes on without knowing: exclusion is *not* promised then.

Fairness is not promised by either.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orion_hpc.errors import ConfigurationError, LockTimeout, StorageError
from orion_hpc.files.mounts import FLOCK, LEASE

if TYPE_CHECKING:
    from filelock import BaseFileLock

KINDS = (FLOCK, LEASE)

LEASE_DURATION = 30.0
"""Seconds. All who use a lease must agree on it, so it isn't a setting."""

HURRIED_TIMEOUT = 5.0
"""Seconds."""

_SHORTEST_WAIT = 0.0005
_LONGEST_WAIT = {FLOCK: 0.02, LEASE: 0.1}


class DatabaseLock:
    """Excludes other writers of one database while it is held.

    Parameters
    ----------
    path : str
        The lock file, created with mode 0600. Under ``flock`` it stays; a lease's comes and goes.
    kind : str
        One of :data:`KINDS`.
    timeout : float
        Seconds until :class:`~orion_hpc.errors.LockTimeout`.
    lease_duration : float, default 30
        For tests.
    hurried : callable
        Asked while waiting; once it says so, there are :data:`HURRIED_TIMEOUT` seconds left.
    """

    def __init__(
        self,
        path: str,
        kind: str,
        timeout: float,
        lease_duration: float = LEASE_DURATION,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        if kind not in KINDS:
            raise ConfigurationError(
                f"the database wants a lock of kind {kind!r}, which this version doesn't know",
                "Install the version of orion-hpc that made the database, or a later one.",
            )
        self._path = path
        self._timeout = timeout
        self._hurried = hurried
        self._longest_wait = _LONGEST_WAIT[kind]
        self._lease = kind == LEASE
        self._lock = _lease(path, lease_duration) if self._lease else _flock(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the time of the block."""
        self._acquire()
        try:
            yield
        finally:
            self._release()

    def _acquire(self) -> None:
        from filelock import Timeout

        start = time.monotonic()
        deadline = start + self._timeout
        wait = _SHORTEST_WAIT
        while True:
            try:
                self._lock.acquire(blocking=False)
                return
            except Timeout:
                trouble = "wasn't free"
            except PermissionError as error:
                # sshfs answers EPERM, and no more, when another client was faster to create a file.
                if not self._lease:
                    raise StorageError(
                        f"can't lock the database with {self._path}: {error.strerror}",
                        "Check who owns the file and its directory.",
                    ) from error
                trouble = f"couldn't be created ({error.strerror})"
            except (OSError, NotImplementedError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise StorageError(
                    f"can't lock the database with {self._path}: {reason}",
                    "Check the permissions there; a lock file of another kind may be removed while "
                    "nobody uses the database.",
                ) from error
            now = time.monotonic()
            if self._hurried():
                deadline = min(deadline, now + HURRIED_TIMEOUT)
            if now > deadline:
                raise LockTimeout(
                    f"the lock {self._path} {trouble} within {now - start:.3g} s",
                    "Another process holds it: look for a stopped one with "
                    f"'lsof {self._path}' on the hosts that use the database.",
                ) from None
            # The longer the queue, the more rounds each waiter loses, the rarer it asks: the
            # holder isn't slowed down by those who wait for it.
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 1.5, self._longest_wait)

    def _release(self) -> None:
        try:
            self._lock.release()
        except OSError:
            # A lease's marker that can't be removed expires, and one that was taken isn't ours.
            if not self._lease:
                raise


def _flock(path: str) -> BaseFileLock:
    from filelock import FileLock

    # fallback_to_soft=False: an existence lock would survive its holder's death.
    return FileLock(path, mode=0o600, fallback_to_soft=False, thread_local=False)


def _lease(path: str, duration: float) -> BaseFileLock:
    from filelock import SoftFileLease

    return SoftFileLease(path, lease_duration=duration, mode=0o600, thread_local=False)
