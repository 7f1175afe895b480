"""The bytes of the journal: header, frames and seals, and how to read past a torn write.

Pure functions of bytes; opening, locking and syncing are :mod:`orion_hpc.storage.pickleddb`'s
business, and what may stand in a pickle is :mod:`orion_hpc.files.plain`'s.

All integers are little-endian and unsigned.

*Header.* Magic ``b"\\x93ORION\\r\\n"`` (8 bytes; the first is no text and the line end shows a file
that was mangled in transfer), format version (16 bits), length of what follows (16 bits), CRC-32 of
what follows (32 bits), then one pickle of a dictionary: ``lock`` (its kind), ``id`` (32 hex digits,
drawn at creation), and ``group`` (True) if the file's group may use it.

*Frame.* Mark ``b"\\xf5ofr"``, CRC-32 (32 bits), length of the payload (32 bits), experiment number
(32 bits), payload. The CRC is taken over all that stands behind it, so that zeros, which is what a
hole reads as, are never a frame. The payload is one pickle of a transaction,
``(writer, counter, (event, …))``: durable whole or not at all.

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
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from orion_hpc.files import plain

MAGIC = b"\x93ORION\r\n"
VERSION = 1
MARK = b"\xf5ofr"
SEAL = 0xFFFFFFFF
MAX_PAYLOAD = 4 * 1024 * 1024
"""No transaction is larger (bytes): a length beyond it is damage, not a reason to wait. The largest
that is needed records the 100,000 numbers that a trial may return."""

_HEADER = struct.Struct("<8sHHI")
_FRAME = struct.Struct("<4sIII")
_CHECKED = struct.Struct("<II")
LONGEST_TORN = 4 * MAX_PAYLOAD
"""A seal stands no further behind the torn bytes' start than this: one write leaves less than two
frames, and a full disk takes a few bytes more at each try."""

_MOST_LOOKED_AT = 16 * MAX_PAYLOAD

_HEAD = _FRAME.size
_UNCHECKED = _HEAD - _CHECKED.size
"""Bytes at a frame's start that its checksum doesn't cover: the mark and the checksum itself."""

_unpack = _FRAME.unpack_from
_new = tuple.__new__

_EXPERIMENT = struct.Struct("<I")
_OFFSET = struct.Struct("<Q")


class NotAJournal(ValueError):
    """The file doesn't start with this project's magic."""


class NewerVersion(ValueError):
    """The file was written in a later version of the format."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Overwhelmed(ValueError):
    """The bytes look like the beginning of a frame in far too many places."""


class Frame(NamedTuple):
    """A whole frame: its place in the file and what it carries."""

    start: int
    end: int
    experiment: int
    payload: bytes


def encode_header(content: dict[str, Any]) -> bytes:
    """Return the bytes a new journal starts with."""
    body = plain.dumps(content)
    return _HEADER.pack(MAGIC, VERSION, len(body), zlib.crc32(body)) + body


def decode_header(data: bytes) -> tuple[dict[str, Any], int] | None:
    """Return the header's content and its length; None if ``data`` is only the start of a header.

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
    content = plain.loads(body)
    if not isinstance(content, dict) or not all(
        type(content.get(key)) is str for key in ("lock", "id")
    ):
        raise NotAJournal
    return content, end


def encode_frame(experiment: int, payload: bytes) -> bytes:
    """Return a whole frame; ValueError if no reader would accept one of this size."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a transaction of {len(payload):,} bytes is too large to be recorded")
    checksum = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(len(payload), experiment)))
    return _FRAME.pack(MARK, checksum, len(payload), experiment) + payload


def encode_seal(start: int, onward: int | None = None) -> bytes:
    """Return the seal for torn bytes that begin at the file's offset ``start``.

    Reading goes on behind the seal, or at the offset ``onward`` before it.
    """
    named = (start,) if onward is None else (start, onward)
    return encode_frame(SEAL, b"".join(map(_OFFSET.pack, named)))


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
        if len(data) - at >= _HEAD:
            length = _unpack(data, at)[2]
            left -= length if length <= len(data) - at else 0
        if left < 0:
            raise Overwhelmed
        at = data.find(MARK, at + 1)
    return None


def _frame_at(data: bytes, position: int, base: int) -> Frame | None:
    start = position + _HEAD
    if start > len(data):
        return None
    mark, checksum, length, experiment = _unpack(data, position)
    end = start + length
    if mark != MARK or length > MAX_PAYLOAD or end > len(data):
        return None
    if zlib.crc32(data[position + _UNCHECKED : end]) != checksum:
        return None
    return _new(Frame, (base + position, base + end, experiment, data[start:end]))


def _seal_beyond(data: bytes, position: int, base: int) -> Frame | None:
    named = _OFFSET.pack(base + position)
    wanted = _EXPERIMENT.pack(SEAL) + named
    at = data.find(wanted, position + 1, position + LONGEST_TORN)
    while at >= 0:
        start = at - (_HEAD - _EXPERIMENT.size)
        seal = _frame_at(data, start, base) if start > position else None
        if seal is not None and len(seal.payload) == _OFFSET.size:
            return Frame(base + position, seal.end, SEAL, seal.payload)
        if seal is not None and len(seal.payload) == 2 * _OFFSET.size:
            (onward,) = _OFFSET.unpack_from(seal.payload, _OFFSET.size)
            if base + position < onward <= seal.start:
                return Frame(base + position, onward, SEAL, seal.payload)
        at = data.find(wanted, at + 1, position + LONGEST_TORN)
    return None


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
    if length < _HEAD:
        return data[: min(length, len(MARK))] == MARK[:length]
    mark, _, claimed, _ = _unpack(data)
    if mark != MARK or not length < _HEAD + claimed <= _HEAD + MAX_PAYLOAD:
        return False
    return not says_too_much(data, beyond)


def says_too_much(data: bytes, length: int) -> bool:
    """Return whether the first ``length`` bytes are a frame in which only the length is wrong."""
    _, checksum, _, experiment = _unpack(data)
    payload = data[_HEAD:length]
    right = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(len(payload), experiment)))
    return bool(right == checksum)
