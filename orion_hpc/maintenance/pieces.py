"""The pieces that a database file consists of: header, transactions, and faults.

Decodes one piece at a time. Finding those that are missing between them is left to
:mod:`orion_hpc.maintenance.examination`.
"""

from __future__ import annotations

import pickle
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from orion_hpc.errors import StorageUnusable
from orion_hpc.journal import framing, safe_pickle
from orion_hpc.journal.creation import not_a_database
from orion_hpc.maintenance import walk
from orion_hpc.model import wire
from orion_hpc.model.event import (
    CompleteTrial,
    Event,
    RegisterTrial,
    ReleaseTrial,
    ReserveTrial,
    SetStatus,
)

_OF_TRIALS = (RegisterTrial, ReserveTrial, CompleteTrial, ReleaseTrial, SetStatus)
_GARBAGE = (pickle.UnpicklingError, ValueError, TypeError, KeyError, RecursionError)
_HEADER_LIMIT = 1 << 17

STRANGE = "strange"
"""A whole frame with a payload that no version of this package writes."""

HEADER = "header"
"""The beginning of the file."""

LOST = "lost"
"""No bytes: a frame's predecessor, or the last acknowledged frame, is missing."""

OVERTAKEN = "overtaken"
"""A late write of another host has overwritten acknowledged frames. The writers have copies of
them, which the next writer restores."""


class Fault(NamedTuple):
    """Bytes that can't be used, from ``start`` up to ``end``.

    ``kind`` is one of those of :mod:`orion_hpc.maintenance.walk`, or :data:`STRANGE`,
    :data:`HEADER`, :data:`LOST` or :data:`OVERTAKEN`; ``why`` gives the reason for the latter.
    """

    start: int
    end: int
    kind: str
    why: str = ""

    @property
    def is_damage(self) -> bool:
        """Whether it isn't explained by a write that was cut short."""
        return self.kind not in (walk.TORN, walk.TAIL, OVERTAKEN)


class Transaction(NamedTuple):
    """A whole frame of an experiment, decoded."""

    frame: framing.Frame
    writer: str
    counter: int
    events: list[Event]


Piece: TypeAlias = Transaction | Fault


@dataclass(slots=True)
class FileHeader:
    """The beginning of a file: ``content`` where it can be read, else its ``fault``.

    ``guess`` are the settings that can still be read of a damaged one; frames begin at ``end``.
    """

    content: dict[str, Any] | None
    end: int
    fault: Fault | None = None
    guess: dict[str, Any] = field(default_factory=dict)
    link: framing.Link | None = None
    version: int | None = None


def trials_of(frame: framing.Frame) -> Iterator[tuple[int, int]]:
    """Yield experiment and number of each trial in a frame."""
    piece = read_frame(frame) if frame.experiment < framing.SPECIAL else None
    if isinstance(piece, Transaction):
        for event in piece.events:
            if isinstance(event, _OF_TRIALS):
                yield frame.experiment, event.number


def read_frame(frame: framing.Frame) -> Piece:
    """Return the transaction in a frame, or the fault."""
    try:
        return Transaction(frame, *wire.decode_transaction(safe_pickle.loads(frame.payload)))
    except _GARBAGE as error:
        return Fault(frame.start, frame.end, STRANGE, str(error))


def read_header(
    path: str, read: walk.Read, size: int, force: bool = False, kept: bool = False
) -> FileHeader:
    """Return the header of the file; ``kept``: its writers have copies of transactions elsewhere.

    Raises
    ------
    StorageUnusable
        It isn't a database: it has no header and no transaction, and its writers have kept none.
        Or a newer version created it.
    """
    data = read(0, min(size, _HEADER_LIMIT))
    newer = None
    try:
        decoded = framing.decode_header(data)
        if decoded is not None:
            return FileHeader(
                decoded.content, decoded.end, link=decoded.link, version=decoded.version
            )
    except framing.NewerVersion as error:
        newer = error.version
    except (framing.NotAJournal, *_GARBAGE):
        pass
    if newer is not None and not force:
        raise StorageUnusable(
            f"{path} was made by a newer version of orion-hpc (its format is {newer}, this one "
            f"reads up to {framing.VERSION})",
            "Install that version of orion-hpc, or a newer one. If you know that it wasn't, its "
            f"header is damaged: 'orion-hpc db repair {shlex.quote(path)} --force'.",
        )
    return _damaged_header(path, read, size, data, kept)


def _damaged_header(path: str, read: walk.Read, size: int, data: bytes, kept: bool) -> FileHeader:
    try:
        first = walk.first_frame(read, size)
    except framing.Overwhelmed:
        first = None
    is_first = first is not None and isinstance(read_frame(first), Transaction)
    if not is_first and not kept:
        hint = "Check the path of the database."
        if not size:
            raise StorageUnusable(f"{path} is empty", hint)
        raise not_a_database(path, data, hint)
    end = first.start if first is not None and is_first else size
    guess: dict[str, Any] = {}
    # The magic and the version aren't covered by the checksum: the rest may be undamaged.
    start = framing.MAGIC + framing.VERSION.to_bytes(2, "little")
    try:
        decoded = framing.decode_header(start + data[len(start) :])
        if decoded is not None:
            guess, end = decoded.content, decoded.end
    except (ValueError, *_GARBAGE):
        pass
    return FileHeader(None, end, Fault(0, end, HEADER, "the header can't be read"), guess)
