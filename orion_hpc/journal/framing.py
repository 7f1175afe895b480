"""The bytes of the journal: header, frames, seals, restorations; how to read past a torn write.

Pure functions of bytes; opening, locking and syncing are :mod:`orion_hpc.journal.pickleddb`'s
business, and what may stand in a pickle is :mod:`orion_hpc.journal.safe_pickle`'s.

All integers are little-endian and unsigned.

*Header.* Magic ``b"\\x93ORION\\r\\n"`` (8 bytes; the first is no text and the line end shows a file
that was mangled in transfer), format version (16 bits), length of what follows (16 bits), CRC-32 of
what follows (32 bits), then one pickle of a dictionary: ``lock`` (its kind), ``id`` (32 hex digits,
drawn at creation), ``group`` (True) if the file's group may use it, and ``write_ahead`` (True) if
writers keep what they append in files of their own, too.

*Frame, in version 2.* Mark ``b"\\xf5ofc"``, CRC-32 (32 bits), length of the payload (32 bits), the
predecessor's offset (64 bits) and CRC-32 (32 bits), experiment number (32 bits), payload. The CRC
is taken over all that stands behind it, so that zeros, which is what a hole reads as, are never a
frame. The payload is one pickle of a transaction, ``(writer, counter, (event, …))``: durable whole
or not at all. The predecessor is the last frame that the writer had read; the first frame names the
header (offset 0 and its CRC). Whoever meets a frame whose predecessor isn't in the journal knows
that a frame was lost.

*Frame, in version 1.* Mark ``b"\\xf5ofr"``, CRC-32, length, experiment number, payload: it names no
predecessor. A file of version 1 gets no frames of version 2, since workers of an earlier version of
this program may be at work on it.

*Seal.* A writer that dies in the middle of its ``write`` leaves a torn frame at the end of the
file. The next writer, under the lock and after it looked again through a freshly opened file, puts
a seal behind the torn bytes: a frame whose experiment number is ``0xFFFFFFFF`` and whose payload is
the 64-bit offset at which the torn bytes start. A reader that finds no frame at offset X looks
onward for a seal that names X, and goes on behind it; one that reads whole frames up to the seal
passes over it. Nothing is ever cut off the file: on a network file system a torn tail may be
another client's good frame seen through a stale cache, and truncation would destroy what its writer
was told is durable.

A writer whose cache doesn't show it the torn bytes writes a frame right behind them. Nobody can
read that far, and so nobody has been told of that frame, until a seal is written that names a
second offset: where the frame begins, which is where the reader goes on.

*Restoration.* A frame whose experiment number is ``0xFFFFFFFE``. Its payload is two offsets (64
bits each) and whole frames, as they once stood between the two, before another host's late write
went over them (version 2 only). Who reads the journal takes these frames for what stands there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from orion_hpc.journal import safe_pickle

MAGIC = b"\x93ORION\r\n"
VERSION = 2
MARK = b"\xf5of"
"""What a frame's mark begins with; a fourth byte tells the version."""

SEAL = 0xFFFFFFFF
RESTORATION = 0xFFFFFFFE
SPECIAL = RESTORATION
"""Experiment numbers from here on aren't experiments'."""

MAX_PAYLOAD = 4 * 1024 * 1024
"""No transaction is larger (bytes): a length beyond it is damage, not a reason to wait. The largest
that is needed records the 100,000 numbers that a trial may return."""

_MARK_1 = MARK + b"r"
_MARK_2 = MARK + b"c"
_HEADER = struct.Struct("<8sHHI")
_FRAME_1 = struct.Struct("<4sIII")
_FRAME_2 = struct.Struct("<4sIIQII")
LONGEST_TORN = 4 * MAX_PAYLOAD
"""A seal stands no further behind the torn bytes' start than this: one write leaves less than two
frames, and a full disk takes a few bytes more at each try."""

_MOST_LOOKED_AT = 16 * MAX_PAYLOAD

_HEAD_1 = _FRAME_1.size
_HEAD_2 = _FRAME_2.size
LONGEST_FRAME = _HEAD_2 + MAX_PAYLOAD
_UNCHECKED = 8
"""Bytes at a frame's start that its checksum doesn't cover: the mark and the checksum itself."""

