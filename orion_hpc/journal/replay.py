"""How far a reader has come in the journal: the state as of an offset, and the frames before it.

Applies frames, and knows which predecessor a frame may name. What to do about one that names
another is :mod:`orion_hpc.journal.pickleddb`'s business.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from orion_hpc.errors import DamagedDatabase
from orion_hpc.journal import framing, safe_pickle
from orion_hpc.journal.framing import Frame, JournalHeader, Link, Restored
from orion_hpc.model import wire
from orion_hpc.model.state import ExperimentState, State

GARBAGE = (pickle.UnpicklingError, ValueError, TypeError, KeyError, RecursionError)
"""What decoding a payload raises that no version of this program writes."""

_RECENT = 2048
"""Frames of which a successor may name any: a writer that looked through a stale cache, or was held
up, names an older one than the last."""


class FramePosition(NamedTuple):
    """Where a frame was read: it ends at the offset ``end``, or it is the last of ``frames``, which
    were restored at that offset."""

    end: int
    frames: tuple[Frame, ...] = ()


class Replay:
    """The state after all frames up to ``offset``.

    Attributes
    ----------
    state : State
    offset : int
        Where the next frame begins.
    last : Link
        The last frame, or the header.
    previous : Link
        The frame before the write that brought that one, which may have brought a seal, too.
    is_verifiable : bool
        Whether the last frame stands in the file, as far as is known.
    ahead : Link or None
        A seal that stands behind ``offset``, and by which torn bytes before it were passed over.
    restored : set of int
        The offsets at which restored frames were read.
    """

    def __init__(
        self, path: str, header: JournalHeader, follows: Callable[[ExperimentState], bool]
    ):
        self.state = State(follows)
        self.offset = header.end
        self.last = self.previous = header.link
        self.is_verifiable = False
        self._after_seal = False
        self.ahead: Link | None = None
        self.restored: set[int] = set()
        self._path = path
        self._recent = deque([(header.link, FramePosition(header.end))], maxlen=_RECENT)

    def take(self, frame: Frame) -> None:
        """Apply the next frame, and stand behind it.

        Raises
        ------
        DamagedDatabase
            It holds what no version of this program writes.
        """
        if frame.experiment in self.state.followed:
            try:
                transaction = wire.decode_transaction(safe_pickle.loads(frame.payload))
                self.state.apply(frame.experiment, *transaction)
            except GARBAGE as error:
                raise DamagedDatabase(
                    f"{self._path} holds at offset {frame.start} what no version of orion-hpc "
                    f"writes: {error}",
                    "Don't use this file: somebody or something else has written into it.",
                ) from error
        self.pass_by(frame.link, frame.end, frame.experiment == framing.SEAL)

    def pass_by(self, link: Link, end: int, is_seal: bool = False) -> None:
        """Stand behind a frame that needs no applying, or was applied."""
        self.offset = end
        if not self._after_seal:
            self.previous = self.last
        self.last, self._after_seal = link, is_seal
        if is_seal and link.at >= end:
            self.ahead = link
        elif self.ahead is not None and end > self.ahead.at:
            self.ahead = None
        self.is_verifiable = True
        self._recent.append((link, FramePosition(end)))

    def take_restored(self, restored: Restored) -> None:
        """Apply what stood between two offsets, and stand behind the second."""
        self.restored.add(restored.start)
        for count, frame in enumerate(restored.frames, 1):
            self.take(frame)
            self._recent[-1] = (
                frame.link,
                FramePosition(restored.start, tuple(restored.frames[:count])),
            )
        self.offset = restored.end
        self.is_verifiable = False

    @property
    def oldest(self) -> int:
        """The offset of the first of the frames that are remembered."""
        return self._recent[0][0].at

    def knows(self, link: Link | None) -> bool:
        """Return whether ``link`` names a frame that was read lately, or is version 1's None."""
        return (
            link is None
            or link.checksum == self.last.checksum
            or self.position_of(link) is not None
        )

    def position_of(self, link: Link) -> FramePosition | None:
        """Return where the frame of this name was read, if it was lately."""
        for one, place in reversed(self._recent):
            if one.checksum == link.checksum:
                return place
        return None


def is_transaction(frame: Frame) -> bool:
    """Return whether a frame isn't a seal or a restoration."""
    return frame.experiment < framing.SPECIAL
