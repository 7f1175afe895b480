"""Examines a database from the first byte to the last, and collects what is damaged.

Reads only, and takes no lock. A reader that works with the database stops at the first damage
(:mod:`orion_hpc.journal.pickleddb`); this one continues behind it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orion_hpc.errors import StorageError, StorageUnusable
from orion_hpc.journal import creation, framing
from orion_hpc.journal.database_file import DatabaseFile
from orion_hpc.journal.framing import Frame, Link
from orion_hpc.journal.write_ahead import LastFrame, frames_in, lost_before, lost_between, settled
from orion_hpc.maintenance import walk
from orion_hpc.maintenance.pieces import (
    LOST,
    OVERTAKEN,
    Fault,
    FileHeader,
    Piece,
    read_frame,
    read_header,
    trials_of,
)
from orion_hpc.model.event import RegisterTrial
from orion_hpc.model.state import CATALOGUE, State
from orion_hpc.model.trial_record import RESERVED, STATUSES
from orion_hpc.sharedfs import layout

_HEADER_LENGTH = len(framing.encode_header({"lock": "flock", "id": "0" * 32}))
_STEP = 0.2
"""Seconds between two progress messages."""

_SAMPLES = 32

_LOOKS = 3
_STALE_WAIT = 1.0
"""Apparent damage on a network file system is examined so often, with so many seconds in between:
the client's cache may be stale."""


@dataclass(slots=True)
class Examination:
    """The result for the file at ``path``, whose first ``size`` bytes were examined."""

    path: str
    status: os.stat_result
    size: int
    header: FileHeader
    frames: int = 0
    seals: int = 0
    restorations: int = 0
    keeps: bool = False
    """Whether writers keep copies of what they write in files of their own."""
    checksums: set[int] = field(default_factory=set)
    """The checksums of the frames in the file, without those that only the writers have."""
    faults: list[Fault] = field(default_factory=list)
    state: State = field(default_factory=State)
    orphans: dict[int, int] = field(default_factory=dict)
    """Number of an experiment without a creation -> the number of its transactions."""
    kept: set[tuple[int, int]] = field(default_factory=set)
    """Experiment and trial of frames that only the writers' own files have, until a restoration."""
    held: list[tuple[int, int]] = field(default_factory=list)
    """Experiment and number of the trials that are reserved at the first damage."""
    until: list[dict[str, Any]] = field(default_factory=list)
    """The experiments as they are at the first damage; see :func:`experiments`."""
    made: dict[tuple[str, int], int] = field(default_factory=dict)
    """Writer and counter of a transaction that creates an experiment -> the number that this writer
    uses next: it knew the number of the new experiment."""
    samples: dict[int, list[RegisterTrial]] = field(default_factory=dict)
    """Number of an experiment -> its first undamaged registrations."""

    @property
    def damage(self) -> list[Fault]:
        """The faults that a crash of a writer doesn't explain, in the order of the file."""
        return [fault for fault in self.faults if fault.is_damage]

    @property
    def lost(self) -> int:
        """Bytes that may have been transactions."""
        header = _HEADER_LENGTH if self.header.fault else 0
        return max(0, sum(fault.end - fault.start for fault in self.damage) - header)


