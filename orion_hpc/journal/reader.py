"""Reading the journal: one pass over its frames, from where the reader is to where it must stop.

Replays whole frames and restored ones. What to do where a pass stops is decided in
:mod:`orion_hpc.journal.journal_recovery`.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from orion_hpc.journal import framing
from orion_hpc.journal.database_file import CHUNK, DatabaseFile
from orion_hpc.journal.framing import Frame, JournalHeader, Link, Restored
from orion_hpc.journal.replay import Replay
from orion_hpc.model.state import ExperimentState, State

_LOOKS_AT_TORN = 2
"""How often a seal is read again before it is believed, where a cache may be stale."""

_MANY_BYTES = 1 << 20
"""From so many on, the garbage collector is paused."""

_NEAR = 4096
"""Bytes: if the last frame began no further back, it is read together with what follows it."""

log = logging.getLogger(__name__)


class Stop(NamedTuple):
    """Why a pass ended. ``rest`` is the bytes from there on.

    ``changed``: the file no longer holds what was read before. ``news``: a restoration describes
    frames of a place that was read without them. ``orphan``: a whole frame whose predecessor isn't
    known.
    """

    rest: bytes
    changed: bool = False
    news: bool = False
    orphan: Frame | None = None


class JournalReader:
    """The place of one process in a database file, and the state as of there.

    Parameters
    ----------
    file : DatabaseFile
    header : JournalHeader
    follows : callable
        See :class:`~orion_hpc.model.state.State`.

    Attributes
    ----------
    replay : Replay
    restorations : dict of int to Restored
        By offset, the frames that are read in place of what the file holds there.
    recorded : list of Restored
        The restorations that stand in the journal. The others were found by this process.
    """

    def __init__(
        self,
        file: DatabaseFile,
        header: JournalHeader,
        follows: Callable[[ExperimentState], bool],
    ) -> None:
        self.file = file
        self.header = header
        self._follows = follows
        self.replay = Replay(file.path, header, follows)
        self.restorations: dict[int, Restored] = {}
        self.recorded: list[Restored] = []
        self._chained = header.names_predecessors
        self._has_copies = header.has_copies
        self._looks: dict[int, int] = {}

    @property
    def state(self) -> State:
        """The state as of the last pass."""
        return self.replay.state

    @property
    def predecessor(self) -> Link | None:
        """The link that the next frame names; None in version 1, whose frames name none."""
        return self.replay.last if self._chained else None

    def restart(self) -> None:
        """Start again at the header: what was read isn't what the file holds."""
        log.info("%s: what was read of it has changed; it is read again", self.file.path)
        self.replay = Replay(self.file.path, self.header, self._follows)

    # -- one pass --------------------------------------------------------------------------------

    def advance(self, but_last: bool = False, to_the_end: bool = False) -> Stop:
        """Replay the whole frames; return why there are no more.

        ``but_last`` leaves the last frame unread. ``to_the_end``: a short read alone isn't taken
        for the end of the file, because the caller is going to write there.
        """
        replay = self.replay
        data, back = self._look()
        if back is None:
            return Stop(b"", changed=True)
        rest, more = data[back:], len(data)
        with _garbage_collector_paused(more >= _MANY_BYTES):
            while True:
                begin = replay.offset
                kept: Frame | None = None
                for frame in framing.frames(rest, begin):
                    if framing.passes_over(frame) and self._doubts(frame):
                        break
                    if self.restorations and self._restored_at(frame.start):
                        break
                    if but_last:
                        kept, frame = frame, kept
                        if frame is None:
                            continue
                    if not self.follows_on(frame):
                        return Stop(rest[replay.offset - begin :], orphan=frame)
                    if frame.experiment == framing.RESTORATION and self._is_news(frame):
                        return Stop(rest[replay.offset - begin :], news=True)
                    replay.take(frame)
                rest = rest[replay.offset - begin :]
                if self.restorations and (restored := self._restored_at(replay.offset)):
                    if restored.frames and not self.follows_on(restored.frames[0]):
                        return Stop(rest, orphan=restored.frames[0])
                    replay.take_restored(restored)
                    rest, more = b"", CHUNK
                if len(rest) >= framing.LONGEST_TORN:
                    return Stop(rest)
                if more < CHUNK and (
                    not to_the_end or self.file.ends_at(replay.offset + len(rest))
                ):
                    return Stop(rest)
                data = self.file.read(replay.offset + len(rest))
                more = len(data)
                if not data:
                    return Stop(rest)
                rest = rest + data if rest else data

    def _look(self) -> tuple[bytes, int | None]:
        """Return bytes of the file, and how many of them lie before this reader's place; None if
        the file no longer holds what was read before."""
        replay, file = self.replay, self.file
        offset = replay.offset
        if file.coherent:
            return (b"", None) if file.size() < offset else (file.read(offset), 0)
        # Elsewhere the last frame may have been in this host's cache only, or another host's late
        # write overwrote it.
        if not replay.is_verifiable:
            return file.read(offset), 0
        seal = replay.ahead
        if seal is not None and not framing.begins(file.read(seal.at, framing.LINKED), seal):
            return b"", None
        at, _ = replay.last
        if 0 < offset - at <= _NEAR:
            data = file.read(at)
            found = framing.frame_at(data, 0, at)
            return data, offset - at if found and found.link == replay.last else None
        there = framing.begins(file.read(at, framing.LINKED), replay.last)
        return (file.read(offset), 0) if there else (b"", None)

    def _restored_at(self, offset: int) -> Restored | None:
        """Return the restoration that has to be read at this offset and wasn't yet."""
        return None if offset in self.replay.restored else self.restorations.get(offset)

    def _is_news(self, frame: Frame) -> bool:
        """Return whether a restoration describes frames that weren't read in that place."""
        restored = framing.decode_restoration(frame)
        if restored is None or restored in self.recorded:
            return False
        self.recorded.append(restored)
        if self.restorations.get(restored.start) == restored:
            return False
        self._use_recorded()
        return True

    def add_recorded(self, start: int) -> bool:
        """Note all restorations that the file holds behind an offset; return whether any is new.

        They were written under the lock, by a process that knew what had been acknowledged.
        """
        rest, more = b"", b"."
        while more:
            more = self.file.read(start + len(rest))
            rest += more
        new = [one for one in framing.restorations(rest, start) if one not in self.recorded]
        if new:
            self.recorded += new
            self._use_recorded()
        return bool(new)

    def _use_recorded(self) -> None:
        # What this process found without the lock no longer counts.
        self.restorations = {one.start: one for one in self.recorded}

    def _doubts(self, seal: Frame) -> bool:
        """Return whether to read again before believing a seal that declares bytes torn.

        A stale page of a cache looks like torn bytes, and the page behind it may be fresh. A good
        frame that was passed over would be lost for good, so several fresh reads have to agree.
        """
        if self.file.coherent or self.file.direct:
            return False
        self._looks[seal.start] = self._looks.get(seal.start, 0) + 1
        return self._looks[seal.start] <= _LOOKS_AT_TORN

    # -- predecessors ----------------------------------------------------------------------------

    def follows_on(self, frame: Frame) -> bool:
        """Return whether nothing is lost between what was read and this frame.

        Where late writes destroy frames, a frame with any other predecessor than the last one shows
        that something is lost. Elsewhere its writer may only have read a stale cache.
        """
        if frame.before is None or frame.before.checksum == self.replay.last.checksum:
            return True
        return not self._has_copies and self.knows(frame.before)

    def knows(self, link: Link | None) -> bool:
        """Return whether the frame that ``link`` names is in the journal that was read."""
        if link is None or self.replay.knows(link):
            return True
        # A frame behind the oldest link in memory would have been found there.
        return link.at < self.replay.oldest and self._is_in_file(link)

    def _is_in_file(self, link: Link) -> bool:
        """Return whether the frame stands in the file, before this reader's place."""
        if link.at >= self.replay.offset:
            return False
        data = self.file.read(link.at, min(self.replay.offset - link.at, framing.LONGEST_FRAME))
        found = framing.frame_at(data, 0, link.at)
        return found is not None and found.link == link


@contextmanager
def _garbage_collector_paused(many: bool) -> Iterator[None]:
    """Pause the garbage collector for a block that makes many objects and keeps all of them."""
    pause = many and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()