LINKED = _UNCHECKED
"""How many bytes tell whether a frame of a certain name begins with them."""

_new = tuple.__new__

_EXPERIMENT = struct.Struct("<I")
_OFFSET = struct.Struct("<Q")
_OFFSETS = struct.Struct("<QQ")
_PREFIX = struct.Struct("<4sII")
_FOUR = struct.Struct("<I")


class NotAJournal(ValueError):
    """The file doesn't start with this project's magic."""


class NewerVersion(ValueError):
    """The file was written in a later version of the format."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Overwhelmed(ValueError):
    """The bytes look like the beginning of a frame in far too many places."""


class Link(NamedTuple):
    """Names a frame, or the header: its offset and checksum."""

    at: int
    checksum: int


class Frame(NamedTuple):
    """A whole frame: its place in the file and what it carries.

    It begins at the offset ``link.at``. ``start`` is the same, but of a seal that was needed: there
    it is where the torn bytes begin. ``before`` names the predecessor, None in version 1.
    """

    start: int
    end: int
    experiment: int
    payload: bytes
    link: Link
    before: Link | None


class JournalHeader(NamedTuple):
    """What a journal begins with: its ``content``, and the offset where the frames begin."""

    content: dict[str, Any]
    end: int
    version: int
    link: Link

    @property
    def lock(self) -> str:
        """The kind of lock that all writers use."""
        kind: str = self.content["lock"]
        return kind

    @property
    def id(self) -> str:
        """The identifier that was drawn when the file was created."""
        identifier: str = self.content["id"]
        return identifier

    @property
    def group(self) -> bool:
        """Whether the members of the file's group may use it."""
        return self.content.get("group") is True

    @property
    def has_copies(self) -> bool:
        """Whether writers keep copies of what they append, in files of their own."""
        return self.content.get("write_ahead") is True

    @property
    def names_predecessors(self) -> bool:
        """Whether each frame names the one before it."""
        return self.version > 1


class Restored(NamedTuple):
    """What stood between two offsets of the file before it was written over."""

    start: int
    end: int
    frames: list[Frame]


def encode_header(content: dict[str, Any], version: int = VERSION) -> bytes:
    """Return the bytes a new journal starts with."""
    body = safe_pickle.dumps(content)
    return _HEADER.pack(MAGIC, version, len(body), zlib.crc32(body)) + body


