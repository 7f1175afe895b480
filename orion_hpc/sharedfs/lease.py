"""The expiring lease: a marker file that its holder refreshes, and that others take over if not.

The one file that imports filelock. It handles two cases that filelock doesn't, both found on a real
sshfs: a marker that can't be taken over, and one whose creator died before it wrote its name.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress

from orion_hpc.sharedfs.backoff import Backoff, poll
from orion_hpc.sharedfs.permissions import ask_again


class Lease:
    """One process's lease by the marker at ``path``, which is created with ``mode``.

    It lapses if it isn't refreshed for ``duration`` seconds.
    """

    def __init__(self, path: str, duration: float, mode: int) -> None:
        from filelock import SoftFileLease

        self._lock = SoftFileLease(path, lease_duration=duration, mode=mode, thread_local=False)
        self._backoff = Backoff(0.1, random.Random())
        self._path = path
        self._duration = duration
        self._empty: tuple[int, int, float] | None = None
        self._lapsing: tuple[str | None, float, float] = ("", 0.0, 0.0)
        self.trouble = ""

    def acquire(self, seconds: float) -> bool:
        return poll(self._try_acquire, seconds, self._backoff)

    def _try_acquire(self) -> bool:
        from filelock import Timeout

        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            self.trouble = "wasn't free"
            self._clear_abandoned()
            return False
        except PermissionError as error:
            # sshfs returns only EPERM if another client was faster to create the file. NFS may
            # return the cached answer of an earlier refusal. Or the marker is there and isn't
            # writable: NFS 3 creates a file exclusively without permissions and sets them by a
            # second request. If that fails, or the client dies before it, the marker stays so.
            self.trouble = f"couldn't be created ({error.strerror})"
            ask_again(os.path.dirname(self._path))
            self._clear_abandoned()
            return False
        return True

    def _clear_abandoned(self) -> None:
        """Remove a marker that filelock doesn't take over though nobody refreshes it."""
        self._clear_empty()
        self._break_lapsed()

    def _break_lapsed(self) -> None:
        """Remove a marker that wasn't refreshed for longer than the lease.

        filelock takes over such a marker by exchanging two names, which the clients of sshfs and
        NFS refuse; then filelock never takes it. This waits a little longer than filelock does. A
        process that takes the lock in between loses its marker: that is rare, and replay keeps the
        journal right.
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

        Its creator died before it wrote its name into it. filelock never takes such a marker, since
        it looks like one that is being created.
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
        # A marker that can't be removed expires, and one that was taken over isn't ours. By force:
        # after an interruption filelock may count one acquisition too many, and would go on
        # refreshing the marker.
        with suppress(OSError):
            self._lock.release(force=True)

    def close(self) -> None:
        self.release()
