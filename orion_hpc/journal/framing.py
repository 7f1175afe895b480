"""The bytes of the journal: header, frames, seals, restorations; how to read past a torn write.

Pure functions of bytes. Opening, locking and syncing are left to
:mod:`orion_hpc.journal.pickleddb`, the content of pickles to :mod:`orion_hpc.journal.safe_pickle`.

All integers are little-endian and unsigned.

*Header.* Magic ``b"\\x93ORION\\r\\n"`` (8 bytes: the first isn't ASCII, and a file transfer in text
mode would change the line end), format version (16 bits), length of what follows (16 bits), CRC-32
of what follows (32 bits), then one pickle of a dictionary: ``lock`` (its kind), ``id`` (32 hex
digits, random), ``group`` (True) if the file's group may use it, and ``write_ahead`` (True) if
writers keep copies of what they append in files of their own.

*Frame, in version 2.* Mark ``b"\\xf5ofc"``, CRC-32 (32 bits), length of the payload (32 bits), the
predecessor's offset (64 bits) and CRC-32 (32 bits), experiment number (32 bits), payload. The CRC
covers everything behind it, so that zeros, as which a hole reads, are never a frame. The payload is
one pickle of a transaction, ``(writer, counter, (event, …))``, which is durable as a whole or not
at all. The predecessor is the last frame that the writer had read; the first frame names the header
(offset 0 and its CRC). If a frame's predecessor isn't in the journal, a frame was lost.

*Frame, in version 1.* Mark ``b"\\xf5ofr"``, CRC-32, length, experiment number, payload: it names no
predecessor. No frames of version 2 are appended to a file of version 1, because workers with an
earlier version of this program may use it.

*Seal.* A writer that dies in the middle of its ``write`` leaves a torn frame at the end of the
file. The next writer holds the lock and reads again through a freshly opened file. Then it puts a
seal behind the torn bytes: a frame whose experiment number is ``0xFFFFFFFF`` and whose payload is
the 64-bit offset at which the torn bytes start. A reader that finds no frame at offset X searches
for a seal that names X, and continues behind it. A reader that reads whole frames up to the seal
ignores it. The file is never truncated: on a network file system a torn tail may be another
client's good frame, seen through a stale cache, and truncation would destroy a frame that was
acknowledged as durable.

A writer whose cache doesn't show the torn bytes writes a frame directly behind them. No reader can
read that far, so the frame isn't acknowledged until a seal is written that names a second offset:
the beginning of the frame, where the reader continues.

*Restoration.* A frame whose experiment number is ``0xFFFFFFFE``. Its payload is two offsets (64
bits each) and whole frames, as they once stood between the two, before another host's late write
overwrote them (version 2 only). A reader of the journal reads these frames in that place.
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
"""The first bytes of a frame's mark; a fourth byte depends on the version."""

SEAL = 0xFFFFFFFF
RESTORATION = 0xFFFFFFFE
SPECIAL = RESTORATION
"""From this number on, frames don't belong to experiments."""

MAX_PAYLOAD = 4 * 1024 * 1024
"""The most bytes of a transaction: a larger length is damage, not a reason to wait for more. The
largest transaction that is needed records the 100,000 numbers that a trial may return."""

_MARK_1 = MARK + b"r"
_MARK_2 = MARK + b"c"
_HEADER = struct.Struct("<8sHHI")
_FRAME_1 = struct.Struct("<4sIII")
_FRAME_2 = struct.Struct("<4sIIQII")
LONGEST_TORN = 4 * MAX_PAYLOAD
"""The most bytes between the start of torn bytes and their seal: one write leaves less than two
frames, and on a full disk each further try a few bytes more."""

_MOST_LOOKED_AT = 16 * MAX_PAYLOAD

_HEAD_1 = _FRAME_1.size
_HEAD_2 = _FRAME_2.size
LONGEST_FRAME = _HEAD_2 + MAX_PAYLOAD
_UNCHECKED = 8
"""Bytes at a frame's start that its checksum doesn't cover: the mark and the checksum itself."""

LINKED = _UNCHECKED
"""How many first bytes of a frame are needed to compare it with a link."""

_new = tuple.__new__

_EXPERIMENT = struct.Struct("<I")
_OFFSET = struct.Struct("<Q")
_OFFSETS = struct.Struct("<QQ")
_PREFIX = struct.Struct("<4sII")
_FOUR = struct.Struct("<I")


class NotAJournal(ValueError):
    """The file doesn't begin with a journal's header."""


