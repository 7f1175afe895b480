"""The pickle database: a journal in one file on shared storage, written under a lock.

The format is :mod:`orion_hpc.journal.framing`'s, and an event's wire form
:mod:`orion_hpc.model.wire`'s. This module holds the protocol; its parts are the reader, the writer
and the recovery in the modules beside it. Another program that follows these steps with the same
format can use the same database:

*Append.* Take the lock of the kind that the header names. Read and replay what is new. Call the
plan. If torn bytes stand at the end, put a seal before the frame: with the lock held no writer is
in the middle of its write, so a dead one left them. Write seal and frame with one ``write``, behind
the last byte. Then read back up to the own frame and replay: only that shows whether the events
won. The frame carries the writer's own count of its transactions. Replay accepts each count once,
so a frame that is in the file twice counts once.

On a file system that is coherent on this host (ext4, xfs, …) the read-back is free if the frame
landed at the reader's place, and the ``fdatasync`` comes after the lock is released. Whatever
builds on a frame stands behind it, so what survives a crash of the host is a prefix, and the kernel
groups the syncs of many workers. Elsewhere every append is synced before the lock is released, and
nothing of this host's page cache is trusted (see :func:`orion_hpc.sharedfs.mounts.access`).

*A writer that stood still*, with its host or cut off from the file server, may have lost the lock
meanwhile. NFS 4 refuses its write then; it takes the lock again and reads again. A lease refuses
nothing: a late write may overwrite what others appended. Three things protect against that. Nothing
is acknowledged after the lease's time without a second look under a new lease. Each frame names its
predecessor, and the name of a file beside the database names the frame that was acknowledged last,
so that a lost frame is noticed. And each writer keeps a copy of all that it appends in a file of
its own (:mod:`orion_hpc.journal.write_ahead`), from which any process can restore the frame.

*Read.* Takes no lock and reads to the last whole frame. Bytes that are no frame are a write in
progress, or torn, as long as nothing follows them. If a whole frame follows, they are read again
through a fresh descriptor, because a stale cache looks like that; if that doesn't help, they are
damage. Damage is never passed over. A reader whose last frame is no longer in the file (it had been
in this host's page cache only, or was overwritten) reads the whole file again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from orion_hpc.errors import StorageError
from orion_hpc.journal import creation
from orion_hpc.journal.base import Plan
from orion_hpc.journal.database_file import DatabaseFile, LockLost
from orion_hpc.journal.framing import JournalHeader
from orion_hpc.journal.journal_recovery import JournalRecovery
from orion_hpc.journal.reader import JournalReader
from orion_hpc.journal.writer import JournalWriter, Transaction
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.host_queue import HostQueue
from orion_hpc.sharedfs.lock import DatabaseLock, lock_path

_LOCK_TIMEOUT = 120.0
_READ_BACK_TIMEOUT = {False: 10.0, True: 0.5}
"""Seconds; by whether reads come from the server itself, and no cache can hide what is written."""

_TRIES = 3


class PickledDB:
    """One reader and writer of a database file.

    Parameters
    ----------
    path : str
        The file. It must exist; :meth:`create` creates it.
    follows : callable, default everything
        See :class:`~orion_hpc.model.state.State`.
    lock_timeout : float, default 120
        Seconds to wait for the lock.
    hurried : callable
        Whether to give up waiting for it after a few seconds, because the job is being stopped.
    file : DatabaseFile, default that of ``path``
        For tests: a file system that lies.

    Raises
    ------
    StorageUnusable
        There is no such file, it is no database, it belongs to another user, or a newer version
        made it.
    """

    def __init__(
        self,
        path: str,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
        lock_timeout: float = _LOCK_TIMEOUT,
        hurried: Callable[[], bool] = lambda: False,
        file: DatabaseFile | None = None,
    ) -> None:
        self.path = creation.real_path(path)
        self._file = file = file or DatabaseFile.at(self.path)
        with self._opened():
            header = creation.read_header(file)
        self.id = header.id
        self.lock = header.lock
        self.group = header.group
        self._refreshed = False
        copies = layout.write_ahead_folder(self.path, self.id) if header.has_copies else None
        self._reader = JournalReader(file, header, follows)
        lock = self._make_lock(header, lock_timeout, hurried)
        self._writer = JournalWriter(self._reader, lock, copies)
        self._recovery = JournalRecovery(self._reader, self._writer, copies)

    def _make_lock(
        self, header: JournalHeader, timeout: float, hurried: Callable[[], bool]
    ) -> DatabaseLock:
        file = self._file
        return DatabaseLock(
            lock_path(self.path, header.lock),
            header.lock,
            timeout,
            hurried=hurried,
            mode=creation.file_mode(header.group),
            local=file.coherent,
            own=file if file.fenced else None,
            queue=None if file.coherent else HostQueue(self.path),
        )

    @classmethod
    def create(
        cls,
        path: str,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
        lock: str | None = None,
        group: bool = False,
    ) -> PickledDB:
        """Open the database, which is created first where there is none.

        Parameters
        ----------
        path, follows
            As of the class.
        lock : str, optional
            The kind of lock of a new one, by default what fits the file system. It stays in the
            file: hosts see different mount tables and must not choose differently.
        group : bool, default False
            Whether the members of the file's group may use a new one.

        Raises
        ------
        StorageUnusable
            It can't be created; nothing is left.
        """
        path = creation.real_path(path)
        if not creation.is_there(path):
            creation.create(path, lock, group)
        return cls(path, follows)

    @property
    def state(self) -> State:
        return self._reader.replay.state

    def position(self) -> int:
        return self._file.position()

    def close(self) -> None:
        self._writer.lock.close()
        self._file.close()

    def refresh(self) -> State:
        with self._opened():
            left = self._recovery.catch_up()
            if not self._refreshed:
                self._recovery.find_last_acknowledged(left)
                self._refreshed = True
        return self.state

    def recover(self) -> None:
        """Put back into the file what was destroyed of it, from the writers' copies.

        Every transaction does that first; this is for processes that only read. The lock is taken
        if needed.
        """
        self.refresh()
        if self._recovery.is_needed:
            with self._writer.lock.held(self._look_ahead), self._opened(writable=True):
                self._recovery.prepare_append()

    def transact(self, number: int, plan: Plan) -> State:
        writer = self._writer
        writer.renew_after_fork()
        payload, counter = b"", writer.counter
        own: Transaction | None = None
        trouble: LockLost | None = None
        for _ in range(_TRIES):
            try:
                with writer.lock.held(self._look_ahead), self._opened(writable=True):
                    last, left = self._recovery.prepare_append()
                    if own is None:
                        events = plan(self.state)
                        if not events:
                            return self.state
                        writer.check_lock()
                        payload, own = writer.encode(events)
                    elif writer.has_replayed(number, counter):
                        writer.acknowledge(last, self._reader.replay.last)
                        return self.state
                    link, end = writer.append(number, payload, left)
                    if not self._file.coherent:
                        self._file.sync()
                    writer.acknowledge(last, link)
            except LockLost as error:
                trouble = error
                continue
            if self._file.coherent and link.at == self._reader.replay.offset:
                self.state.apply(number, *own)
                self._reader.replay.pass_by(link, end)
            # A frame that doesn't come back, because another client overwrote it, is written again.
            # It carries the writer's count, and so can't count twice.
            if self._read_back(number, counter):
                break
        else:
            raise trouble or self._hidden()
        if self._file.coherent:
            self._file.sync()
        writer.acknowledged[number] = counter
        return self.state

    def _look_ahead(self) -> None:
        """Replay what others write while this process waits for the lock.

        Under the lock everyone else would wait for it: each of a thousand workers replays a
        thousand frames between two of its own. Errors are ignored here: what still can't be read
        under the lock is reported there.

        On a file system that isn't coherent the holder syncs before it releases the lock, and a
        sync may fail. What this host's cache shows until then may never get into the file. A frame
        with another one behind it was synced. What is read past the cache is in the file.
        """
        with suppress(StorageError), self._opened():
            self._reader.advance(but_last=not (self._file.coherent or self._file.direct))

    def _read_back(self, number: int, counter: int) -> bool:
        """Read until the own transaction has been replayed; return whether it was.

        A client's cache may hide it for a while; a freshly opened file shows it.
        """
        writer = self._writer
        deadline = time.monotonic() + _READ_BACK_TIMEOUT[self._file.direct]
        pause = 0.001
        while not writer.has_replayed(number, counter):
            with self._opened():
                left = self._recovery.catch_up()
            if writer.has_replayed(number, counter):
                break
            # Bytes that stay are torn, and in the way: the next write seals them.
            if time.monotonic() > deadline or (left and pause > 0.1):
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        return True

    def _hidden(self) -> StorageError:
        return StorageError(
            f"{self.path}: what was just written doesn't come back on reading (the file can be "
            f"read up to {self._reader.replay.offset})",
            "The file system hides its own writes; look into its mount options.",
        )

    @contextmanager
    def _opened(self, writable: bool = False) -> Iterator[None]:
        self._file.open(writable)
        try:
            yield
        finally:
            self._file.done()
