"""The progress of a reader in the journal: the state as of an offset, and the latest frames.

Applies frames and remembers which predecessors a frame may name. What to do about a frame that
names another one is decided in :mod:`orion_hpc.journal.reader`.
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
"""What decoding raises for a payload that no version of this program writes."""

_RECENT = 2048
"""How many frames are remembered. A writer that read a stale cache, or was held up, names an older
predecessor than the last frame."""


class FramePosition(NamedTuple):
    """Where a frame was read: it ends at the offset ``end``. Or, if there are ``frames``, it is the
    last of these, which were restored at that offset."""

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
        The last frame before the write that appended ``last``, perhaps together with a seal.
    is_verifiable : bool
        Whether the last frame should stand in the file, where a reader can look for it.
    ahead : Link or None
        A seal behind ``offset`` because of which torn bytes before ``offset`` were passed over.
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
        """Apply the next frame, and move behind it.

        Raises
        ------
        DamagedDatabase
            It holds something that no version of this program writes.
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
        """Move behind a frame that was applied, or needn't be."""
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
        """Apply the frames that stood between two offsets, and move to the second offset."""
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
        """The offset of the first frame that is remembered."""
        return self._recent[0][0].at

    def knows(self, link: Link | None) -> bool:
        """Return whether ``link`` names a remembered frame, or is None, as in version 1."""
        return (
            link is None
            or link.checksum == self.last.checksum
            or self.position_of(link) is not None
        )

    def position_of(self, link: Link) -> FramePosition | None:
        """Return where the frame was read, if it is remembered."""
        for one, place in reversed(self._recent):
            if one.checksum == link.checksum:
                return place
        return None


def is_transaction(frame: Frame) -> bool:
    """Return whether a frame isn't a seal or a restoration."""
    return frame.experiment < framing.SPECIAL
