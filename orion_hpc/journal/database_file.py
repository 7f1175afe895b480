"""The file of a database: opening, reading and appending, with the errors of the system calls.

What the bytes mean is left to the reader of the journal. Tests replace this class by a file system
that lies.

The file is used as its file system needs it (:func:`orion_hpc.sharedfs.mounts.access`):

``cached``
    One descriptor is kept open. The kernel appends at the end that it knows.
``direct``
    Reads and writes go past this host's page cache. The reader finds the end of the file by reading
    from the server: a short read has reached it. A descriptor is kept for some seconds. The lock
    can be held on it, so that NFS 4 refuses a write after the lock was lost.
``appending``
    The file is opened again for each look, because a client asks its server for news only then
    (close-to-open consistency). The server decides where an append lands.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress

from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.sharedfs import mounts
from orion_hpc.sharedfs.descriptors import KeptDescriptor
from orion_hpc.sharedfs.hints import hint
from orion_hpc.sharedfs.permissions import ask_again

CHUNK = 4 * 1024 * 1024
"""The most bytes that one call reads."""

_SMALL = 64 * 1024
_STALE = (errno.ESTALE, errno.EBADF, errno.ENOTCONN)
"""Errors of a descriptor that a fresh one may not have: the server was restarted, or user code in
this process closed a descriptor that wasn't its own."""

_FRESH = 5.0
"""Seconds after which a ``direct`` file is opened again by its name, to notice if the database was
replaced."""

_GONE = (
    "Look from another host: if it is there, this host's mount is at fault and has to be made "
    "anew. If not, put it back, or start anew with 'orion-hpc submit CONFIG'."
)
_REFUSED = (errno.EACCES, errno.EROFS)
_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG)


class LockLost(StorageError):
    """This process has lost its lock, and what it does under the lock is refused."""


