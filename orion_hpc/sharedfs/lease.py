"""The expiring lease: a marker file that its holder refreshes, taken over when it wasn't.

The one file that knows filelock. What it mends of filelock's are the two cases that a real sshfs
brought to light: a marker that can't be taken over, and one whose maker died too early.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress

from orion_hpc.sharedfs.backoff import Waiting, poll
from orion_hpc.sharedfs.permissions import ask_again


class Lease:
    """The claim of one process on the marker at ``path``, which is made with ``mode``.

    It lapses when it wasn't refreshed for ``duration`` seconds.
    """

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
        return poll(self._try_acquire, seconds, self._waiting)

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
            # NFS, though, may only remember that it was refused before.
            self.trouble = f"couldn't be created ({error.strerror})"
            ask_again(os.path.dirname(self._path))
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
        # A marker that can't be removed expires, and one that was taken isn't ours. By force: an
        # interruption may have left one behind, which counts as taken once and would be kept fresh.
        with suppress(OSError):
            self._lock.release(force=True)

    def close(self) -> None:
        self.release()
