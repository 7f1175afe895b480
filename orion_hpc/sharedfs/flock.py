"""The kernel's lock on a file, by flock(2). The kernel releases it when its holder dies.

The descriptor is kept open. To open the file for each lock would take ten times as long on a local
file system, and several round trips to the server on a network file system.
"""

from __future__ import annotations

import errno
import fcntl
import os
import queue
import threading

from orion_hpc.sharedfs.descriptors import KeptDescriptor

_STALE = (errno.ESTALE, errno.EBADF, errno.ENOTCONN)
"""Errors of a stale descriptor: the file server was restarted, or user code in this process closed
it."""


class Flock:
    """An exclusive lock on the file at ``path``, which is created with ``mode`` and never removed.

    With a ``mode`` of None the file must exist, and the lock is on the file that has the path.

    Not thread-safe. Where the file system keeps flock local to the host, it doesn't exclude
    processes on other hosts.
    """

    def __init__(self, path: str, mode: int | None) -> None:
        self._path = path
        self._mode = mode
        self._kept = KeptDescriptor()
        self._queue = _Queue()

    def try_acquire(self) -> bool:
        """Take the lock if it is free; raise OSError if that can't be found out."""
        if self._kept.fd >= 0 and self._queue.busy:
            # The thread still waits in the kernel's queue with this descriptor. The lock that it
            # gets and one that is taken here would be the same, and to release one releases both.
            return self.wait(0.0)
        for fresh in (False, True):
            try:
                if fresh or self._kept.fd < 0:
                    self._kept.close()
                    self._kept.fd = self._open()
                fcntl.flock(self._kept.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_current():
                    return True
            except BlockingIOError:
                return False
            except OSError as error:
                self._kept.close()
                if fresh or error.errno not in _STALE:
                    raise
        return False

    def wait(self, seconds: float) -> bool:
        """Wait in the kernel's queue for the lock; return whether it was granted in ``seconds``.

        If not, this object stays in the queue: :meth:`wait` or :meth:`release` has to follow. To
        wait takes no processor time, and the lock goes to the process that waited longest. For
        local file systems only: the client of a network file system may poll its server, with up to
        half a minute between two polls (as Linux does on NFS 4).
        """
        if self._kept.fd < 0:
            self._queue.leave()
            return self.try_acquire()
        return self._queue.wait(self._kept.fd, seconds) and self._is_current()

    def release(self) -> None:
        """Release the lock or leave the queue, in whatever state an interruption left them."""
        self._queue.leave()
        try:
            fcntl.flock(self._kept.fd, fcntl.LOCK_UN)
        except (OSError, ValueError):
            self._kept.close()  # which releases it, too

    def close(self) -> None:
        """Release the lock and close the file."""
        self._queue.leave()
        self._kept.close()

    def _is_current(self) -> bool:
        """Return whether the path leads to the locked file; else the lock excludes nobody."""
        found = os.fstat(self._kept.fd)
        if found.st_nlink and (self._mode is not None or self._is_in_place(found)):
            return True
        self._kept.close()
        return False

    def _is_in_place(self, found: os.stat_result) -> bool:
        """Return whether the path leads to the file: a replaced file may have another name."""
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
            # The umask applied at the creation, and a lock for the group needs the group's bits.
            found = os.fstat(fd)
            if found.st_uid == os.geteuid() and found.st_mode & 0o777 != self._mode:
                os.fchmod(fd, self._mode)
        except OSError:
            os.close(fd)
            raise
        return fd


class _Queue:
    """Waits in flock(2) in a thread, so that the caller can do other things meanwhile.

    A caller that leaves can't stop the thread, which is in a system call. The thread releases the
    lock once it gets it, unless the caller has returned meanwhile.

    Ctrl-C may raise in the caller between any two steps. So a granted lock goes through a queue
    whose methods are atomic (written in C), and :meth:`leave` works in every state.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._wanted = False
        self._request: KeptDescriptor | None = None

    @property
    def busy(self) -> bool:
        """Whether the thread waits, or has the lock for a caller that hasn't taken it."""
        return self._is_here and (self._request is not None or not self._granted.empty())

    @property
    def _is_here(self) -> bool:
        # A forked process has this object, but not the thread.
        return self._pid == os.getpid()

    def wait(self, fd: int, seconds: float) -> bool:
        """Return whether the lock was granted in ``seconds``; if not, the caller stays here."""
        if not self._is_here:
            self._requests: queue.SimpleQueue[KeptDescriptor] = queue.SimpleQueue()
            self._granted: queue.SimpleQueue[None] = queue.SimpleQueue()
            self._mutex = threading.Lock()
            self._wanted, self._request = False, None
            threading.Thread(target=self._run, name="flock", daemon=True).start()
            self._pid = os.getpid()
        with self._mutex:
            self._wanted = self._granted.empty()
            if self._wanted and self._request is None:
                # The thread gets its own descriptor of the same open file: the caller may close its
                # one, and another file may get the number, before the thread releases the lock.
                request = KeptDescriptor()
                request.fd = os.dup(fd)
                self._request = request
            if self._request is not None and self._requests.empty():
                self._requests.put(self._request)  # perhaps for the second time, which is harmless
        try:
            self._granted.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def leave(self) -> None:
        """Stop waiting. If the lock was granted, the caller has to release it."""
        if self._is_here and (self._wanted or self.busy):
            with self._mutex:
                self._wanted = False
                while not self._granted.empty():
                    self._granted.get()

    def _run(self) -> None:
        while True:
            request = self._requests.get()
            if request is not self._request:
                continue  # it was put twice, and is served already
            try:
                while not self._serve(request.fd):
                    pass
            except (OSError, ValueError):  # the caller gets the same error when it tries again
                with self._mutex:
                    self._request = None
            # The lock belongs to the open file, and lasts as long as the caller's descriptor.
            request.close()

    def _serve(self, fd: int) -> bool:
        """Wait for the lock and grant it if it is still wanted; return whether that is done."""
        fcntl.flock(fd, fcntl.LOCK_EX)
        with self._mutex:
            if not self._wanted:
                fcntl.flock(fd, fcntl.LOCK_UN)
                self._request = None
                return True
            try:
                # The caller may have left, which released the lock, and returned meanwhile.
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._wanted, self._request = False, None
            self._granted.put(None)
            return True
