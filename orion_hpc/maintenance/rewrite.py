"""Writes a new database with all undamaged transactions of a damaged one, and swaps the two.

The old file isn't changed: it gets a second name, and then the new file takes its place.
:mod:`orion_hpc.maintenance.mending` decides which events are inserted so that the rest is accepted.
The caller holds the lock and makes sure that no worker is at work.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

from orion_hpc.errors import StorageError
from orion_hpc.journal import creation, framing, safe_pickle
from orion_hpc.journal.framing import Link
from orion_hpc.maintenance.examination import Examination, Examiner
from orion_hpc.maintenance.mending import Derive, Mend, Mender, Mends
from orion_hpc.maintenance.pieces import Fault
from orion_hpc.model import wire
from orion_hpc.model.state import State
from orion_hpc.sharedfs import atomic, mounts
from orion_hpc.sharedfs.lock import DatabaseLock, lock_path

_LOCK_TIMEOUT = 60.0


@dataclass(slots=True)
class Repaired:
    """The result of a repair: the old file's new name, the new file's state, and the mends."""

    aside: str
    state: State
    mends: Mends
    frames: int
    size: int


class Repairer:
    """Repairs the database that ``examiner`` has examined.

    Parameters
    ----------
    examiner : Examiner
    derive : callable, optional
        See :mod:`orion_hpc.maintenance.mending`.
    """

    def __init__(self, examiner: Examiner, derive: Derive | None = None) -> None:
        self._examiner = examiner
        self._derive = derive or (lambda experiment, number: None)
        self._last = Link(0, 0)
        self.done: Repaired | None = None

    def steps(self, found: Examination) -> Iterator[str]:
        """Repair the database by what was ``found``, and yield the progress; set ``done``.

        Raises
        ------
        StorageError
            The new file can't be written, or the old one was changed meanwhile. Nothing is changed.
        """
        path, header = found.path, settings_of(found)
        mender = Mender(os.urandom(8).hex(), found.made, found.samples, self._derive)
        mode = creation.file_mode("group" in header)
        faults: list[Fault] = []
        aside = ""
        try:
            atomic.clear_unfinished(path)
            with atomic.new_file(path, mode, replace=True) as file:
                _give(file, found.status)
                written = framing.encode_header(header)
                file.write(written)
                self._last = framing.link_to_header(written)
                frames = yield from self._copy(file, mender, faults)
                self._check_unchanged(found, faults)
                size = file.tell()
                aside = atomic.keep_aside(path, lambda number: f"{path}.damaged-{number}")
        except OSError as error:
            if aside and os.path.samefile(aside, path):
                os.unlink(aside)
            raise StorageError(
                f"can't write the repaired database beside {path}: {error.strerror}",
                "The database is as it was. Check the free space and the permissions there.",
            ) from error
        self.done = Repaired(aside, mender.state, mender.mends, frames, size)

    def _copy(
        self, file: BinaryIO, mender: Mender, faults: list[Fault]
    ) -> Generator[str, None, int]:
        frames, reported = 0, 0
        for piece in self._examiner.pieces():
            if isinstance(piece, Fault):
                faults.append(piece)
                if piece.is_damage:
                    mender.lose(piece.end - piece.start)
                continue
            number = piece.frame.experiment
            for mend in mender.take(number, *piece[1:]):
                self._write(file, mend.number, _encoded(mend))
            self._write(file, number, piece.frame.payload)
            frames += 1
            if piece.frame.end - reported > _STEP:
                reported = piece.frame.end
                yield f"{reported:,} bytes are copied"
        for mend in mender.finish():
            self._write(file, mend.number, _encoded(mend))
        return frames

    def _write(self, file: BinaryIO, number: int, payload: bytes) -> None:
        frame = framing.encode_frame(number, payload, self._last)
        self._last = framing.link_to(frame, file.tell())
        file.write(frame)

    def _check_unchanged(self, found: Examination, faults: list[Fault]) -> None:
        now = os.stat(found.path)
        same = os.path.samestat(now, found.status) and now.st_size == found.size
        if not same or faults != found.faults:
            raise StorageError(
                f"another process wrote into {found.path} while it was being repaired",
                "Nothing was changed. Stop all workers, then try again.",
            )


_STEP = 8 * 1024 * 1024


def _encoded(mend: Mend) -> bytes:
    payload = safe_pickle.dumps(wire.encode_transaction(mend.writer, mend.counter, mend.events))
    wire.decode_transaction(safe_pickle.loads(payload))
    return payload


def _give(file: BinaryIO, like: os.stat_result) -> None:
    """Give the new file the old one's owner and group, as far as this user may do that."""
    fd = file.fileno()
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) != (like.st_uid, like.st_gid):
        owner = like.st_uid if os.geteuid() == 0 else -1
        with suppress(PermissionError):
            os.fchown(fd, owner, like.st_gid)


def settings_of(found: Examination) -> dict[str, object]:
    """Return the header of the new file: the old one's with a new id, by which processes that have
    the old file open notice that it was replaced."""
    old = found.header.content or found.header.guess
    if found.header.content is None and not old:
        group = found.status.st_mode & 0o060 == 0o060
        old = {"group": True} if group else {}
    mount = mounts.mount_of(os.path.dirname(found.path))
    kind = str(old.get("lock") or (mounts.LEASE if found.keeps else mounts.lock_kind(mount)))
    header: dict[str, object] = {"lock": kind, "id": os.urandom(16).hex()}
    if old.get("group") is True:
        header["group"] = True
    if found.keeps or (found.header.content is None and mounts.needs_write_ahead(mount, kind)):
        header["write_ahead"] = True
    return header


@contextmanager
def locked(examiner: Examiner) -> Iterator[None]:
    """Hold the database's lock, of the kind in its header, for the block."""
    found = examiner.found
    header = settings_of(found)
    kind = str(header["lock"])
    lock = DatabaseLock(
        lock_path(found.path, kind),
        kind,
        _LOCK_TIMEOUT,
        mode=creation.file_mode("group" in header),
        local=examiner.coherent,
    )
    with lock.held():
        yield