def decode_header(data: bytes) -> JournalHeader | None:
    """Return the header; None if ``data`` is only the start of one.

    Raises
    ------
    NotAJournal, NewerVersion
        The file is something else, or was written by a later version.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)]:
        raise NotAJournal
    if len(data) < _HEADER.size:
        return None
    _, version, length, checksum = _HEADER.unpack_from(data)
    if version > VERSION:
        raise NewerVersion(version)
    if version < 1:
        raise NotAJournal
    end = _HEADER.size + length
    if len(data) < end:
        return None
    body = data[_HEADER.size : end]
    if zlib.crc32(body) != checksum:
        raise NotAJournal
    content = safe_pickle.loads(body)
    if not isinstance(content, dict) or not all(
        type(content.get(key)) is str for key in ("lock", "id")
    ):
        raise NotAJournal
    return JournalHeader(content, end, version, Link(0, checksum))


def link_to_header(data: bytes) -> Link:
    """Return what names the header that ``data`` begins with."""
    return Link(0, _HEADER.unpack_from(data)[3])


def encode_frame(experiment: int, payload: bytes, before: Link | None = None) -> bytes:
    """Return a whole frame, in version 1 unless the one ``before`` it is named.

    Raises
    ------
    ValueError
        No reader would accept one of this size.
    """
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a transaction of {len(payload):,} bytes is too large to be recorded")
    if before is None:
        head = _FRAME_1.pack(_MARK_1, 0, len(payload), experiment)
    else:
        head = _FRAME_2.pack(_MARK_2, 0, len(payload), *before, experiment)
    checksum = zlib.crc32(payload, zlib.crc32(head[_UNCHECKED:]))
    return head[:4] + _FOUR.pack(checksum) + head[_UNCHECKED:] + payload


def begins(data: bytes, link: Link) -> bool:
    """Return whether the frame that ``link`` names begins with ``data``, its first bytes."""
    return data[:4] in (_MARK_1, _MARK_2) and data[4:8] == _FOUR.pack(link.checksum)


def link_to(frame: bytes, at: int) -> Link:
    """Return what names the frame of these bytes, which stands at offset ``at``."""
    return Link(at, _FOUR.unpack_from(frame, 4)[0])


def encode_seal(start: int, onward: int | None = None, before: Link | None = None) -> bytes:
    """Return the seal for torn bytes that begin at the file's offset ``start``.

    Reading goes on behind the seal, or at the offset ``onward`` before it.
    """
    named = (start,) if onward is None else (start, onward)
    return encode_frame(SEAL, b"".join(map(_OFFSET.pack, named)), before)


def restored(start: int, end: int, lost: list[Frame]) -> Restored:
    """Return what says that the frames ``lost`` stood between two offsets."""
    data = b"".join(encode_frame(one.experiment, one.payload, one.before) for one in lost)
    return Restored(start, end, list(frames(data, start)))


def encode_restoration(restored: Restored) -> bytes:
    """Return the payload of the frame that says what stood between two offsets."""
    lost = [encode_frame(one.experiment, one.payload, one.before) for one in restored.frames]
    return _OFFSETS.pack(restored.start, restored.end) + b"".join(lost)


def is_restorable(lost: list[Frame]) -> bool:
    """Return whether one restoration can hold all these frames."""
    return _OFFSETS.size + sum(one.end - one.start for one in lost) <= MAX_PAYLOAD


def decode_restoration(frame: Frame) -> Restored | None:
    """Return what a restoration says, None if it says nothing that can be read."""
    if frame.experiment != RESTORATION or len(frame.payload) < _OFFSETS.size:
        return None
    start, end = _OFFSETS.unpack_from(frame.payload)
    lost = list(frames(frame.payload[_OFFSETS.size :], start))
    whole = sum(one.end - one.start for one in lost) == len(frame.payload) - _OFFSETS.size
    return Restored(start, end, lost) if whole and start <= end <= frame.start else None


def restorations(data: bytes, base: int) -> list[Restored]:
    """Return the restorations that stand anywhere in ``data``, which begins at offset ``base``."""
    found: list[Restored] = []
    wanted = _EXPERIMENT.pack(RESTORATION)
    at = data.find(wanted)
    while at >= 0:
        begin = at - (_HEAD_2 - _EXPERIMENT.size)
        frame = _frame_at(data, begin, base) if begin >= 0 else None
        restored = decode_restoration(frame) if frame is not None else None
        if restored is not None:
            found.append(restored)
        at = data.find(wanted, at + 1)
    return found


def passes_over(frame: Frame) -> bool:
    """Return whether this is a seal that was needed: the bytes before it were found to be torn."""
    return frame.experiment == SEAL and frame.payload[:8] == _OFFSET.pack(frame.start)


def frames(data: bytes, base: int) -> Iterator[Frame]:
    """Yield the whole frames of ``data``, which stands in the file at offset ``base``.

    Seals are yielded too, as frames of experiment :data:`SEAL`: one that was needed with ``start``
    at the torn bytes, so that each frame begins where the one before it ended. Iteration ends at
    the first place where no whole frame begins.
    """
    position = 0
    while True:
        frame = _frame_at(data, position, base) or _seal_beyond(data, position, base)
        if frame is None:
            return
        yield frame
        position = frame[1] - base


def frame_at(data: bytes, position: int, base: int) -> Frame | None:
    """Return the whole frame that begins at ``position`` of ``data``, or None."""
    return _frame_at(data, position, base)


def whole_frame_beyond(data: bytes, position: int, base: int) -> Frame | None:
    """Return the first whole frame that starts after ``position``, or None.

    Raises
    ------
    Overwhelmed
        There are so many false beginnings that looking at all would take for ever. No crash leaves
        such bytes.
    """
    left = _MOST_LOOKED_AT
    at = data.find(MARK, position + 1)
    while at >= 0:
        frame = _frame_at(data, at, base)
        if frame is not None:
            return frame
        if len(data) - at >= _HEAD_1:
            length = _PREFIX.unpack_from(data, at)[2]
            left -= length if length <= len(data) - at else 0
        if left < 0:
            raise Overwhelmed
        at = data.find(MARK, at + 1)
    return None


def _frame_at(data: bytes, position: int, base: int) -> Frame | None:
    mark = data[position : position + 4]
    before: Link | None
    if mark == _MARK_2:
        start = position + _HEAD_2
        if start > len(data):
            return None
        _, checksum, length, at, crc, experiment = _FRAME_2.unpack_from(data, position)
        before = _new(Link, (at, crc))
    elif mark == _MARK_1:
        start = position + _HEAD_1
        if start > len(data):
            return None
        _, checksum, length, experiment = _FRAME_1.unpack_from(data, position)
        before = None
    else:
        return None
    end = start + length
    if length > MAX_PAYLOAD or end > len(data):
        return None
    if zlib.crc32(data[position + _UNCHECKED : end]) != checksum:
        return None
    link = _new(Link, (base + position, checksum))
    return _new(Frame, (base + position, base + end, experiment, data[start:end], link, before))


def _seal_beyond(data: bytes, position: int, base: int) -> Frame | None:
    named = _OFFSET.pack(base + position)
    wanted = _EXPERIMENT.pack(SEAL) + named
    at = data.find(wanted, position + 1, position + LONGEST_TORN)
    while at >= 0:
        for head in (_HEAD_2, _HEAD_1):
            start = at - (head - _EXPERIMENT.size)
            seal = _frame_at(data, start, base) if start > position else None
            if seal is None or seal.experiment != SEAL:
                continue
            if len(seal.payload) == _OFFSET.size:
                return seal._replace(start=base + position)
            if len(seal.payload) == _OFFSETS.size:
                (onward,) = _OFFSET.unpack_from(seal.payload, _OFFSET.size)
                if base + position < onward <= seal.start:
                    return seal._replace(start=base + position, end=onward)
        at = data.find(wanted, at + 1, position + LONGEST_TORN)
    return None


def is_beginning(data: bytes, length: int) -> bool:
    """Return whether a frame begins here that isn't whole, with ``length`` bytes behind its start.

    ``data`` may be cut off there. That is what a write leaves which was cut short.
    """
    if length < _HEAD_1:
        return data[: len(MARK)] == MARK[: len(data)]
    head = _head(data)
    if head is None:
        return False
    said = _PREFIX.unpack_from(data)[2]
    return said > length - head and not says_too_much(data, length)


def cut_short(data: bytes, beyond: int) -> bool:
    """Return whether ``data`` begins with the beginning of a frame, and then another one begins.

    That is what a dead writer leaves whose successor didn't see it. Damage in the middle of a frame
    looks otherwise: the next one begins where the damaged one says that it ends; or, if its length
    is what was damaged, the bytes up to the next whole frame at ``beyond`` are one with the right
    length in its place.
    """
    length = data.find(MARK, 1)
    if length < 0:
        return False
    if length < _HEAD_1:
        return data[: min(length, len(MARK))] == MARK[:length]
    head = _head(data)
    if head is None:
        return False
    claimed = _PREFIX.unpack_from(data)[2]
    if not length < head + claimed <= head + MAX_PAYLOAD:
        return False
    return not says_too_much(data, beyond)


def says_too_much(data: bytes, length: int) -> bool:
    """Return whether the first ``length`` bytes are a frame in which only the length is wrong."""
    head = _head(data)
    if head is None or length < head:
        return False
    _, checksum, _ = _PREFIX.unpack_from(data)
    right = zlib.crc32(_FOUR.pack(length - head) + data[_PREFIX.size : length])
    return bool(right == checksum)


def _head(data: bytes) -> int | None:
    """Return the length of the head of the frame that begins here, None if none does."""
    head = {_MARK_1: _HEAD_1, _MARK_2: _HEAD_2}.get(data[:4])
    return head if head is not None and len(data) >= head else None
