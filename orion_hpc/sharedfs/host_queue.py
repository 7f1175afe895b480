"""A queue of one host's processes for a lock that only a file server can grant.

A server has to be polled for a lock, and each poll takes a round trip. With this queue only one
process of each host polls. The others sleep until the kernel wakes them, in their order. The queue
excludes nobody: a process that can't join it, or waits in it for too long (the first process may be
stopped), polls the server as if there were no queue.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time

from orion_hpc.sharedfs.flock import Flock

FOLDER = "/dev/shm"
"""In memory: what a killed process leaves there disappears when the host restarts."""

PATIENCE = 5.0
"""The most seconds that a process waits in the queue."""

_AVOIDED = 60.0
"""Seconds for which a queue isn't used after it took longer."""


class HostQueue:
    """The queue of this user's processes for the lock called ``name``."""

    def __init__(self, name: str) -> None:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:32]
        self._folder = os.path.join(FOLDER, f"orion-hpc-{os.geteuid()}")
        self._path = os.path.join(self._folder, digest)
        self._first = Flock(self._path, 0o600)
        self._avoided_until = 0.0
        self._made = False

    @property
    def is_avoided(self) -> bool:
        """Whether the queue isn't to be used now."""
        return time.monotonic() < self._avoided_until

    def wait(self, seconds: float) -> bool:
        """Return whether this process became the first in ``seconds``.

        If not, call again: it is still in the queue, or the queue was removed and has to be joined
        again. Also True where there can be no queue.
        """
        try:
            self._make_folder()
            return self._first.try_acquire() or self._first.wait(seconds)
        except (OSError, RuntimeError):  # RuntimeError: the host has no thread left to wait in
            self.avoid()
            return True

    def avoid(self) -> None:
        """Leave the queue, and don't use it for a while."""
        self.leave()
        self._avoided_until = time.monotonic() + _AVOIDED

    def leave(self) -> None:
        """Let the next process become the first; works in every state."""
        self._first.release()

    def close(self) -> None:
        """Leave the queue, close the file, and remove the queue if nobody else is in it."""
        with contextlib.suppress(OSError):
            if self._made and self._first.try_acquire():
                os.unlink(self._path)
        with contextlib.suppress(OSError):
            if self._made:
                os.rmdir(self._folder)
        self._first.close()
        self._made = False

    def _make_folder(self) -> None:
        """Create a folder to which no other user can write, or check that it is one.

        Anyone may write to :data:`FOLDER`. Needed each time, as the last process to leave removes
        the folder.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._folder, 0o700)
        found = os.lstat(self._folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(self._folder)
        self._made = True
