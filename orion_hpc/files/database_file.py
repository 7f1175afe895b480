"""The file of a database: opening it, reading and appending, and telling what went wrong.

Knows the system calls and their errors; what the bytes mean is left to the storage. This is the
seam at which a file system that lies can be put in place of the real one.

On a file system that is coherent on this host one descriptor is kept. Elsewhere the file is opened
afresh for each look, since that is when a client asks its server what is new (close-to-open
consistency, nfs(5)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.files import mounts
from orion_hpc.files.descriptors import Kept

CHUNK = 4 * 1024 * 1024
"""Bytes that are read at once, at most."""

_SMALL = 64 * 1024
_STALE = (errno.ESTALE, errno.EBADF, errno.ENOTCONN)
"""The descriptor is of no use any more: the server was restarted, or user code in this process
closed what wasn't its own. A fresh one may be."""

_UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG)
_HINTS = {
    errno.ENOSPC: "Free some space there; then 'orion-hpc submit CONFIG' goes on.",
    errno.EDQUOT: "Your quota is used up; free some space, then submit again.",
    errno.EACCES: "Check who owns the file and its directory.",
    errno.EPERM: "Check who owns the file and its directory.",
    errno.EROFS: "The file system is mounted read-only on this host.",
    errno.EIO: "The disk or its server has a fault: look into 'dmesg', or ask who runs it.",
}


