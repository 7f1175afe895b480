"""A file on a server that clients see through caches that lie, in place of a real one.

Each client has a view of its own: an old length of the file, or its present length with a stretch
of zeros where a page has not been fetched yet. A fresh descriptor brings another view, and after
some lies the true one. What is appended lands at the server's end, whole or in part, and the client
may be told otherwise. What is done to it is decided by the tests.

Or the clients see the server's bytes, and it is they who say where a write goes: one that comes
late goes over what others appended meanwhile (:class:`DirectFile`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from orion_hpc.errors import StorageError
from orion_hpc.journal.database_file import CHUNK


class Killed(BaseException):
    """The process dies here."""


class Lie(NamedTuple):
    """What a fresh look shows: the file up to ``upto``, with zeros from ``hole`` on for ``length``
    bytes. All three are fractions of what is beyond the header."""

    upto: float
    hole: float = 1.0
    length: float = 0.0


class Fault(NamedTuple):
    """What becomes of the next append: the part of it that lands, and what the writer learns.

    ``then`` is ``"dies"``, ``"error"``, or ``"short"`` for a write that says how much it took.
    """

    lands: float
    then: str


class Server:
    """The true file."""

    def __init__(self, header: bytes) -> None:
        self.header = len(header)
        self.data = bytearray(header)
        self.late: list[Late] = []
        self.leases = 0

    def land(self, late: Late) -> None:
        """Let a write reach the file; what lies between its end and the write's place reads as
        zeros."""
        self.data += bytes(max(0, late.end - len(self.data)))
        self.data[late.end : late.end + len(late.data)] = late.data

    def view(self, lie: Lie | None) -> bytes:
        """Return what a client sees."""
        if lie is None:
            return bytes(self.data)
        body = self.data[self.header :]
        seen = bytearray(body[: int(lie.upto * len(body))])
        start, size = int(lie.hole * len(seen)), int(lie.length * len(seen))
        seen[start : start + size] = bytes(len(seen[start : start + size]))
        return bytes(self.data[: self.header] + seen)


class LyingFile:
    """A client's file, in place of an :class:`orion_hpc.journal.database_file.DatabaseFile`.

    ``vanishes`` is called when the next append is synced: what others do who see it in the cache
    that they share with the writer. Then it is gone, since the sync fails.
    """

    coherent = False
    direct = False
    fenced = False

    def __init__(self, path: str, server: Server) -> None:
        self.path = path
        self.server = server
        self.lies: list[Lie] = []
        self.fault: Fault | None = None
        self.sync_fails = False
        self.vanishes: Callable[[], None] | None = None
        self._appended = 0
        self._view = server.view(None)

    def open(self, writable: bool = False) -> None:
        self.reopen()

    def reopen(self, writable: bool | None = None) -> None:
        self._view = self.server.view(self.lies.pop() if self.lies else None)

    def remember(self, head: bytes) -> None:
        pass

    def done(self) -> None:
        pass

    def close(self) -> None:
        pass

    def check_in_place(self) -> None:
        pass

    def position(self) -> int:
        return len(self._view)

    def size(self) -> int:
        return len(self._view)

    def ends_at(self, offset: int) -> bool:
        return False  # as without a lock on this very file

    def status(self) -> os.stat_result:
        return os.stat("/proc/self")

    def read(self, start: int, count: int = CHUNK) -> bytes:
        return self._view[start : start + count]

    def append(self, data: bytes, end: int) -> tuple[int, int]:
        fault, self.fault = self.fault, None
        landed = data if fault is None else data[: int(fault.lands * len(data))]
        self.server.data += landed
        self._appended = len(landed)
        # The client sees what it wrote behind what it knew of, wherever that was.
        self._view += landed
        if fault is not None and fault.then == "dies":
            raise Killed
        if fault is not None and fault.then == "error":
            raise StorageError("the file server is in trouble")
        return len(landed), len(self._view)

    def sync(self) -> None:
        vanishes, self.vanishes = self.vanishes, None
        if vanishes is not None:
            vanishes()
            del self.server.data[len(self.server.data) - self._appended :]
            raise StorageError("the disk is full")
        if self.sync_fails:
            self.sync_fails = False
            raise StorageError("the file server is in trouble")

    def full(self) -> StorageError:
        return StorageError("the disk is full")


class Late(NamedTuple):
    """A write that is held up: what it writes, and where."""

    end: int
    data: bytes


class DirectFile(LyingFile):
    """A client's file that is read from the server, and written at offsets that the client names.

    ``held_up`` is called when the next write is on its way: what happens meanwhile. ``then`` is
    what becomes of it: it ``"lands"`` over whatever stands there by then; or the process
    ``"dies"``, or gets an ``"error"``, and the write lands some time (:attr:`Server.late`), or
    never.
    """

    direct = True

    def __init__(self, path: str, server: Server) -> None:
        super().__init__(path, server)
        self.held_up: Callable[[], None] | None = None
        self.then = "lands"

    def reopen(self, writable: bool | None = None) -> None:
        pass

    def position(self) -> int:
        return len(self.server.data)

    def read(self, start: int, count: int = CHUNK) -> bytes:
        return bytes(self.server.data[start : start + count])

    def append(self, data: bytes, end: int) -> tuple[int, int]:
        held_up, self.held_up = self.held_up, None
        then, self.then = self.then, "lands"
        if held_up is not None:
            held_up()
        late = Late(end, data)
        if then == "lands":
            self.server.land(late)
            return len(data), end + len(data)
        self.server.late.append(late)
        if then == "dies":
            raise Killed
        raise StorageError("the file server is in trouble")


class Lease:
    """A lease on the server's file: whoever wants it has it, since a holder that was held up for
    long has lost it. It can tell that much."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._number = 0

    @property
    def overdue(self) -> bool:
        return self._server.leases != self._number

    @contextlib.contextmanager
    def held(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        meanwhile()
        self._server.leases += 1
        self._number = self._server.leases
        yield

    def close(self) -> None:
        """Nothing is open."""


class NoLock:
    """A lock that excludes nobody."""

    overdue = False

    @contextlib.contextmanager
    def held(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        meanwhile()
        yield

    def close(self) -> None:
        """Nothing is open."""
