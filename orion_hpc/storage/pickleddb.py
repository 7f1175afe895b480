"""The pickle database: a journal in one file on shared storage, written under a lock.

The format is :mod:`orion_hpc.files.framing`'s, and what an event is on the wire
:mod:`orion_hpc.model.wire`'s; this module knows how to append and how to read. Who follows these
steps with the same format writes into the same database:

*Append.* Take the lock of the kind that the header names. Look at the file, and replay what is new.
Ask the plan. Put a seal before the frame if torn bytes stand at the end: with the lock held no
writer is in the middle of its write, so a dead one left them. Write seal and frame with one
``write`` to a descriptor in append mode, so that the file server and not a stale size decides where
they land. Then read back up to the own frame and replay: only that tells whether the events won.
The frame carries the writer's own count of its transactions; replay takes a count once, so a frame
that a file system wrote twice counts once.

On a file system that is coherent on this host (ext4, xfs, …) the read-back is free when the frame
went where the reader stands, and the ``fdatasync`` happens after the lock is released: whatever
builds on a frame stands behind it, so what survives a crash of the host is a prefix, and the kernel
groups the syncs of many workers. Elsewhere every append opens the file afresh and syncs before it
lets go of the lock.

*Read.* Takes no lock and reads to the last whole frame. Bytes that are no frame are a write in
progress, or torn, while nothing follows them; with a whole frame behind them they are looked at
again through a fresh descriptor, because a stale cache looks like that, and are damage if that
doesn't help. Damage is never passed over.
"""

from __future__ import annotations

import gc
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.files import creation, framing, mounts, plain
from orion_hpc.files.database_file import CHUNK, DatabaseFile
from orion_hpc.files.lock import DatabaseLock
from orion_hpc.model import wire
from orion_hpc.model.event import Event
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.storage.base import Plan

_LOCK_TIMEOUT = 120.0
_READ_BACK_TIMEOUT = 10.0
_TRIES = 3
_HEADER_LIMIT = 1 << 17
_STALE_WAITS = (0.0, 0.01, 0.1, 1.0)
"""Seconds between the looks that tell a stale cache from damage."""

_LOOKS_AT_TORN = 2

_SHORT_WRITES = 3
"""How often a write that was cut short, by a signal or a full disk, is made again."""

_MANY_BYTES = 1 << 20

