"""Walks over a journal's bytes from end to end, also past damage where a reader would stop.

For the tools that examine damaged files. :mod:`orion_hpc.journal.framing` decodes the frames.
Memory is bounded by a few windows, independent of the file's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from orion_hpc.journal import framing
from orion_hpc.journal.framing import Frame

Read: TypeAlias = Callable[[int, int], bytes]
"""Returns up to so many bytes (second) from an offset (first), none at the end of the file."""

_LONGEST_FRAME = framing.LONGEST_FRAME
_WINDOW = framing.LONGEST_TORN + 2 * framing.MAX_PAYLOAD

DAMAGE = "damage"
"""Bytes that a crash of a writer doesn't explain."""

TORN = "torn"
"""A write that was cut short, and a whole frame behind it: the next writer seals it."""

TAIL = "tail"
"""A write in progress, or one that was cut short, at the end of the file."""


class Gap(NamedTuple):
    """Bytes that aren't part of a frame, from offset ``start`` up to ``end``, and their kind."""

    start: int
    end: int
    kind: str


def walk(read: Read, start: int, size: int) -> Iterator[Frame | Gap]:
    """Yield the frames between two offsets and the gaps between them, in order.

    Seals are frames of experiment :data:`framing.SEAL`, as :func:`framing.frames` yields them.
    """
    position, data, base = start, b"", start
    while position < size:
        data = _window(read, data[position - base :], position, size)
        base = position
        for frame in framing.frames(data, base):
            yield frame
            position = frame.end
        if position > base:
            continue
        gap = _gap(read, data, base, size)
        yield gap
        position = gap.end


def first_frame(read: Read, size: int) -> Frame | None:
    """Return the first whole frame of a file whose header can't be read."""
    return _beyond(read, _window(read, b"", 0, size), 0, size, -1)


def _gap(read: Read, data: bytes, start: int, size: int) -> Gap:
    try:
        beyond = _beyond(read, data, start, size, 0)
    except framing.Overwhelmed:
        return Gap(start, size, DAMAGE)
    if beyond is not None:
        # The seal has to be found again: see framing.LONGEST_TORN.
        near = size - start < framing.LONGEST_TORN
        torn = near and framing.cut_short(data, beyond.start - start)
        return Gap(start, beyond.start, TORN if torn else DAMAGE)
    return Gap(start, size, TAIL if _is_cut_short(data, size - start) else DAMAGE)


def _is_cut_short(data: bytes, length: int) -> bool:
    """Return whether the tail of a journal is the beginning of a frame, or zeros after a crash of
    the host."""
    return data[:1] == b"\0" or framing.is_beginning(data, length)


def _beyond(read: Read, data: bytes, base: int, size: int, position: int) -> Frame | None:
    """Return the first whole frame behind ``position`` of ``data``, or of what follows it."""
    while True:
        frame = framing.whole_frame_beyond(data, position, base)
        if frame is not None or base + len(data) >= size:
            return frame
        # A frame that the window cuts in two may begin in its last bytes.
        kept = data[-_LONGEST_FRAME:]
        base, position = base + len(data) - len(kept), -1
        data = _window(read, kept, base, size)
        if len(data) <= len(kept):  # the file is shorter than it was
            return None


def _window(read: Read, data: bytes, start: int, size: int) -> bytes:
    """Return ``data``, which is from offset ``start``, extended to the size of a window."""
    parts, length = [data], len(data)
    wanted = min(_WINDOW, size - start)
    while length < wanted:
        part = read(start + length, wanted - length)
        if not part:
            break
        parts.append(part)
        length += len(part)
    return b"".join(parts)
