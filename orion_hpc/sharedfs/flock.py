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

from orion_hpc.sharedfs.descriptors import Kept

_STALE = (errno.ESTALE, errno.EBADF, errno.ENOTCONN)
"""A file server that was restarted doesn't know the descriptor any more, or user code in this
process has closed it."""


class Flock:
    """An exclusive lock on the file at ``path``, which is created with ``mode`` and stays.

    With a ``mode`` of None it must be there: another one of its name is another lock.

    Not for several threads at once. Where the file system keeps flock to the host it excludes
    nobody on another.
    """

    def __init__(self, path: str, mode: int | None) -> None:
        self._path = path
        self._mode = mode
        self._kept = Kept()
        self._queue = _Queue()

    def try_acquire(self) -> bool:
        """Take the lock if it is free; OSError if that can't be known."""
        if self._kept.fd >= 0 and self._queue.busy:
            # The thread still stands in the queue with this descriptor. A lock that it gets and one
            # that is taken here would be one and the same, and letting go of one lets go of both.
            return self.wait(0.0)
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

        If not, this one goes on standing there: :meth:`wait` or :meth:`release` has to follow. Who
        waits costs nothing, and the lock goes to whoever waited longest. For local file systems
        only: the client of a network file system may itself ask its server again and again, with
        half a minute in between (Linux's NFSv4 does).
        """
        if self._kept.fd < 0:
            self._queue.leave()
            return self.try_acquire()
        return self._queue.wait(self._kept.fd, seconds) and self._named()

    def release(self) -> None:
        """Let others have it; or wait for it no longer, whatever state an interruption left."""
        self._queue.leave()
        try:
            fcntl.flock(self._kept.fd, fcntl.LOCK_UN)
        except (OSError, ValueError):
            self._kept.close()  # which lets go of it, too

    def close(self) -> None:
        """Let others have it, and close the file."""
        self._queue.leave()
        self._kept.close()

    def _named(self) -> bool:
        """Whether the locked file still has its name; else others hold another one of that name."""
        found = os.fstat(self._kept.fd)
        if found.st_nlink and (self._mode is not None or self._is_in_place(found)):
            return True
        self._kept.close()
        return False

    def _is_in_place(self, found: os.stat_result) -> bool:
        """Whether the name leads to the file: one that was replaced may have got another name."""
        try:
            return os.path.samestat(os.stat(self._path), found)
        except FileNotFoundError:
            return False

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        if self._mode is None:
            return os.open(self._path, flags)
        fd = os.open(self._path, flags | os.O_CREAT, self._mode)
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

    Ctrl-C may raise in the caller between any two steps. So what is granted goes through a queue
    that is one step in C, and :meth:`leave` puts everything right without asking what was reached.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._wanted = False
        self._request: Kept | None = None

    @property
    def busy(self) -> bool:
        """Whether the thread waits, or has the lock for a caller that wasn't there to take it."""
        return self._is_here and (self._request is not None or not self._granted.empty())

    @property
    def _is_here(self) -> bool:
        # A process that was forked from this one has the object, and not the thread.
        return self._pid == os.getpid()

    def wait(self, fd: int, seconds: float) -> bool:
        """Return whether the lock was had within so long; if not, the caller still stands here."""
        if not self._is_here:
            self._requests: queue.SimpleQueue[Kept] = queue.SimpleQueue()
            self._granted: queue.SimpleQueue[None] = queue.SimpleQueue()
            self._mutex = threading.Lock()
            self._wanted, self._request = False, None
            threading.Thread(target=self._run, name="flock", daemon=True).start()
            self._pid = os.getpid()
        with self._mutex:
            self._wanted = self._granted.empty()
            if self._wanted and self._request is None:
                # A descriptor of the thread's own for the same open file: the caller may close its
                # one, and the number be given to another file, before the thread lets go.
                request = Kept()
                request.fd = os.dup(fd)
                self._request = request
            if self._request is not None and self._requests.empty():
                self._requests.put(self._request)  # again, if it was put before: that does no harm
        try:
            self._granted.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def leave(self) -> None:
        """Stand here no longer. A lock that was granted is the caller's to let go of."""
        if self._is_here and (self._wanted or self.busy):
            with self._mutex:
                self._wanted = False
                while not self._granted.empty():
                    self._granted.get()

    def _run(self) -> None:
        while True:
            request = self._requests.get()
            if request is not self._request:
                continue  # it was put twice, and is done
            try:
                while not self._serve(request.fd):
                    pass
            except (OSError, ValueError):  # the caller sees the same when it tries again
                with self._mutex:
                    self._request = None
            # The lock is the open file's, and stays as long as the caller's descriptor does.
            request.close()

    def _serve(self, fd: int) -> bool:
        """Wait for the lock and grant it, if it is wanted still; return whether that is settled."""
        fcntl.flock(fd, fcntl.LOCK_EX)
        with self._mutex:
            if not self._wanted:
                fcntl.flock(fd, fcntl.LOCK_UN)
                self._request = None
                return True
            try:
                # The caller may have left, let go of what it didn't know to be had, and come back.
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._wanted, self._request = False, None
            self._granted.put(None)
            return True