_OTHER_FILE = "Choose another file with 'storage:' in the configuration or --storage."
_GARBAGE = (pickle.UnpicklingError, ValueError, TypeError, KeyError, RecursionError)


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
    file : DatabaseFile, default that of ``path``
        For tests: a file system that lies.

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
        file: DatabaseFile | None = None,
    ) -> None:
        self.path = creation.real_path(path)
        if file is None:
            coherent = mounts.is_coherent(mounts.mount_of(os.path.dirname(self.path)))
            file = DatabaseFile(self.path, coherent)
        self._file = file
        self._state = State(follows)
        self._pid = os.getpid()
        self._writer = os.urandom(8).hex()
        self._counter = 0
        self._looks: dict[int, int] = {}
        header, self._offset = self._read_header()
        self.id: str = header["id"]
        self.lock: str = header["lock"]
        self.group: bool = header.get("group") is True
        mode = creation.file_mode(self.group)
        self._lock = DatabaseLock(
            f"{self.path}.lock",
            self.lock,
            lock_timeout,
            hurried=hurried,
            mode=mode,
            local=file.coherent,
        )

    @classmethod
    def create(
        cls,
        path: str,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
        lock: str | None = None,
        group: bool = False,
    ) -> PickledDB:
        """Open the database, which is made first where there is none.

        Parameters
        ----------
        path, follows
            As of the class.
        lock : str, optional
            The kind of lock of a new one, by default what fits the file system. It stands in the
            file for ever: hosts see different mount tables and mustn't choose differently.
        group : bool, default False
            Whether the members of the file's group may use a new one.

        Raises
        ------
        StorageUnusable
            It can't be made; nothing is left.
        """
        path = creation.real_path(path)
        if not os.path.lexists(path):
            kind = lock or mounts.lock_kind(mounts.mount_of(os.path.dirname(path)))
            header = {
                "lock": kind,
                "id": os.urandom(16).hex(),
                **({"group": True} if group else {}),
            }
            creation.publish(path, framing.encode_header(header), creation.file_mode(group))
        return cls(path, follows)

    @property
    def state(self) -> State:
        return self._state

    def refresh(self) -> State:
        with self._opened():
            self._catch_up()
        return self._state

    def transact(self, number: int, plan: Plan) -> State:
        self._be_one_writer()
        frame, counter = b"", self._counter
        for _ in range(_TRIES):
            with self._lock.held(self._look_ahead), self._opened(writable=True):
                self._file.check_in_place()
                tail = self._catch_up(mend=True)
                if not frame:
                    events = plan(self._state)
                    if not events:
                        return self._state
                    frame, own = self._frame(number, events)
                elif self._has(number, counter):
                    return self._state
                start = self._append(frame, tail)
                if not self._file.coherent:
                    self._file.sync()
            if self._file.coherent and start == self._offset:
                self._offset += len(frame)
                self._state.apply(number, *own)
            # A frame that doesn't come back, because another client wrote over it, is written
            # again: it carries the writer's count, and so can't count twice.
            if self._read_back(number, counter):
                break
        else:
            raise StorageError(
                f"{self.path}: what was just written doesn't come back on reading (the file can be "
                f"read up to {self._offset})",
                "The file system hides its own writes; look into its mount options.",
            )
        if self._file.coherent:
            self._file.sync()
        return self._state

    def position(self) -> int:
        return self._file.position()

    def close(self) -> None:
        self._lock.close()
        self._file.close()

    @contextmanager
    def _opened(self, writable: bool = False) -> Iterator[None]:
        self._file.open(writable)
        try:
            yield
        finally:
            self._file.done()

    # -- reading ---------------------------------------------------------------------------------

    def _read_header(self) -> tuple[dict[str, Any], int]:
        with self._opened():
            data = self._file.read(0, _HEADER_LIMIT)
            status = self._file.status()
        try:
            decoded = framing.decode_header(data)
        except framing.NewerVersion as error:
            raise StorageUnusable(
                f"{self.path} was made by a newer version of orion-hpc "
                f"(its format is {error.version}, this one reads up to {framing.VERSION})",
                "Upgrade with: pip install --upgrade orion-hpc",
            ) from None
        except (framing.NotAJournal, pickle.UnpicklingError):
            raise StorageUnusable(
                f"{self.path} isn't a database of orion-hpc", _OTHER_FILE
            ) from None
        if decoded is None:
            raise StorageUnusable(
                f"{self.path} is empty"
                if not data
                else f"{self.path} isn't a whole database of orion-hpc",
                _OTHER_FILE,
            )
        creation.check_owner(self.path, status, shared=decoded[0].get("group") is True)
        self._file.remember(data[: decoded[1]])
        return decoded

    def _catch_up(self, mend: bool = False) -> bool:
        """Replay every whole frame from where this reader stands; return whether bytes are left.

        Bytes that are left are a write in progress or a torn one. A whole frame beyond them means
        that they are neither: a stale cache, if a freshly opened file shows them whole; or a torn
        write that the next writer didn't see, which is sealed here if ``mend`` says that the lock
        is held, and read up to else; or damage.
        """
        looks, mended = 0, -1
        while True:
            before = self._offset
            rest = self._replay_new()
            beyond = None if rest is None else self._frame_beyond(rest)
            if rest is not None and beyond is None:
                return bool(rest)
            if self._offset > before:
                looks = 0
            if looks < len(_STALE_WAITS):
                time.sleep(_STALE_WAITS[looks])
                looks += 1
                self._file.reopen()
            elif rest and beyond and framing.cut_short(rest, beyond - self._offset):
                if not mend or mended == self._offset:
                    return True
                self._file.append(framing.encode_seal(self._offset, beyond))
                mended = self._offset
                looks = 0
            else:
                raise self._damage(rest, beyond)

    def _look_ahead(self) -> None:
        """Replay what others write while this one waits for the lock.

        Under the lock everyone else would wait for it: a thousand workers each replay a thousand
        frames between two of their own. What can't be read now is told under the lock, if it still
        can't be then.

        On a file system that isn't coherent the holder syncs before it lets go, and a sync may
        fail: what this host's cache shows until then never was in the file. A frame with another
        one behind it was synced.
        """
        with suppress(StorageError), self._opened():
            self._replay_new(but_last=not self._file.coherent)

    def _frame_beyond(self, rest: bytes) -> int | None:
        """Return where behind no frame at all one begins again; 0 if that can't be told."""
        try:
            beyond = framing.whole_frame_beyond(rest, 0, self._offset) if rest else None
        except framing.Overwhelmed:
            return 0
        return beyond.start if beyond else None

    def _damage(self, rest: bytes | None, beyond: int | None) -> DamagedDatabase:
        if rest is None:
            trouble = f"is shorter than it was: {self._offset} bytes of it were read before"
        else:
            trouble = f"is damaged at offset {self._offset}: no frame begins there"
            trouble += f", but one does at {beyond}" if beyond else ""
        return DamagedDatabase(
            f"{self.path} {trouble}",
            f"Stop the workers. 'orion-hpc db check {self.path}' tells more, and 'orion-hpc db "
            "repair' saves what is whole.",
        )

    def _replay_new(self, but_last: bool = False) -> bytes | None:
        """Replay the whole frames; return the bytes behind them, None if the file was cut.

        ``but_last`` leaves the last one for another time.
        """
        size = self._file.size()
        if size < self._offset:
            return None
        with _many_objects(size - self._offset > _MANY_BYTES):
            rest = b""
            while True:
                more = self._file.read(self._offset + len(rest))
                if not more:
                    return rest
                data = rest + more if rest else more
                begin = self._offset
                kept: framing.Frame | None = None
                for frame in framing.frames(data, begin):
                    if framing.passes_over(frame) and self._doubts(frame):
                        return data[self._offset - begin :]
                    if but_last:
                        kept, frame = frame, kept
                        if frame is None:
                            continue
                    self._replay(frame)
                    self._offset = frame.end
                rest = data[self._offset - begin :]
                if len(rest) >= framing.LONGEST_TORN or len(more) < CHUNK:
                    return rest

    def _doubts(self, seal: framing.Frame) -> bool:
        """Whether a seal isn't believed yet that says that the bytes before it are torn.

        A stale page of a cache looks like torn bytes, and the one behind it may be fresh. Passing
        over a good frame would be for ever, so fresh looks have to say the same.
        """
        if self._file.coherent:
            return False
        self._looks[seal.start] = self._looks.get(seal.start, 0) + 1
        return self._looks[seal.start] <= _LOOKS_AT_TORN

    def _replay(self, frame: framing.Frame) -> None:
        if frame.experiment not in self._state.followed:
            return
        try:
            transaction = wire.decode_transaction(plain.loads(frame.payload))
            self._state.apply(frame.experiment, *transaction)
        except _GARBAGE as error:
            raise DamagedDatabase(
                f"{self.path} holds at offset {frame.start} what no version of orion-hpc writes: "
                f"{error}",
                "Don't use this file: somebody or something else has written into it.",
            ) from error

    def _read_back(self, number: int, counter: int) -> bool:
        """Read until the own transaction has been replayed; return whether it was.

        A client's cache may show the file without it for a while; freshly opened it comes to light.
        """
        deadline = time.monotonic() + _READ_BACK_TIMEOUT
        pause = 0.001
        while not self._has(number, counter):
            with self._opened():
                left = self._catch_up()
            if self._has(number, counter):
                break
            # Bytes that stay are torn, and in the way: what is written next seals them.
            if time.monotonic() > deadline or (left and pause > 0.1):
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        return True

    def _has(self, number: int, counter: int) -> bool:
        return self._state.seen(number, self._writer) >= counter

    # -- writing ---------------------------------------------------------------------------------

    def _frame(
        self, number: int, events: Sequence[Event]
    ) -> tuple[bytes, tuple[str, int, list[Event]]]:
        """Return the frame of a transaction, and what a reader gets from it."""
        payload = plain.dumps(wire.encode_transaction(self._writer, self._counter, events))
        # What no reader takes isn't written; and nobody shares a mutable value with the plan.
        own = wire.decode_transaction(plain.loads(payload))
        self._counter += 1
        return framing.encode_frame(number, payload), own

    def _be_one_writer(self) -> None:
        """Be another one than the process that this one was forked from: two with one name and one
        count would take each other's transactions for their own."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._writer = os.urandom(8).hex()
            self._counter = 0

    def _append(self, frame: bytes, tail: bool) -> int:
        """Append the frame, behind a seal if there is a torn tail; return where it seems to start.

        Of a write that is cut short the taken bytes are a torn tail for the next one.
        """
        if self._lock.overdue:
            raise StorageError(
                f"this process was held up for so long that the lock of {self.path} may be "
                "another's now; nothing was written",
                "Try again.",
            )
        for _ in range(_SHORT_WRITES):
            seal = framing.encode_seal(self._offset) if tail else b""
            written, end = self._file.append(seal + frame)
            if written == len(seal) + len(frame):
                return end - len(frame)
            tail = tail or written > 0
        raise self._file.full()


@contextmanager
def _many_objects(many: bool) -> Iterator[None]:
    """Have no garbage looked for in the block: it makes many objects, all of which are kept."""
    pause = many and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()