class Examiner:
    """Examines one file, step by step.

    Parameters
    ----------
    path : str
    force : bool, default False
        Treat a header with a newer version as damaged.

    Raises
    ------
    StorageUnusable
        There is no such file, it isn't a database, or it belongs to another user.
    """

    def __init__(self, path: str, force: bool = False) -> None:
        self.path = creation.real_path(path)
        if not creation.is_there(self.path):
            raise StorageUnusable(f"there is no file {path}", "Check the path of the database.")
        self._file = DatabaseFile.at(self.path)
        self.coherent = self._file.coherent
        self._force = force
        self._open()

    def _open(self) -> None:
        self._file.reopen()
        status = self._file.status()
        kept = next(frames_in(self._only_folder()), None) is not None
        header = read_header(self.path, self._file.read, status.st_size, self._force, kept)
        shared = (header.content or header.guess).get("group") is True
        creation.check_owner(self.path, status, shared)
        self._kept: dict[int, Frame] | None = None
        keeps = self._find_kept(header, status.st_size)
        self._last = self._read_last()
        if keeps:
            # Others may write: the last acknowledged frame must be within the examined size.
            self._file.reopen()
            status = self._file.status()
        self.found = Examination(self.path, status, status.st_size, header, keeps=keeps)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def steps(self) -> Iterator[str]:
        """Examine the file, and yield the progress from time to time; the result is ``found``."""
        for look in range(_LOOKS):
            if look:
                time.sleep(_STALE_WAIT)
                self._open()
            yield from self._steps()
            if self.coherent or not self.found.damage:
                break

    def _steps(self) -> Iterator[str]:
        found, reported, damaged = self.found, time.monotonic(), False
        makers: dict[str, tuple[str, int]] = {}
        for piece in self.pieces():
            if isinstance(piece, Fault):
                if piece.is_damage and not damaged:
                    damaged = True
                    found.until = experiments(found.state)
                    found.held = reserved(found.state)
                found.faults.append(piece)
                continue
            if time.monotonic() - reported > _STEP:
                reported = time.monotonic()
                part = min(1.0, piece.frame.end / max(1, found.size))
                yield f"{part:.0%} of {found.size:,} bytes"
            number = piece.frame.experiment
            if number == CATALOGUE:
                makers[piece.writer] = piece.writer, piece.counter
            elif piece.writer in makers:
                found.made[makers.pop(piece.writer)] = number
            if number != CATALOGUE and not is_known(found.state, number):
                found.orphans[number] = found.orphans.get(number, 0) + 1
            samples = found.samples.setdefault(number, [])
            if len(samples) < _SAMPLES:
                samples += [one for one in piece.events if isinstance(one, RegisterTrial)]
            found.state.apply(number, *piece[1:])

    def settled(self, names: Iterable[str]) -> list[str]:
        """Return those of the writers' own files that aren't needed, after :meth:`steps`.

        The database has all of their frames, and no frame is missing.
        """
        if any(fault.is_damage or fault.kind == OVERTAKEN for fault in self.found.faults):
            return []
        return settled(self._folder, names, self.found.checksums)

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces of the file in order, and count frames and seals."""
        found = self.found
        found.frames = found.seals = found.restorations = 0
        found.checksums, found.kept = set(), set()
        if found.header.fault is not None:
            yield found.header.fault
        known = {found.header.link.checksum} if found.header.link else set()
        last_read = found.header.link
        gap: walk.Gap | None = None
        for piece in self._walk():
            if isinstance(piece, walk.Gap):
                if gap is not None:
                    yield Fault(*gap)
                gap = piece
                continue
            before = piece.before
            if before is not None and not self._knows(before, known):
                yield from self._lost(before, known, last_read, gap, piece.start)
            elif gap is not None:
                yield Fault(*gap)
            gap, last_read = None, piece.link
            found.checksums.add(piece.link.checksum)
            yield from self._decoded(piece, known)
        if isinstance(self._last, StorageError):
            yield from self._lost(None, known, last_read, gap, found.size)
        elif self._last is not None and self._last.at > 0 and self._last.checksum not in known:
            yield from self._lost(self._last, known, last_read, gap, found.size)
        elif gap is not None:
            yield Fault(*gap)

    def _read_last(self) -> Link | StorageError | None:
        """Return the link to the frame that was acknowledged last, or the error."""
        try:
            return LastFrame(self._folder).read() if self._folder else None
        except StorageError as error:
            return error

    def _knows(self, link: Link, known: set[int]) -> bool:
        """Return whether the frame of this link is among the ``known`` ones.

        The first frame links to the header, which may be damaged; in that case, where the writers
        keep no copies, the first frame in the file is accepted as it is.
        """
        if self.found.header.link is None and (link.at == 0 or not (known or self._folder)):
            return True
        return link.checksum in known

    def _decoded(self, frame: Frame, known: set[int]) -> Iterator[Piece]:
        """Count a frame, and yield its transaction."""
        known.add(frame.link.checksum)
        if frame.experiment == framing.SEAL:
            self.found.seals += 1
        elif frame.experiment == framing.RESTORATION:
            self.found.restorations += 1
        else:
            self.found.frames += 1
            yield read_frame(frame)

    def _lost(
        self,
        wanted: Link | None,
        known: set[int],
        last: Link | None,
        gap: walk.Gap | None,
        at: int,
    ) -> Iterator[Piece]:
        """Yield the fault of an acknowledged frame that is missing, and the writers' copies of it
        and of those before it, back to the ``last`` one that was read.

        ``gap`` may be what is left in its place: a write that was cut short was never acknowledged,
        unless another frame links to it. ``wanted`` is None where it isn't known whether a frame is
        missing.
        """
        if self._kept is None:
            self._kept = {one.link.checksum: one for one in frames_in(self._folder)}

        def knows(link: Link) -> bool:
            return self._knows(link, known)

        follows, lost = lost_before(self._kept, wanted, knows) if wanted else (None, [])
        if follows is None:
            end = max(at, wanted.at) if wanted else sys.maxsize
            others = lost_between(self._kept, last.at if last else 0, end, knows)
            lost = sorted(
                {*others, *lost}, key=lambda frame: frame.before.at if frame.before else 0
            )
        start, end = (gap.start, gap.end) if gap else (at, at)
        if follows is not None and not framing.is_restorable(lost):
            yield Fault(start, end, LOST, "more is missing than a job can restore; it was kept")
        elif follows is not None:
            self.found.kept |= {one for frame in lost for one in trials_of(frame)}
            yield Fault(start, end, OVERTAKEN, "its writers have kept it")
        elif isinstance(self._last, StorageError) and not wanted:
            yield Fault(start, end, LOST, self._last.message)
        elif gap:
            yield Fault(start, end, walk.DAMAGE)
        else:
            yield Fault(start, end, LOST, "a transaction before it is missing")
        for frame in lost:
            yield from self._decoded(frame, known)

    def _walk(self) -> Iterator[Frame | walk.Gap]:
        """Yield frames and gaps, with restored frames in their original places."""
        found, position = self.found, self.found.header.end
        for start, restored in sorted(self._restorations().items()):
            if start < position:
                continue
            yield from walk.walk(self._file.read, position, start)
            yield from restored.frames
            position = restored.end
        yield from walk.walk(self._file.read, position, found.size)

    def _restorations(self) -> dict[int, framing.Restored]:
        found = self.found
        if not self._folder:
            return {}
        data = b""
        while len(data) < found.size and (more := self._file.read(len(data))):
            data += more
        return {one.start: one for one in framing.restorations(data, 0)}

    def _find_kept(self, header: FileHeader, size: int) -> bool:
        """Return whether writers keep copies, by header or folder; remember in which folder."""
        content = header.content or header.guess
        if content:
            keeps = content.get("write_ahead") is True
            folder = layout.write_ahead_folder(self.path, str(content["id"]))
            self._folder = folder if keeps else ""
            return keeps
        folders = self._folders()
        self._folder = self._folder_of(folders, header, size) if folders else ""
        return bool(folders)

    def _folders(self) -> list[str]:
        """Return the folders in which writers may have kept copies for files of this name."""
        above = os.path.dirname(layout.write_ahead_folder(self.path, "id"))
        try:
            return [os.path.join(above, name) for name in sorted(os.listdir(above))]
        except OSError:
            return []

    def _only_folder(self) -> str:
        folders = self._folders()
        return folders[0] if len(folders) == 1 else ""

    def _folder_of(self, folders: list[str], header: FileHeader, size: int) -> str:
        """Return the folder with copies of this file's frames, or of frames that follow them.

        Each repair begins a new folder. ``''`` where there is none.
        """
        there = {
            piece.link.checksum
            for piece in walk.walk(self._file.read, header.end, size)
            if not isinstance(piece, walk.Gap)
        }
        if not there:
            return self._only_folder()
        for folder in folders:
            for frame in frames_in(folder):
                if frame.link.checksum in there or (frame.before or frame.link).checksum in there:
                    return folder
        return ""


def is_known(state: State, number: int) -> bool:
    """Return whether there is or was an experiment of this number."""
    return number in state.experiments or number in state.experiments.removed


def experiments(state: State) -> list[dict[str, Any]]:
    """Return each experiment with its counts of trials, as plain data."""
    return [
        {
            "name": one.name,
            "version": one.version,
            "number": one.number,
            "trials": {status: one.count(status) for status in STATUSES},
        }
        for one in state.experiments.values()
    ]


def reserved(state: State) -> list[tuple[int, int]]:
    """Return experiment and number of each reserved trial."""
    return [
        (one.number, trial.number)
        for one in state.experiments.values()
        for trial in one.having(RESERVED)
    ]
