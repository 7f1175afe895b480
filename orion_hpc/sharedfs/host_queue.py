"""A queue in which the processes of one host stand for a lock that only a file server can give.

Who asks a server for a lock has to ask again and again, and each question costs a round trip. With
this queue only one process of each host asks; the others sleep until the kernel wakes them, in
their order. It excludes nobody: who can't stand in it, or stands there for too long (the first of
them may be a stopped process), asks the server as if there were none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time

from orion_hpc.sharedfs.flock import Flock

FOLDER = "/dev/shm"
"""In memory: what a killed process leaves there is gone with the host."""

PATIENCE = 5.0
"""Seconds for which one stands there at most."""

_AVOIDED = 60.0
"""Seconds for which a queue that took longer is left alone."""


class HostQueue:
    """The queue for what is called ``name``, of this user's processes."""

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
        self._folder = os.path.join(FOLDER, f"orion-hpc-{os.geteuid()}")
        self._path = os.path.join(self._folder, digest)
        self._first = Flock(self._path, 0o600)
        self._avoided_until = 0.0
        self._made = False

    @property
    def is_avoided(self) -> bool:
        """Whether it makes no sense to stand here now."""
        return time.monotonic() < self._avoided_until

    def wait(self, seconds: float) -> bool:
        """Return whether this process is the first, after so long at most; if not, it still stands
        here, or the queue was removed and has to be joined again: ask again.

        Also True where there can be no queue.
        """
        try:
            self._make_folder()
            return self._first.try_acquire() or self._first.wait(seconds)
        except (OSError, RuntimeError):  # RuntimeError: the host has no thread left to wait in
            self.avoid()
            return True

    def avoid(self) -> None:
        """Go without it, and do so for a while."""
        self.leave()
        self._avoided_until = time.monotonic() + _AVOIDED

    def leave(self) -> None:
        """Let the next one have its turn; good after any interruption."""
        self._first.release()

    def close(self) -> None:
        """The same, keep nothing open, and remove the queue if nobody else stands in it."""
        with contextlib.suppress(OSError):
            if self._made and self._first.try_acquire():
                os.unlink(self._path)
        with contextlib.suppress(OSError):
            if self._made:
                os.rmdir(self._folder)
        self._first.close()
        self._made = False

    def _make_folder(self) -> None:
        """Have a folder that nobody else can write to: anyone may write where it is made.

        Each time: whoever leaves last takes it away.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._folder, 0o700)
        found = os.lstat(self._folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(self._folder)
        self._made = True
