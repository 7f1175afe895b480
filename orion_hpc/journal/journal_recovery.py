"""Reading on where a pass stops: stale caches, torn writes, frames that a late write destroyed.

Tells these apart from damage, which is reported and never passed over. With the lock held, torn
bytes are sealed and lost frames are restored in the journal, from their writers' copies.
"""

from __future__ import annotations

import logging
import shlex
import time

from orion_hpc.errors import DamagedDatabase
from orion_hpc.journal import framing, write_ahead
from orion_hpc.journal.framing import Frame, Link
from orion_hpc.journal.reader import JournalReader, Stop
from orion_hpc.journal.replay import is_transaction
from orion_hpc.journal.writer import JournalWriter

_STALE_WAITS = (0.0, 0.01, 0.1, 1.0)
"""Seconds before each further look, which together tell a stale cache from damage."""

_RELOADS = 3
"""How often the whole file is read again at most, in one call."""

log = logging.getLogger(__name__)


class JournalRecovery:
    """Brings a reader to the end of the journal, whatever stands in the way.

    Parameters
    ----------
    reader : JournalReader
    writer : JournalWriter
        Of the same process.
    copies : str, optional
        The folder with the writers' copies of what they appended; None where there are none.
    """

    def __init__(self, reader: JournalReader, writer: JournalWriter, copies: str | None) -> None:
        self._reader = reader
        self._writer = writer
        self._file = reader.file
        self._copies = copies

    # -- reading on ------------------------------------------------------------------------------

    def catch_up(self, mend: bool = False) -> int:
        """Replay every whole frame from where the reader is; return how many bytes are left.

        Bytes that are left are a write in progress or a torn one. If a whole frame stands behind
        them, they are neither. Then there are three cases: the cache is stale, and a freshly opened
        file shows the frame whole; or a torn write, which the next writer didn't see; or damage. A
        torn write is sealed if ``mend`` says that the lock is held, else reading ends before it.

        Raises
        ------
        DamagedDatabase
        """
        reader = self._reader
        before = reader.replay
        try:
            left = self._read_on(mend)
        except BaseException:
            reader.replay = before  # not one that was read again by half
            raise
        if reader.replay is not before:
            if self._copies is None and self._writer.lacks_own():
                reader.replay = before
                raise self._damage(Stop(b"", changed=True), None)
            # Algorithms have to learn again, too.
            for number, old in before.state.experiments.items():
                if number in reader.state.experiments:
                    reader.state.experiments[number].undone += old.undone + 1
        return left

    def _read_on(self, mend: bool) -> int:
        reader = self._reader
        looks = reloads = 0
        mended = -1
        while True:
            offset = reader.replay.offset
            stop = reader.advance(to_the_end=mend and self._file.direct)
            if stop.news:
                reader.restart()
                continue
            beyond = stop.orphan or self._frame_beyond(stop.rest)
            if beyond is None and not stop.changed:
                if len(stop.rest) >= framing.LONGEST_TORN:
                    raise self._damage(stop, None)
                return len(stop.rest)
            if reader.replay.offset != offset:
                looks = 0
            if looks < len(_STALE_WAITS):
                time.sleep(_STALE_WAITS[looks])
                looks += 1
                self._file.reopen()
            elif self._is_torn(stop, beyond):
                if not mend or mended == reader.replay.offset:
                    return len(stop.rest)
                self._writer.append_seal(beyond.link.at if beyond else None, len(stop.rest))
                mended = reader.replay.offset
                looks = 0
            elif beyond and beyond.before and self._restore_before(beyond, beyond.before):
                looks = 0
            elif self._may_restart(stop, reloads):
                reader.restart()
                reloads += 1
                looks = 0
            else:
                raise self._damage(stop, beyond)

    def _frame_beyond(self, rest: bytes) -> Frame | None:
        """Return the first whole frame behind bytes that are none."""
        try:
            return framing.whole_frame_beyond(rest, 0, self._reader.replay.offset) if rest else None
        except framing.Overwhelmed:
            raise self._damage(Stop(rest), None) from None

    def _is_torn(self, stop: Stop, beyond: Frame | None) -> bool:
        """Return whether the bytes that are left were cut short, and nothing is lost with them."""
        if beyond is None or stop.orphan or stop.changed:
            return False
        if self._reader.header.names_predecessors:
            return self._reader.follows_on(beyond)
        return framing.cut_short(stop.rest, beyond.start - self._reader.replay.offset)

    def _may_restart(self, stop: Stop, reloads: int) -> bool:
        """Return whether to read the whole file again, as only this host may have read otherwise.

        The last frame may have changed: another host's late write overwrote it, or it was in this
        host's cache only, since its sync failed. More than that is damage, unless the writers keep
        copies of what they wrote.
        """
        if self._file.coherent or not (stop.changed or stop.orphan):
            return False
        if reloads >= (_RELOADS if stop.changed else 1):
            return False
        if self._copies is not None:
            return True
        return not self._file.direct and (bool(stop.orphan) or self._lost_only_the_last())

    def _lost_only_the_last(self) -> bool:
        link = self._reader.replay.previous
        if link == self._reader.header.link:
            return True
        found = framing.frame_at(self._file.read(link.at, framing.LONGEST_FRAME), 0, link.at)
        return found is not None and found.link == link

    # -- restoring -------------------------------------------------------------------------------

    def find_last_acknowledged(self, left: int) -> None:
        """See to it that the frame that was acknowledged last has been read.

        One that the file lacks is read from its writer's copy. Needed once: each later transaction
        names its predecessor. ``left`` is what :meth:`catch_up` has just returned.

        Raises
        ------
        DamagedDatabase
            There is no copy of it, or of a frame that it builds on.
        """
        reader = self._reader
        last = self._writer.last_frame.read() if self._writer.last_frame else None
        if last is None or last.at == 0 or reader.knows(last):
            return
        for pause in _STALE_WAITS:  # it may have been recorded after the file was read
            time.sleep(pause)
            self._file.reopen()
            left = self.catch_up()
            if reader.knows(last):
                return
            if self._restore(last, reader.replay.offset + left):
                self.catch_up()
                return
        raise self._damaged(_lacking(reader.replay.offset))

    def prepare_append(self) -> tuple[Link | None, int]:
        """Read all there is, with the lock held, and restore what was lost.

        Returns
        -------
        tuple
            The frame that was acknowledged last, None where none is named; and how many torn bytes
            stand at the end.

        Raises
        ------
        DamagedDatabase
            Something can't be restored.
        """
        reader, last_frame = self._reader, self._writer.last_frame
        last = last_frame.read() if last_frame else None
        self._file.check_in_place()
        left = self.catch_up(mend=True)
        if last is not None and last.at > 0 and not reader.replay.knows(last):
            # Frames behind the last one that it builds on were never acknowledged.
            if not self._restore(last, reader.replay.offset + left):
                raise self._damaged(_lacking(reader.replay.offset))
            left = self.catch_up(mend=True)
        for restored in list(reader.restorations.values()):
            if restored not in reader.recorded:
                if not framing.is_restorable(restored.frames):
                    raise self._damaged(
                        _lacking(restored.start, "and it is more than a job can restore")
                    )
                payload = framing.encode_restoration(restored)
                self._writer.append(framing.RESTORATION, payload, left)
                left = self.catch_up(mend=True)
        if last_frame and last is None:
            last = reader.replay.last
            last_frame.begin(last)
        return last, left

    @property
    def is_needed(self) -> bool:
        """Whether the journal that was read lacks frames of which there are copies."""
        reader, last_frame = self._reader, self._writer.last_frame
        if last_frame is None:
            return False
        found_here = any(one not in reader.recorded for one in reader.restorations.values())
        return found_here or not reader.replay.knows(last_frame.read())

    def _restore_before(self, frame: Frame, before: Link) -> bool:
        """Put what was lost before ``frame`` in its place; return whether reading can go on."""
        if self._copies is None:
            return False
        if self._reader.add_recorded(frame.link.at):
            self._reader.restart()
            return True
        # A seal begins where the torn bytes do. Reading goes on at the seal itself, or where it
        # says.
        return self._restore(before, min(frame.link.at, frame.end))

    def _restore(self, wanted: Link, end: int) -> bool:
        """Have the journal continue at the offset ``end`` behind the frame that is ``wanted``.

        Return whether there are copies of it and of all that it builds on. What was read since and
        isn't one of these was a late write, and overwrote them.
        """
        reader = self._reader
        assert self._copies is not None  # for the type checker: callers know of a frame in it
        kept = {one.link.checksum: one for one in write_ahead.frames_in(self._copies)}
        follows, lost = write_ahead.lost_before(kept, wanted, reader.replay.knows)
        place = reader.replay.position_of(follows) if follows else None
        if place is None:
            return False
        restored = framing.restored(place.end, end, [*place.frames, *lost])
        if reader.restorations.get(place.end) == restored:
            return False
        log.warning(
            "%s: what was destroyed at offset %s (transactions: %d) is read from its writers' "
            "copies. To put it back: orion-hpc db repair %s",
            self._file.path, f"{place.end:,}", sum(map(is_transaction, lost)),
            shlex.quote(self._file.path),
        )  # fmt: skip
        reader.restorations[place.end] = restored
        if place.end != reader.replay.offset or place.frames:
            reader.restart()
        return True

    # -- damage ----------------------------------------------------------------------------------

    def _damage(self, stop: Stop, beyond: Frame | None) -> DamagedDatabase:
        offset = self._reader.replay.offset
        if stop.orphan:
            return self._damaged(_lacking(offset))
        if stop.changed:
            return self._damaged(f"is shorter than it was: {offset} bytes of it were read before")
        trouble = f"is damaged at offset {offset}: no frame begins there"
        return self._damaged(trouble + (f", but one does at {beyond.link.at}" if beyond else ""))

    def _damaged(self, trouble: str) -> DamagedDatabase:
        path = self._file.path
        return DamagedDatabase(
            f"{path} {trouble}",
            f"'orion-hpc db check {shlex.quote(path)}' tells more; once no worker is at work, "
            f"'orion-hpc db repair {shlex.quote(path)}' saves what is whole.",
        )


def _lacking(at: int, why: str = "and no writer has kept it") -> str:
    return (
        f"lacks at offset {at} what other results build on: it was destroyed, "
        f"by a late write of another host or by the file system, {why}"
    )
