"""Appending to the journal: a writer's identity, its count of transactions, the write itself.

The caller holds the lock and has read all there is. Whether a frame arrived is found out by reading
back, in :mod:`orion_hpc.journal.pickleddb`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeAlias

from orion_hpc.journal import framing, safe_pickle
from orion_hpc.journal.database_file import LockLost
from orion_hpc.journal.framing import Link
from orion_hpc.journal.reader import JournalReader
from orion_hpc.journal.write_ahead import LastFrame, WriteAheadLog
from orion_hpc.model import wire
from orion_hpc.model.event import Event
from orion_hpc.sharedfs.lock import DatabaseLock

_SHORT_WRITES = 3
"""How often a write is tried that a signal or a full disk cuts short."""

Transaction: TypeAlias = tuple[str, int, list[Event]]
"""Writer, its count, events: as :meth:`~orion_hpc.model.state.State.apply` takes them."""


class JournalWriter:
    """Appends frames behind what a reader has read.

    Parameters
    ----------
    reader : JournalReader
        Of the same process.
    lock : DatabaseLock
    copies : str, optional
        The folder in which each writer keeps a copy of what it appends; None where no late write
        can destroy a frame.

    Attributes
    ----------
    name : str
        Names this writer in its transactions. Unique.
    counter : int
        The count that the next transaction carries.
    acknowledged : dict of int to int
        By experiment number, the count of the last transaction that was reported as recorded.
    last_frame : LastFrame or None
        Names the frame of any writer that was acknowledged last; None without copies.
    """

    def __init__(self, reader: JournalReader, lock: DatabaseLock, copies: str | None) -> None:
        self.lock = lock
        self._reader = reader
        self._file = reader.file
        self._copies = copies
        self.last_frame = LastFrame(copies) if copies else None
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self.name = os.urandom(8).hex()
        self.counter = 0
        self.acknowledged: dict[int, int] = {}
        self._write_ahead: WriteAheadLog | None = None

    def renew_after_fork(self) -> None:
        """Take a new name after a fork.

        Two processes with the same name and count would take each other's transactions for their
        own.
        """
        if self._pid != os.getpid():
            self._start()

    # -- transactions ----------------------------------------------------------------------------

    def encode(self, events: Sequence[Event]) -> tuple[bytes, Transaction]:
        """Return the payload of the next transaction, and what a reader decodes from it.

        Raises
        ------
        TypeError, ValueError
            No reader would accept it.
        """
        payload = safe_pickle.dumps(wire.encode_transaction(self.name, self.counter, events))
        # Decoded for two reasons: what no reader takes must not be written, and the state must not
        # share a mutable value with the plan.
        own = wire.decode_transaction(safe_pickle.loads(payload))
        framing.encode_frame(0, payload)
        self.counter += 1
        return payload, own

    def has_replayed(self, number: int, counter: int) -> bool:
        """Return whether this writer's transaction of that count is in the state."""
        return self._reader.replay.state.seen(number, self.name) >= counter

    def lacks_own(self) -> bool:
        """Return whether a transaction is missing that was reported as recorded."""
        return any(not self.has_replayed(*one) for one in self.acknowledged.items())

    def acknowledge(self, last: Link | None, link: Link) -> None:
        """Record ``link`` as the frame that was acknowledged last, in place of ``last``.

        Raises
        ------
        LockLost
            Another writer has recorded another frame meanwhile.
        """
        if last is None or last == link or self.last_frame is None:
            return
        if not self.last_frame.advance(last, link):
            raise self._overdue("what was written has to be looked for")

    # -- writing ---------------------------------------------------------------------------------

    def check_lock(self) -> None:
        """Raise :class:`LockLost` if the lock may be another process's by now."""
        if self.lock.overdue:
            raise self._overdue("nothing was written")

    def append(self, number: int, payload: bytes, left: int) -> tuple[Link, int]:
        """Append a frame, behind a seal if torn bytes stand at the end of the file.

        A write that is cut short leaves torn bytes for the next try.

        Parameters
        ----------
        number : int
            The experiment's.
        payload : bytes
        left : int
            How many torn bytes there are.

        Returns
        -------
        tuple
            The frame's link and its end, as far as this host can tell.
        """
        self.check_lock()
        offset = self._reader.replay.offset
        before = self._reader.predecessor
        for _ in range(_SHORT_WRITES):
            seal = framing.encode_seal(offset, None, before) if left else b""
            if seal and before is not None:
                before = framing.link_to(seal, offset + left)
            frame = framing.encode_frame(number, payload, before)
            self._keep(seal + frame)
            written, end = self._file.append(seal + frame, offset + left)
            if written == len(seal) + len(frame):
                return framing.link_to(frame, end - len(frame)), end
            left += written
            before = self._reader.predecessor
        raise self._file.full()

    def append_seal(self, onward: int | None, left: int) -> None:
        """Declare the ``left`` bytes at the reader's place torn; reading goes on at ``onward``.

        None: behind the seal.
        """
        self.check_lock()
        offset = self._reader.replay.offset
        seal = framing.encode_seal(offset, onward, self._reader.predecessor)
        self._keep(seal)
        self._file.append(seal, offset + left)
        if not self._file.coherent:
            self._file.sync()

    def _keep(self, frames: bytes) -> None:
        """Write frames into this writer's own file, where late writes may destroy them."""
        if self._copies is None:
            return
        if self._write_ahead is None:
            self._write_ahead = WriteAheadLog(self._copies, self.name)
        self._write_ahead.write(frames)

    def _overdue(self, then: str) -> LockLost:
        return LockLost(
            f"this process was held up for so long that another one may hold the lock of "
            f"{self._file.path} now; {then}",
            "Try again.",
        )
