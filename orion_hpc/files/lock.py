"""The database's lock. The one file that knows filelock.

The lock keeps appends orderly; it isn't what makes them right (replay is, see
:mod:`orion_hpc.model.state`). What is *not* promised: fairness, and on a file system whose
``flock`` doesn't reach other hosts, exclusion.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orion_hpc.errors import ConfigurationError, LockTimeout

FLOCK = "flock"
"""The kernel's lock, which dies with its holder."""

KINDS = (FLOCK,)

_SHORTEST_WAIT = 0.0005
_LONGEST_WAIT = 0.02


class DatabaseLock:
    """Excludes other writers of one database while it is held.

    Parameters
    ----------
    path : str
        The lock file; created with mode 0600 where it doesn't exist, never removed.
    kind : str
        One of :data:`KINDS`.
    timeout : float
        Seconds until :class:`~orion_hpc.errors.LockTimeout`.
    """

    def __init__(self, path: str, kind: str, timeout: float) -> None:
        if kind not in KINDS:
            raise ConfigurationError(
                f"the database wants a lock of kind {kind!r}, which this version doesn't know",
                "Install the version of orion-hpc that made the database, or a later one.",
            )
        from filelock import FileLock

        self._path = path
        self._timeout = timeout
        # fallback_to_soft=False: an existence lock would survive its holder's death.
        self._lock = FileLock(path, mode=0o600, fallback_to_soft=False, thread_local=False)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the time of the block."""
        self._acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        from filelock import Timeout

        deadline = time.monotonic() + self._timeout
        wait = _SHORTEST_WAIT
        while True:
            try:
                self._lock.acquire(blocking=False)
                return
            except Timeout:
                if time.monotonic() > deadline:
                    raise LockTimeout(
                        f"the lock {self._path} wasn't free within {self._timeout:g} s",
                        "Another process holds it: look for a stopped one with "
                        f"'lsof {self._path}' on the hosts that use the database.",
                    ) from None
            # The longer the queue, the more rounds each waiter loses, the rarer it asks: the
            # holder isn't slowed down by those who wait for it.
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 1.5, _LONGEST_WAIT)
