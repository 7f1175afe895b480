"""The pickle database: a journal in one file on shared storage, written under a lock.

The format is :mod:`orion_hpc.files.framing`'s; this module knows how to append to it and to read
it.

*Append.* Take the lock; look at the file and read what is new; seal a torn tail; ask the plan;
write one frame with one ``write`` to a descriptor in append mode, so that the file server and not a
stale size decides where it lands. Then read back up to the own frame and replay: only that tells
whether the events won.

On a file system that is coherent on this host (ext4, xfs, …) the read-back is free when the frame
went where the reader stands, and the ``fdatasync`` happens after the lock is released: whatever
builds on a frame stands behind it, so what survives a crash of the host is a prefix, and the kernel
groups the syncs of many workers. Elsewhere every append opens the file afresh (close-to-open
consistency) and syncs before it lets go of the lock.

*Read.* Takes no lock and reads to the last whole frame.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import stat
import time
from collections.abc import Callable, Iterator

from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.files import framing, layout, mounts, plain
from orion_hpc.files.lock import DatabaseLock
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.storage.base import Plan

_CHUNK = 4 * 1024 * 1024
_LOCK_TIMEOUT = 120.0
_READ_BACK_TIMEOUT = 30.0
_HEADER_LIMIT = 1 << 17
_STALE_WAITS = (0.0, 0.01, 0.1, 1.0)
"""Seconds between the looks that tell a stale cache from damage."""


class PickledDB:
    """One reader and writer of a database file.

    Parameters
    ----------
    path : str
        The file. It must exist; :meth:`create` makes it.
    follows : callable, default everything
        See :class:`~orion_hpc.model.state.State`.
    lock_timeout : float, default 120
        Seconds to wait for the lock.
    hurried : callable
        Whether to wait for it no longer than a few seconds: a job that is told to stop has no more.

    Raises
    ------
    StorageUnusable
        There is no such file, it is no database, it belongs to somebody else, or it was made by a
        newer version.
    """

    def __init__(
        self,
        path: str,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
        lock_timeout: float = _LOCK_TIMEOUT,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        self._fd = -1
        self.path = os.path.realpath(path)
        self._state = State(follows)
        self._writer = os.urandom(8).hex()
        self._counter = 0
        self._writable = False
        self._coherent = mounts.is_coherent(mounts.mount_of(os.path.dirname(self.path)))
        self._header = b""
        """The file's first bytes, which nobody ever changes: another file has others."""
        header, self._offset = self._read_header()
        self.id: str = header["id"]
        self._lock = DatabaseLock(
            f"{self.path}.lock", header["lock"], lock_timeout, hurried=hurried
        )

    @classmethod
    def create(
        cls,
        path: str,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
        lock: str | None = None,
    ) -> PickledDB:
        """Open the database, which is made first where there is none.

        ``lock`` is the kind of lock for a new one, by default what fits the file system. It stands
        in the file for ever: hosts see different mount tables and mustn't choose differently.

        The file appears with its header in it or not at all: it is written under a name of its own
        and linked to the real one, which fails for all but one of those who race here.
        """
        path = os.path.realpath(path)
        if not os.path.lexists(path):
            kind = lock or mounts.lock_kind(mounts.mount_of(os.path.dirname(path)))
            header = framing.encode_header({"lock": kind, "id": os.urandom(16).hex()})
            try:
                with layout.provided(os.path.dirname(path)):
                    _publish(path, header)
            except OSError as error:
                raise StorageUnusable(
                    f"can't create the database {path}: {error.strerror}",
                    "Choose another place with 'storage:' in the configuration or --storage.",
                ) from error
        return cls(path, follows)

    @property
    def state(self) -> State:
        return self._state

    def refresh(self) -> State:
        with self._opened() as fd:
            self._catch_up(fd)
        return self._state

    def transact(self, number: int, plan: Plan) -> State:
        with self._lock.held(), self._opened(writable=True) as fd:
            self._check_in_place(fd)
            tail = self._catch_up(fd)
            fd = self._fd  # looking twice opens it afresh
            events = plan(self._state)
            if not events:
                return self._state
            wires = tuple(ev.encode(event) for event in events)
            payload = plain.dumps((self._writer, self._counter, wires))
            self._counter += 1
            # With the lock held no writer is in the middle of its write: bytes behind the last
            # whole frame are what a dead one left.
            seal = framing.encode_seal(self._offset) if tail else b""
            end = self._write(fd, seal + framing.encode_frame(number, payload))
            if not self._coherent:
                self._sync(fd)
        if self._coherent:
            self._catch_up(self._fd)
            self._sync(self._fd)
        else:
            self._read_back(end)
        return self._state

    def position(self) -> int:
        try:
            return os.stat(self.path).st_size
        except OSError as error:
            raise self._trouble("look at", error) from error

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # a trial in this process may have closed it
                os.close(fd)

    def __del__(self) -> None:
        self.close()

    # -- reading ---------------------------------------------------------------------------------

    def _read_header(self) -> tuple[dict[str, str], int]:
        with self._opened() as fd:
            data = os.pread(fd, _HEADER_LIMIT, 0)
        hint = "Choose another file with 'storage:' in the configuration or --storage."
        try:
            decoded = framing.decode_header(data)
        except framing.NewerVersion as error:
            raise StorageUnusable(
                f"{self.path} was made by a newer version of orion-hpc "
                f"(its format is {error.version}, this one reads up to {framing.VERSION})",
                "Upgrade with: pip install --upgrade orion-hpc",
            ) from None
        except (framing.NotAJournal, pickle.UnpicklingError):
            raise StorageUnusable(f"{self.path} isn't a database of orion-hpc", hint) from None
        if decoded is None or not {"lock", "id"} <= set(decoded[0]):
            raise StorageUnusable(f"{self.path} isn't a whole database of orion-hpc", hint)
        self._header = data[: decoded[1]]
        return decoded

    def _catch_up(self, fd: int) -> bool:
        """Replay every whole frame from where this reader stands; return whether bytes are left.

        Bytes that are left are a write in progress or a torn one. A whole frame beyond them means
        that they are neither: a stale cache, if a freshly opened file shows them whole, or damage.
        """
        later = -1
        for wait in _STALE_WAITS:
            rest = self._replay_new(fd)
            beyond = framing.whole_frame_beyond(rest, 0, self._offset) if rest else None
            if beyond is None:
                return bool(rest)
            later = beyond.start
            time.sleep(wait)
            fd = self._open(self._writable)
        raise DamagedDatabase(
            f"{self.path} is damaged at offset {self._offset}: no frame begins there, but one does "
            f"at {later}",
            "Stop the workers, and put the newest good copy of the file in its place.",
        )

    def _replay_new(self, fd: int) -> bytes:
        try:
            if os.fstat(fd).st_size < self._offset:
                raise DamagedDatabase(
                    f"{self.path} is shorter than it was: {self._offset} bytes were read before",
                    "Somebody cut or replaced the file; put the copy from before in its place.",
                )
            data = rest = os.pread(fd, _CHUNK, self._offset)
            while data:
                begin = self._offset
                for frame in framing.frames(data, begin):
                    self._replay(frame)
                    self._offset = frame.end
                rest = data[self._offset - begin :]
                more = os.pread(fd, _CHUNK, self._offset + len(rest))
                data = rest + more if more else b""
            return rest
        except OSError as error:
            raise self._trouble("read", error) from error

    def _replay(self, frame: framing.Frame) -> None:
        if frame.experiment not in self._state.followed:
            return
        try:
            writer, counter, wires = plain.loads(frame.payload)
            events = [ev.decode(wire) for wire in wires]
            self._state.apply(frame.experiment, writer, counter, events)
        except (pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DamagedDatabase(
                f"{self.path} holds at offset {frame.start} what no version of orion-hpc writes: "
                f"{error}",
                "Don't use this file: somebody or something else has written into it.",
            ) from error

    def _read_back(self, end: int) -> None:
        """Read until the own frame, which ends at ``end`` or later, has been replayed.

        A client's cache may show the file without it for a while; freshly opened it comes to light.
        """
        deadline = time.monotonic() + _READ_BACK_TIMEOUT
        while self._offset < end:
            self._catch_up(self._open(writable=False))
            if self._offset < end and time.monotonic() > deadline:
                raise StorageError(
                    f"{self.path}: what was written up to offset {end} doesn't come back on "
                    f"reading (it can be read up to {self._offset})",
                    "The file system hides its own writes; look into its mount options.",
                )

    # -- writing ---------------------------------------------------------------------------------

    def _write(self, fd: int, data: bytes) -> int:
        """Append ``data`` with one write; return the offset behind it."""
        try:
            written = os.write(fd, data)
            if written < len(data):
                # A full disk takes part of it. The next writer seals the torn bytes.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return os.lseek(fd, 0, os.SEEK_CUR)
        except OSError as error:
            raise self._trouble("write to", error) from error

    def _sync(self, fd: int) -> None:
        try:
            os.fdatasync(fd)
        except OSError as error:
            raise self._trouble("write to", error) from error

    # -- the file --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, writable: bool = False) -> Iterator[int]:
        """Give a descriptor: a kept one on a coherent file system, elsewhere a fresh one."""
        if not self._coherent or self._fd < 0 or (writable and not self._writable):
            self._open(writable)
        try:
            yield self._fd
        finally:
            if not self._coherent:
                self.close()

    def _open(self, writable: bool) -> int:
        self.close()
        # Append mode always: on a file system with stale sizes only the server knows the end.
        # O_NONBLOCK: a FIFO of this name would block the open for ever.
        flags = os.O_RDWR | os.O_APPEND if writable else os.O_RDONLY
        try:
            fd = os.open(self.path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise StorageUnusable(
                f"there is no database at {self.path}",
                "'orion-hpc submit CONFIG' makes it; or name another file with --storage.",
            ) from None
        except OSError as error:
            raise self._trouble("open", error) from error
        found = os.fstat(fd)
        trouble = ""
        if not stat.S_ISREG(found.st_mode):
            trouble = "isn't a file"
        elif found.st_uid != os.geteuid() and os.geteuid() != 0:
            trouble = f"belongs to user {found.st_uid}, not to you"
        if trouble:
            os.close(fd)
            raise StorageUnusable(
                f"{self.path} {trouble}", "Name a database file of your own with --storage."
            )
        if os.pread(fd, len(self._header), 0) != self._header:
            os.close(fd)
            raise StorageError(
                f"the database {self.path} was replaced by another file while it was in use",
                "Start the workers again so that they read the new one.",
            )
        self._fd, self._writable = fd, writable
        return fd

    def _check_in_place(self, fd: int) -> None:
        """Refuse to append to a file that its name doesn't lead to any more."""
        try:
            named, opened = os.stat(self.path), os.fstat(fd)
        except FileNotFoundError:
            raise StorageError(
                f"the database {self.path} was removed while it was in use",
                "Put it back, or start anew with 'orion-hpc submit'.",
            ) from None
        except OSError as error:
            raise self._trouble("look at", error) from error
        if (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            raise StorageError(
                f"the database {self.path} was replaced by another file while it was in use",
                "Start the workers again so that they read the new one.",
            )

    def _trouble(self, verb: str, error: OSError) -> StorageError:
        hints = {
            errno.ENOSPC: "Free some space there; then 'orion-hpc submit CONFIG' goes on.",
            errno.EDQUOT: "Your quota is used up; free some space, then submit again.",
            errno.EACCES: "Check who owns the file and its directory.",
            errno.EROFS: "The file system is mounted read-only on this host.",
        }
        kind = StorageUnusable if error.errno in (errno.EACCES, errno.EROFS) else StorageError
        return kind(
            f"can't {verb} the database {self.path}: {error.strerror}",
            hints.get(error.errno or 0, "Check the file system it lies on."),
        )


def _publish(path: str, header: bytes) -> None:
    """Let ``path`` appear with ``header`` in it, unless it is there already."""
    temporary = f"{path}.{os.urandom(6).hex()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(fd, header)
            os.fsync(fd)
        finally:
            os.close(fd)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