class NewerVersion(ValueError):
    """The file has a later version of the format."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Overwhelmed(ValueError):
    """The bytes look like the beginning of a frame in too many places."""


class Link(NamedTuple):
    """Names a frame, or the header: its offset and checksum."""

    at: int
    checksum: int


class Frame(NamedTuple):
    """A whole frame: its place in the file and its content.

    It begins at the offset ``link.at``. ``start`` is the same, except for a seal that was needed:
    then it is where the torn bytes begin. ``before`` names the predecessor, None in version 1.
    """

    start: int
    end: int
    experiment: int
    payload: bytes
    link: Link
    before: Link | None


class JournalHeader(NamedTuple):
    """The header of a journal. The frames begin at the offset ``end``."""

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
    """The frames that stood between two offsets of the file before they were overwritten."""

    start: int
    end: int
    frames: list[Frame]


def encode_header(content: dict[str, Any], version: int = VERSION) -> bytes:
    """Return the bytes of a new journal without frames."""
    body = safe_pickle.dumps(content)
    return _HEADER.pack(MAGIC, version, len(body), zlib.crc32(body)) + body


def decode_header(data: bytes) -> JournalHeader | None:
    """Return the header; None if ``data`` is only the start of one.

    Raises
    ------
    NotAJournal, NewerVersion
        The file is something else, or has a later version of the format.
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
    """Return the link to the header that ``data`` begins with."""
    return Link(0, _HEADER.unpack_from(data)[3])


def encode_frame(experiment: int, payload: bytes, before: Link | None = None) -> bytes:
    """Return a whole frame: in version 2 with its predecessor ``before``, without one in version 1.

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
    """Return whether ``data`` may be the first bytes of the frame that ``link`` names."""
    return data[:4] in (_MARK_1, _MARK_2) and data[4:8] == _FOUR.pack(link.checksum)


def link_to(frame: bytes, at: int) -> Link:
    """Return the link to the frame with these bytes, at offset ``at``."""
    return Link(at, _FOUR.unpack_from(frame, 4)[0])


def encode_seal(start: int, onward: int | None = None, before: Link | None = None) -> bytes:
    """Return the seal for torn bytes that begin at the file's offset ``start``.

    A reader continues behind the seal, or at the offset ``onward`` before it.
    """
    named = (start,) if onward is None else (start, onward)
    return encode_frame(SEAL, b"".join(map(_OFFSET.pack, named)), before)


def restored(start: int, end: int, lost: list[Frame]) -> Restored:
    """Return a restoration: the frames ``lost`` stood between two offsets."""
    data = b"".join(encode_frame(one.experiment, one.payload, one.before) for one in lost)
    return Restored(start, end, list(frames(data, start)))


def encode_restoration(restored: Restored) -> bytes:
    """Return the payload of a restoration's frame."""
    lost = [encode_frame(one.experiment, one.payload, one.before) for one in restored.frames]
    return _OFFSETS.pack(restored.start, restored.end) + b"".join(lost)


def is_restorable(lost: list[Frame]) -> bool:
    """Return whether one restoration can hold all these frames."""
    return _OFFSETS.size + sum(one.end - one.start for one in lost) <= MAX_PAYLOAD


def decode_restoration(frame: Frame) -> Restored | None:
    """Return the restoration that a frame holds, None if it holds none that can be read."""
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
    """Return whether this is a seal that was needed, because the bytes before it are torn."""
    return frame.experiment == SEAL and frame.payload[:8] == _OFFSET.pack(frame.start)


def frames(data: bytes, base: int) -> Iterator[Frame]:
    """Yield the whole frames of ``data``, which stands in the file at offset ``base``.

    Seals are yielded too, as frames of experiment :data:`SEAL`. The ``start`` of a seal that was
    needed is that of the torn bytes, so that each frame starts where the one before it ended.
    Iteration ends at the first place where no whole frame begins.
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
        There are so many false beginnings that to check all would take too long. No crash leaves
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
    """Return whether ``data`` begins with a frame that is cut off after ``length`` bytes.

    A write that was cut short leaves such bytes. ``data`` may end there.
    """
    if length < _HEAD_1:
        return data[: len(MARK)] == MARK[: len(data)]
    head = _head(data)
    if head is None:
        return False
    said = _PREFIX.unpack_from(data)[2]
    return said > length - head and not has_wrong_length(data, length)


def cut_short(data: bytes, beyond: int) -> bool:
    """Return whether ``data`` begins with a part of a frame, behind which another frame begins.

    A dead writer leaves such bytes if its successor didn't see them. Damage in the middle of a
    frame looks different: the next frame begins where the length of the damaged one says. Or the
    length is damaged; then the bytes up to the next whole frame at ``beyond`` are a whole frame if
    the right length is put in.
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
    return not has_wrong_length(data, beyond)


def has_wrong_length(data: bytes, length: int) -> bool:
    """Return whether the first ``length`` bytes are a whole frame except for its length."""
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
