"""The kernel's lock on a file, by flock(2): it dies with its holder.

Held through a descriptor that is kept: to open the file anew for each time would take ten times as
long here, and several round trips to the server on a network file system.
"""

from __future__ import annotations

import errno
import fcntl
import os

from orion_hpc.files import descriptors


class Flock:
    """An exclusive lock on the file at ``path``, which is created with ``mode`` and stays.

    Not for several threads at once. Where the file system keeps flock to the host it excludes
    nobody on another.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._kept = descriptors.Kept()

    def try_acquire(self) -> bool:
        """Take the lock if it is free; OSError if that can't be known."""
        for fresh in (False, True):
            try:
                if fresh or self._kept.fd < 0:
                    self._kept.fd = self._open()
                fcntl.flock(self._kept.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody may have removed the file: then others hold another one of this name.
                if os.fstat(self._kept.fd).st_nlink:
                    return True
                self._kept.close()
            except BlockingIOError:
                return False
            except OSError as error:
                # A file server that was restarted doesn't know the descriptor any more, and user
                # code in this process may have closed it.
                self._kept.close()
                if fresh or error.errno not in (errno.ESTALE, errno.EBADF, errno.ENOTCONN):
                    raise
        return False

    def release(self) -> None:
        """Let others have it."""
        try:
            fcntl.flock(self._kept.fd, fcntl.LOCK_UN)
        except (OSError, ValueError):
            self._kept.close()  # which lets go of it, too

    def _open(self) -> int:
        self._kept.close()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self._path, flags, self._mode)
        try:
            # The user's umask has its say at creation; a lock for the group needs the group's bit.
            found = os.fstat(fd)
            if found.st_uid == os.geteuid() and found.st_mode & 0o777 != self._mode:
                os.fchmod(fd, self._mode)
        except OSError:
            os.close(fd)
            raise
        return fd