class DatabaseFile:
    """The file at ``path``, a real path. Descriptors are opened when they are needed.

    Parameters
    ----------
    path : str
    coherent : bool
        Whether all who may write to it are on this host and see at once what others wrote.
    """

    def __init__(self, path: str, coherent: bool) -> None:
        self.path = path
        self.coherent = coherent
        self._kept = Kept()
        self._writable = False
        self._head = b""
        self._inode = -1
        self._direct: bool | None = None

    # -- opening ---------------------------------------------------------------------------------

    def open(self, writable: bool = False) -> None:
        """Have a descriptor: a kept one on a coherent file system, elsewhere a fresh one."""
        if not self.coherent or self._kept.fd < 0 or (writable and not self._writable):
            self.reopen(writable)

    def reopen(self, writable: bool | None = None) -> None:
        """Have a fresh descriptor, writable as before unless it is said.

        Raises
        ------
        StorageUnusable
            There is no such file, or it isn't a file.
        StorageError
            It can't be opened, or it begins unlike before.
        """
        self._kept.close()
        self._writable = self._writable if writable is None else writable
        # Append mode always: on a file system with stale sizes only the server knows the end.
        # O_NONBLOCK: a FIFO of this name would block the open for ever.
        flags = os.O_RDWR | os.O_APPEND if self._writable else os.O_RDONLY
        flags |= os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        for last in (False, True):
            try:
                self._kept.fd = os.open(self.path, flags)
                found = os.fstat(self._kept.fd)
                regular, self._inode = stat.S_ISREG(found.st_mode), found.st_ino
                head = self._read(0, len(self._head)) if regular and self._head else b""
                break
            except FileNotFoundError:
                raise self._missing() from None
            except OSError as error:
                self._kept.close()
                if last or error.errno != errno.ESTALE:
                    raise self._trouble("open", error) from error
        if not regular:
            self._kept.close()
            raise StorageUnusable(
                f"{self.path} isn't a file", "Name a database file of your own with --storage."
            )
        if head != self._head:
            self._kept.close()
            if self._head.startswith(head):
                raise DamagedDatabase(
                    f"{self.path} was cut to {len(head)} bytes while it was in use",
                    "Put the copy from before in its place, and submit again.",
                )
            raise self._replaced()

    def remember(self, head: bytes) -> None:
        """Take ``head`` for what the file begins with; nobody ever changes it, another file has
        another."""
        self._head = head

    def done(self) -> None:
        """Keep the descriptor for the next time, where that is any use."""
        if not self.coherent:
            self._kept.close()

    def close(self) -> None:
        """Let go of the descriptor; the next use opens another."""
        self._kept.close()

    # -- looking ---------------------------------------------------------------------------------

    def position(self) -> int:
        """Return the size of the file of this name, in bytes."""
        try:
            return os.stat(self.path).st_size
        except FileNotFoundError:
            raise self._missing() from None
        except OSError as error:
            raise self._trouble("look at", error) from error

    def status(self) -> os.stat_result:
        """Return what is known of the open file."""
        try:
            return os.fstat(self._kept.fd)
        except OSError as error:
            raise self._trouble("look at", error) from error

    def size(self) -> int:
        """Return the size of the open file, in bytes."""
        return self.status().st_size

    def check_in_place(self) -> None:
        """Refuse to go on with a file that its name doesn't lead to any more."""
        for last in (False, True):
            try:
                named, opened = os.stat(self.path), os.fstat(self._kept.fd)
            except FileNotFoundError:
                raise StorageError(
                    f"the database {self.path} was removed while it was in use",
                    "Put it back, or start anew with 'orion-hpc submit'.",
                ) from None
            except OSError as error:
                if last or error.errno not in _STALE:
                    raise self._trouble("look at", error) from error
            else:
                if os.path.samestat(named, opened):
                    return
                if last:
                    raise self._replaced()
                if opened.st_ino != self._inode:
                    # User code in this process closed the descriptor and opened something else,
                    # which got its number and isn't ours to close.
                    self._kept.fd = -1
            self.reopen()

    def read(self, start: int, count: int = CHUNK) -> bytes:
        """Return up to ``count`` bytes from offset ``start``, fewer at the end of the file."""
        try:
            if self.coherent:
                count = min(count, max(0, os.fstat(self._kept.fd).st_size - start))
            return self._read(start, count) if count else b""
        except OSError as error:
            if error.errno not in _STALE:
                raise self._trouble("read", error) from error
            self.reopen()
        try:
            return self._read(start, count)
        except OSError as error:
            raise self._trouble("read", error) from error

    def _read(self, start: int, count: int) -> bytes:
        # A large buffer for a few bytes would cost more than the few bytes do.
        data = os.pread(self._kept.fd, min(count, _SMALL), start)
        if len(data) == _SMALL < count:
            data += os.pread(self._kept.fd, count - _SMALL, start + _SMALL)
        return data

    # -- writing ---------------------------------------------------------------------------------

    def append(self, data: bytes) -> tuple[int, int]:
        """Write at the end, with one write; return how many bytes were taken, and the offset behind
        them as far as this host can tell."""
        try:
            written = self._write(data)
            return written, os.lseek(self._kept.fd, 0, os.SEEK_CUR)
        except OSError as error:
            raise self._trouble("write to", error) from error

    def _write(self, data: bytes) -> int:
        """Write; on a FUSE file system past this host's page cache, where that can be had.

        A client that thinks the file shorter than it is keeps what it appends in its page cache
        where it thinks that it is, in the place of another client's frame: whoever reads on this
        host then reads a journal that isn't there. And a write that crosses a page is sent in two
        requests, between which another client's may land. The flag is set on this side alone: many
        a server couldn't write any number of bytes with it.
        """
        fd = self._kept.fd
        if self.coherent:
            return os.write(fd, data)
        if self._direct is None:
            kind = mounts.mount_of(os.path.dirname(self.path)).kind
            self._direct = kind.startswith("fuse.")
        if self._direct:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            try:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
                return os.write(fd, data)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._direct = False  # this one has no such way
            finally:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        return os.write(fd, data)

    def sync(self) -> None:
        """Return when what was written is where a crash of the host doesn't reach it."""
        try:
            os.fdatasync(self._kept.fd)
        except OSError as error:
            raise self._trouble("write to", error) from error

    # -- telling ---------------------------------------------------------------------------------

    def full(self) -> StorageError:
        """Return the error of a disk that takes only a part of what it is given."""
        return self._trouble("write to", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _missing(self) -> StorageError:
        if self._head:
            return StorageError(
                f"the database {self.path} was removed while it was in use",
                "Put it back, or start anew with 'orion-hpc submit'.",
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
        # A file system that turned read-only under a running worker may turn back.
        unusable = error.errno in _UNUSABLE and not self._head
        return (StorageUnusable if unusable else StorageError)(
            f"can't {verb} the database {self.path}: {error.strerror}",
            _HINTS.get(error.errno or 0, "Check the file system it lies on."),
        )
