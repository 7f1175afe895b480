"""A file on a server that clients see through caches that lie, in place of a real one.

Each client has a view of its own: an old length of the file, or its present length with a stretch
of zeros where a page has not been fetched yet. A fresh descriptor brings another view, and after
some lies the true one. What is appended lands at the server's end, whole or in part, and the client
may be told otherwise. What is done to it is decided by the tests.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from orion_hpc.errors import StorageError
from orion_hpc.files.database_file import CHUNK


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
    """A client's file, in place of an :class:`orion_hpc.files.database_file.DatabaseFile`."""

    coherent = False

    def __init__(self, path: str, server: Server) -> None:
        self.path = path
        self.server = server
        self.lies: list[Lie] = []
        self.fault: Fault | None = None
        self.sync_fails = False
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

    def status(self) -> os.stat_result:
        return os.stat("/proc/self")

    def read(self, start: int, count: int = CHUNK) -> bytes:
        return self._view[start : start + count]

    def append(self, data: bytes) -> tuple[int, int]:
        fault, self.fault = self.fault, None
        landed = data if fault is None else data[: int(fault.lands * len(data))]
        self.server.data += landed
        # The client sees what it wrote behind what it knew of, wherever that was.
        self._view += landed
        if fault is not None and fault.then == "dies":
            raise Killed
        if fault is not None and fault.then == "error":
            raise StorageError("the file server is in trouble")
        return len(landed), len(self._view)

    def sync(self) -> None:
        if self.sync_fails:
            self.sync_fails = False
            raise StorageError("the file server is in trouble")

    def full(self) -> StorageError:
        return StorageError("the disk is full")


class NoLock:
    """A lock that excludes nobody."""

    overdue = False

    @contextlib.contextmanager
    def held(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        meanwhile()
        yield

    def close(self) -> None:
        """Nothing is open."""