class DatabaseFile:
    """The file at ``path``, which has no symbolic links in it. Opened when it is needed.

    Parameters
    ----------
    path : str
    access : str
        One of :data:`~orion_hpc.sharedfs.mounts.CACHED`,
        :data:`~orion_hpc.sharedfs.mounts.DIRECT` and :data:`~orion_hpc.sharedfs.mounts.APPENDING`.
    fenced : bool, default False
        Whether to hold the lock on the descriptor that is written through.
    """

    def __init__(self, path: str, access: str, fenced: bool = False) -> None:
        self.path = path
        self.fenced = fenced
        self._access = access
        self._kept = KeptDescriptor()
        self._writable = False
        self._opened_at = 0.0
        self._locked = False
        self._locked_size = -1
        self._head = b""
        self._inode = -1
        self._end = 0
        self._past_cache: bool | None = None

    @classmethod
    def at(cls, path: str) -> DatabaseFile:
        """Return the file at ``path``, used as its file system needs it."""
        mount = mounts.mount_of(os.path.dirname(path))
        return cls(path, mounts.access(mount), mounts.fences(mount))

    @property
    def coherent(self) -> bool:
        """Whether this process sees immediately what any other process wrote."""
        return self._access == mounts.CACHED

    @property
    def direct(self) -> bool:
        """Whether reads come from the server, and writes go to the given offset."""
        return self._access == mounts.DIRECT

    # -- opening ---------------------------------------------------------------------------------

    def open(self, writable: bool = False) -> None:
        """Make sure that there is a descriptor: the kept one or a fresh one, as needed."""
        if self._kept.fd < 0 or (writable and not self._writable):
            self.reopen(writable or None)
        elif self._access == mounts.APPENDING:
            self.reopen(writable)
        elif self.direct and not self._locked and time.monotonic() - self._opened_at > _FRESH:
            self.reopen()

    def reopen(self, writable: bool | None = None) -> None:
        """Open a fresh descriptor, by default writable if the old one was.

        If the lock is held on the old one, that stays, because the lock would be lost.

        Raises
        ------
        StorageUnusable
            There is no such file, or it isn't a file.
        StorageError
            It can't be opened, or it begins with other bytes than before.
        """
        if self._locked and self._kept.fd >= 0:
            return
        self._kept.close()
        self._locked = False
        self._writable = self._writable if writable is None else writable
        for last in (False, True):
            try:
                self._kept.fd = self._open()
                self._opened_at = time.monotonic()
                found = os.fstat(self._kept.fd)
                regular, self._inode = stat.S_ISREG(found.st_mode), found.st_ino
                head = self._read(0, len(self._head)) if regular and self._head else b""
                break
            except FileNotFoundError:
                raise self._missing() from None
            except OSError as error:
                self._kept.close()
                if self.direct and error.errno == errno.EINVAL:
                    self._access = mounts.APPENDING  # this file system has no O_DIRECT
                elif self.direct and self._head and error.errno in _REFUSED and not last:
                    ask_again(self.path)
                elif last or error.errno != errno.ESTALE:
                    raise self._trouble("open", error) from error
        if not regular:
            self._kept.close()
            raise StorageUnusable(
                f"{self.path} isn't a file", "Name a database file of your own with --storage."
            )
        if head != self._head and self._read_otherwise(len(self._head)) != self._head:
            self._kept.close()
            if self._head.startswith(head):
                raise DamagedDatabase(
                    f"{self.path} was cut to {len(head)} bytes while it was in use",
                    "Put the copy from before in its place, and submit again.",
                )
            raise self._replaced()

    def _open(self) -> int:
        # O_NONBLOCK: a FIFO of this name would block the open for ever.
        flags = os.O_RDWR if self._writable else os.O_RDONLY
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        if self.direct:
            # Without O_APPEND: NFS refuses the combination, and the client, not the server, would
            # decide where the end is.
            return os.open(self.path, flags | os.O_DIRECT)
        if self._writable:
            flags |= os.O_APPEND
        fd = os.open(self.path, flags)
        if self._access == mounts.APPENDING:
            # The page cache may hold older data than the server has now.
            with suppress(OSError):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return fd

    def _read_otherwise(self, count: int) -> bytes:
        """Read the first bytes the other way: past the page cache, or through it.

        A wrong cache may show anything, even another file's first bytes.
        """
        other = 0 if self.direct else os.O_DIRECT
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | other)
            try:
                return os.pread(fd, count, 0)
            finally:
                os.close(fd)
        except OSError:
            return b""

    def remember(self, head: bytes) -> None:
        """Remember the file's first bytes: they never change, and differ in another file."""
        self._head = head

    def done(self) -> None:
        """End a use of the file. The descriptor is kept where it can be used again."""
        if self._access == mounts.APPENDING:
            self._kept.close()

    def close(self) -> None:
        """Close the descriptor; the next use opens another."""
        self._kept.close()
        self._locked = False

    # -- locking ---------------------------------------------------------------------------------

    def try_acquire(self) -> bool:
        """Take the kernel's lock on the descriptor that is written through, if it is free.

        Raises
        ------
        OSError
            That can't be found out.
        """
        for last in (False, True):
            self.open(writable=True)
            try:
                fcntl.flock(self._kept.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._locked, self._locked_size = True, -1
                return True
            except BlockingIOError:
                return False
            except OSError as error:
                # After a lost lock NFS 4 returns EIO until the file is opened again.
                self.close()
                if last or error.errno not in (*_STALE, errno.EIO):
                    raise
        return False

    def release(self) -> None:
        """Release the lock, in whatever state an interruption left it."""
        if self._kept.fd >= 0:
            try:
                fcntl.flock(self._kept.fd, fcntl.LOCK_UN)
            except (OSError, ValueError):
                self._kept.close()  # which releases it, too
        self._locked = False

    # -- reading ---------------------------------------------------------------------------------

    def position(self) -> int:
        """Return the size in bytes of the file that has this path now."""
        try:
            if self.direct:
                self.open()
                self.read(self._end, _SMALL)
                return self._end
            if self._access == mounts.APPENDING:
                fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    return os.fstat(fd).st_size
                finally:
                    os.close(fd)
            return os.stat(self.path).st_size
        except FileNotFoundError:
            raise self._missing() from None
        except OSError as error:
            raise self._trouble("look at", error) from error

    def status(self) -> os.stat_result:
        """Return the status of the open file."""
        try:
            return os.fstat(self._kept.fd)
        except OSError as error:
            raise self._trouble("look at", error) from error

    def size(self) -> int:
        """Return the size of the open file, in bytes."""
        return self.status().st_size

    def ends_at(self, offset: int) -> bool:
        """Return whether the file is known to end at ``offset``, where a read ended.

        Known from :meth:`check_in_place`, if the lock is held on this descriptor: an NFS client
        that has taken a lock asks its server for the size again (nfs(5), on the cache of
        attributes), and until it is released nobody else writes.
        """
        return self._locked and self._locked_size == offset

    def check_in_place(self) -> None:
        """Raise if the path leads to another file by now, or to none."""
        for last in (False, True):
            try:
                named, opened = os.stat(self.path), os.fstat(self._kept.fd)
            except FileNotFoundError:
                raise StorageError(
                    f"the database {self.path} was removed while it was in use",
                    _GONE,
                ) from None
            except OSError as error:
                if last or error.errno not in _STALE:
                    raise self._trouble("look at", error) from error
            else:
                if os.path.samestat(named, opened):
                    self._locked_size = opened.st_size
                    return
                if last:
                    raise self._replaced()
                if opened.st_ino != self._inode:
                    # User code in this process closed the descriptor and opened another file, which
                    # got the same number. That isn't ours to close.
                    self._kept.fd = -1
                    if self._locked:
                        raise self._lost_lock() from None
            self.reopen()

    def read(self, start: int, count: int = CHUNK) -> bytes:
        """Return up to ``count`` bytes from offset ``start``, fewer at the end of the file."""
        try:
            if self.coherent:
                count = min(count, max(0, os.fstat(self._kept.fd).st_size - start))
            return self._read(start, count) if count else b""
        except OSError as error:
            if error.errno == errno.EIO and self._locked:
                raise self._lost_lock() from error
            # After a lock was lost NFS 4 refuses to read through that descriptor, too.
            if error.errno not in (*_STALE, errno.EIO):
                raise self._trouble("read", error) from error
            self.reopen()
        try:
            return self._read(start, count)
        except OSError as error:
            raise self._trouble("read", error) from error

    def _read(self, start: int, count: int) -> bytes:
        # To allocate a large buffer takes longer than to read a few bytes.
        data = os.pread(self._kept.fd, min(count, _SMALL), start)
        if len(data) == _SMALL < count:
            data += os.pread(self._kept.fd, count - _SMALL, start + _SMALL)
        self._end = max(self._end, start + len(data))
        return data

    # -- writing ---------------------------------------------------------------------------------

    def append(self, data: bytes, end: int) -> tuple[int, int]:
        """Append with one write.

        Parameters
        ----------
        data : bytes
        end : int
            Where the file ends, by what was read of it under the lock. Ignored where the kernel or
            the server decides that.

        Returns
        -------
        tuple of int
            How many bytes were written, and the offset behind them as far as this host can tell.

        Raises
        ------
        LockLost
            What was written, if anything, has still to be found out by reading.
        """
        try:
            if self.direct:
                written = os.pwrite(self._kept.fd, data, end)
                return written, end + written
            written = self._write(data)
            return written, os.lseek(self._kept.fd, 0, os.SEEK_CUR)
        except OSError as error:
            if error.errno == errno.EIO and self._locked:
                raise self._lost_lock() from error
            raise self._trouble("write to", error) from error

    def _write(self, data: bytes) -> int:
        """Write; on a FUSE file system past this host's page cache, if it supports that.

        A client may take the file for shorter than it is. Then its page cache holds what it appends
        at the wrong offset, in place of another client's frame, and every reader on this host reads
        a journal that doesn't exist. Also, a write that crosses a page is sent in two requests,
        between which another client's may land. The flag is set by ``fcntl``, for the client only:
        some servers, given it at the open, can't write an arbitrary number of bytes.
        """
        fd = self._kept.fd
        if self.coherent:
            return os.write(fd, data)
        if self._past_cache is None:
            self._past_cache = mounts.is_fuse(mounts.mount_of(os.path.dirname(self.path)))
        if self._past_cache:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            try:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
                return os.write(fd, data)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._past_cache = False  # this file system has no O_DIRECT
            finally:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        return os.write(fd, data)

    def sync(self) -> None:
        """Write to stable storage: what was appended survives a crash of the host."""
        try:
            os.fdatasync(self._kept.fd)
        except OSError as error:
            if error.errno == errno.EIO and self._locked:
                raise self._lost_lock() from error
            raise self._trouble("write to", error) from error

    # -- errors ----------------------------------------------------------------------------------

    def _lost_lock(self) -> LockLost:
        return LockLost(
            f"the lock on the database {self.path} was lost: this host was cut off from the file "
            "server, or stood still, for longer than the server waits",
            "Try again.",
        )

    def full(self) -> StorageError:
        """Return the error for a disk that is too full for a whole write."""
        return self._trouble("write to", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _missing(self) -> StorageError:
        if self._head:
            return StorageError(
                f"the database {self.path} was removed while it was in use",
                _GONE,
            )
        return StorageUnusable(
            f"there is no database at {self.path}",
            "'orion-hpc submit CONFIG' makes it; or name another file with --storage.",
        )

    def _replaced(self) -> StorageError:
        return StorageError(
            f"the database {self.path} was replaced by another file while it was in use",
            "Start the workers again so that they read the new one.",
        )

    def _trouble(self, verb: str, error: OSError) -> StorageError:
        # A file system that becomes read-only under a running worker may become writable again.
        unusable = error.errno in _UNUSABLE and not self._head
        return (StorageUnusable if unusable else StorageError)(
            f"can't {verb} the database {self.path}: {error.strerror}",
            hint(error.errno, self.path),
        )
