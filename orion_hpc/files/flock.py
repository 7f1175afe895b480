"""The kernel's lock on a file, by flock(2): it dies with its holder.

Held through a descriptor that is kept: to open the file anew for each time would take ten times as
long here, and several round trips to the server on a network file system.
"""

from __future__ import annotations

import errno
import fcntl
import os
import queue
import threading

from orion_hpc.files.descriptors import Kept

_STALE = (errno.ESTALE, errno.EBADF, errno.ENOTCONN)
"""A file server that was restarted doesn't know the descriptor any more, or user code in this
process has closed it."""


class Flock:
    """An exclusive lock on the file at ``path``, which is created with ``mode`` and stays.

    Not for several threads at once. Where the file system keeps flock to the host it excludes
    nobody on another.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._path = path
        self._mode = mode
        self._kept = Kept()
        self._queue = _Queue()

    def try_acquire(self) -> bool:
        """Take the lock if it is free; OSError if that can't be known."""
        if self._queue.busy:
            # The thread still stands in the queue with this descriptor. A lock that it gets and one
            # that is taken here would be one and the same, and letting go of one lets go of both.
            return self._queue.wait(self._kept.fd, 0.0) and self._named()
        for fresh in (False, True):
            try:
                if fresh or self._kept.fd < 0:
                    self._kept.close()
                    self._kept.fd = self._open()
                fcntl.flock(self._kept.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._named():
                    return True
            except BlockingIOError:
                return False
            except OSError as error:
                self._kept.close()
                if fresh or error.errno not in _STALE:
                    raise
        return False

    def wait(self, seconds: float) -> bool:
        """Stand in the kernel's queue for the lock; return whether it was had within so long.

        If not, this one goes on standing there: :meth:`wait` or :meth:`leave` has to follow. Who
        waits costs nothing, and the lock goes to whoever waited longest. For local file systems
        only: the client of a network file system may itself ask its server again and again, with
        half a minute in between (Linux's NFSv4 does).
        """
        if self._kept.fd < 0:
            return self.try_acquire()
        return self._queue.wait(self._kept.fd, seconds) and self._named()

    def leave(self) -> None:
        """Stand in the queue no longer; a lock that came meanwhile goes to the next one."""
        if self._queue.leave():
            self.release()

    def release(self) -> None:
        """Let others have it."""
        try:
            fcntl.flock(self._kept.fd, fcntl.LOCK_UN)
        except (OSError, ValueError):
            self._kept.close()  # which lets go of it, too

    def _named(self) -> bool:
        """Whether the locked file still has its name; else others hold another one of that name."""
        if os.fstat(self._kept.fd).st_nlink:
            return True
        self._kept.close()
        return False

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self._path, flags, self._mode)
        try:
            # The umask had its say at the creation; a lock for the group needs the group's bits.
            found = os.fstat(fd)
            if found.st_uid == os.geteuid() and found.st_mode & 0o777 != self._mode:
                os.fchmod(fd, self._mode)
        except OSError:
            os.close(fd)
            raise
        return fd


class _Queue:
    """Waits in flock(2) from a thread of its own, for a caller that has other things to do.

    A caller that leaves doesn't stop the thread, which the kernel holds. It lets go of the lock
    once it gets it, unless the caller has come back in the meantime.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._asked = self._given = False

    @property
    def busy(self) -> bool:
        """Whether the thread waits, or has the lock for a caller that wasn't there to take it."""
        return self._alive and (self._asked or self._given)

    @property
    def _alive(self) -> bool:
        # A process that was forked from this one has the object, and not the thread.
        return self._thread is not None and self._thread.is_alive()

    def wait(self, fd: int, seconds: float) -> bool:
        if not self._alive:
            self._requests: queue.SimpleQueue[Kept] = queue.SimpleQueue()
            self._mutex = threading.Lock()
            self._had = threading.Semaphore(0)
            self._asked = self._wanted = self._given = False
            self._thread = threading.Thread(target=self._run, name="flock", daemon=True)
            self._thread.start()
        with self._mutex:
            self._wanted = not self._given
            if self._wanted and not self._asked:
                # A descriptor of the thread's own for the same open file: the caller may close its
                # one, and the number be given to another file, before the thread lets go.
                request = Kept()
                request.fd = os.dup(fd)
                self._asked = True
                self._requests.put(request)
        return self._take(seconds)

    def leave(self) -> bool:
        """Return whether the lock was had meanwhile, and is now the caller's to let go of."""
        if not self._alive:
            return False
        with self._mutex:
            self._wanted = False
        return self._take(0.0)

    def _take(self, seconds: float) -> bool:
        if not self._had.acquire(timeout=seconds):
            return False
        self._given = False
        return True

    def _run(self) -> None:
        while True:
            request = self._requests.get()
            try:
                fcntl.flock(request.fd, fcntl.LOCK_EX)
                held = True
            except (OSError, ValueError):
                held = False  # the caller sees the same when it tries again
            with self._mutex:
                if held and self._wanted:
                    self._wanted, self._given = False, True
                    self._had.release()
                elif held:
                    fcntl.flock(request.fd, fcntl.LOCK_UN)
                self._asked = False
            # The lock is the open file's, and stays as long as the caller's descriptor does.
            request.close()
