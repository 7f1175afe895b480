"""The pickle database: a journal in one file on shared storage, written under a lock.

The format is :mod:`orion_hpc.journal.framing`'s, and what an event is on the wire
:mod:`orion_hpc.model.wire`'s; this module knows how to append and how to read. Who follows these
steps with the same format writes into the same database:

*Append.* Take the lock of the kind that the header names. Look at the file, and replay what is new.
Ask the plan. Put a seal before the frame if torn bytes stand at the end: with the lock held no
writer is in the middle of its write, so a dead one left them. Write seal and frame with one
``write``, behind the last byte. Then read back up to the own frame and replay: only that tells
whether the events won. The frame carries the writer's own count of its transactions; replay takes a
count once, so a frame that is in the file twice counts once.

On a file system that is coherent on this host (ext4, xfs, …) the read-back is free when the frame
went where the reader stands, and the ``fdatasync`` happens after the lock is released: whatever
builds on a frame stands behind it, so what survives a crash of the host is a prefix, and the kernel
groups the syncs of many workers. Elsewhere every append is synced before the lock is let go of, and
nothing of this host's page cache is trusted (see :func:`orion_hpc.sharedfs.mounts.access`).

*A writer that stood still*, with its host or cut off from the file server, may have lost the lock
meanwhile. NFS 4 refuses its write then; it takes the lock again and looks again. A lease refuses
nothing: what is written late may go over what others appended. So nothing is acknowledged after the
lease's time without a second look under a new lease; each frame names its predecessor, and a file's
name the frame that was acknowledged last, so that a lost one is noticed; and each writer keeps a
copy of all it appends in a file of its own (:mod:`orion_hpc.journal.write_ahead`), from which
whoever notices it restores the frame.

*Read.* Takes no lock and reads to the last whole frame. Bytes that are no frame are a write in
progress, or torn, while nothing follows them; with a whole frame behind them they are looked at
again through a fresh descriptor, because a stale cache looks like that, and are damage if that
doesn't help. Damage is never passed over. A reader whose last frame doesn't stand in the file any
more (it had been in this host's page cache alone, or was written over) reads the whole file anew.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeAlias

from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.journal import creation, framing, safe_pickle, write_ahead
from orion_hpc.journal.base import Plan
from orion_hpc.journal.database_file import CHUNK, DatabaseFile, LockLost
from orion_hpc.journal.framing import Frame, Header, Link, Restored
from orion_hpc.journal.replay import Replay, is_transaction
from orion_hpc.journal.write_ahead import LastFrame, WriteAheadLog
from orion_hpc.model import wire
from orion_hpc.model.event import Event
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.sharedfs import layout, mounts
from orion_hpc.sharedfs.host_queue import HostQueue
from orion_hpc.sharedfs.lock import DatabaseLock, lock_path

_LOCK_TIMEOUT = 120.0
_READ_BACK_TIMEOUT = {False: 10.0, True: 0.5}
"""Seconds; by whether reads come from the server itself, and no cache can hide what is written."""

_TRIES = 3
_HEADER_LIMIT = 1 << 17
_STALE_WAITS = (0.0, 0.01, 0.1, 1.0)
"""Seconds between the looks that tell a stale cache from damage."""

_LOOKS_AT_TORN = 2

_SHORT_WRITES = 3
"""How often a write that was cut short, by a signal or a full disk, is made again."""

_MANY_BYTES = 1 << 20

_OTHER_FILE = "Choose another file with 'storage:' in the configuration or --storage."
_RELOADS = 3
"""How often the whole file is read anew for one look."""

_NEAR = 4096
"""Bytes: a last frame of so many is looked at in the same read as what stands behind it."""

log = logging.getLogger(__name__)


_Transaction: TypeAlias = tuple[str, int, list[Event]]


class _Stop(NamedTuple):
    """Why replay got no further: ``rest`` is the bytes from there on.

    ``changed``: what was read before doesn't stand in the file any more. ``news``: a restoration
    tells of frames that stood elsewhere in it. ``orphan``: a whole frame whose predecessor isn't
    known.
    """

    rest: bytes
    changed: bool = False
    news: bool = False
    orphan: Frame | None = None


class PickledDB:
    """One reader and writer of a database file.

    Parameters
    ----------
    path : str
        The file. It must exist; :meth:`create` makes it.
    follows : callable, default everything
        See :class:`~orion_hpc.model.state.State`.
    lock_timeout : float, default 120
        Seconds to wait for the lock.
    hurried : callable
        Whether to wait for it no longer than a few seconds: a job that is told to stop has no more.
    file : DatabaseFile, default that of ``path``
        For tests: a file system that lies.

    Raises
    ------
    StorageUnusable
        There is no such file, it is no database, it belongs to somebody else, or it was made by a
        newer version.
    """

    def __init__(
        self,
        path: str,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
        lock_timeout: float = _LOCK_TIMEOUT,
        hurried: Callable[[], bool] = lambda: False,
        file: DatabaseFile | None = None,
    ) -> None:
        self.path = creation.real_path(path)
        self._file = file = file or DatabaseFile.at(self.path)
        self._follows = follows
        self._pid = os.getpid()
        self._writer = os.urandom(8).hex()
        self._counter = 0
        self._acknowledged: dict[int, int] = {}
        self._looks: dict[int, int] = {}
        self._header = header = self._read_header()
        self._chained = header.version > 1
        self._replay = Replay(self.path, header, follows)
        self._refreshed = False
        self._restored: dict[int, Restored] = {}
        # Those that the journal itself tells of.
        self._told: list[Restored] = []
        self.id: str = header.content["id"]
        self.lock: str = header.content["lock"]
        self.group: bool = header.content.get("group") is True
        self._lock = DatabaseLock(
            lock_path(self.path, self.lock),
            self.lock,
            lock_timeout,
            hurried=hurried,
            mode=creation.file_mode(self.group),
            local=file.coherent,
            own=file if file.fenced else None,
            queue=None if file.coherent else HostQueue(self.path),
        )
        # Whether writers keep what they wrote in files of their own.
        self._folder = layout.write_ahead_folder(self.path, self.id)
        self._keeps = header.content.get("write_ahead") is True
        self._write_ahead: WriteAheadLog | None = None
        self._last_frame = LastFrame(self._folder) if self._keeps else None

    @classmethod
    def create(
        cls,
        path: str,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
        lock: str | None = None,
        group: bool = False,
    ) -> PickledDB:
        """Open the database, which is made first where there is none.

        Parameters
        ----------
        path, follows
            As of the class.
        lock : str, optional
            The kind of lock of a new one, by default what fits the file system. It stands in the
            file for ever: hosts see different mount tables and mustn't choose differently.
        group : bool, default False
            Whether the members of the file's group may use a new one.

        Raises
        ------
        StorageUnusable
            It can't be made; nothing is left.
        """
        path = creation.real_path(path)
        if not creation.is_there(path):
            mount = mounts.mount_of(os.path.dirname(path))
            kind = mounts.recorded_lock(mount, lock)
            header: dict[str, Any] = {"lock": kind, "id": os.urandom(16).hex()}
            if group:
                header["group"] = True
            if mounts.needs_write_ahead(mount, kind):
                header["write_ahead"] = True
            cls._make(path, header, group)
        return cls(path, follows)

    @staticmethod
    def _make(path: str, header: dict[str, Any], group: bool) -> None:
        content, mode = framing.encode_header(header), creation.file_mode(group)
        if not header.get("write_ahead"):
            creation.publish(path, content, mode)
            return
        last = LastFrame(layout.write_ahead_folder(path, header["id"]))
        with last.made(group):
            if not creation.publish(path, content, mode):
                last.remove()  # somebody else was faster

    @property
    def state(self) -> State:
        return self._replay.state

    def refresh(self) -> State:
        with self._opened():
            left = self._catch_up()
            if self._last_frame is not None and not self._refreshed:
                self._read_what_is_kept(self._last_frame, left)
            self._refreshed = True
        return self.state

    def _read_what_is_kept(self, last_frame: LastFrame, left: int) -> None:
        """See that what was acknowledged last is there; what isn't, is read from its writer's copy.

        Once: each later transaction names the one before it.
        """
        last = last_frame.read()
        if last is None or last.at == 0 or self._knows(last):
            return
        for pause in _STALE_WAITS:  # it may have been recorded after the file was read
            time.sleep(pause)
            self._file.reopen()
            left = self._catch_up()
            if self._knows(last):
                return
            if self._restore(last, self._replay.offset + left):
                self._catch_up()
                return
        raise self._damaged(self._lacking(self._replay.offset))

    def transact(self, number: int, plan: Plan) -> State:
        self._be_one_writer()
        payload, counter = b"", self._counter
        own: _Transaction | None = None
        trouble: LockLost | None = None
        for _ in range(_TRIES):
            try:
                with self._lock.held(self._look_ahead), self._opened(writable=True):
                    last, left = self._prepare()
                    if own is None:
                        events = plan(self.state)
                        if not events:
                            return self.state
                        if self._lock.overdue:
                            raise self._overdue("nothing was written")
                        payload, own = self._encode(events)
                    elif self._has(number, counter):
                        self._acknowledge(last, self._replay.last)
                        return self.state
                    link, end = self._append(number, payload, left)
                    if not self._file.coherent:
                        self._file.sync()
                    self._acknowledge(last, link)
            except LockLost as error:
                trouble = error
                continue
            if self._file.coherent and link.at == self._replay.offset:
                self.state.apply(number, *own)
                self._replay.pass_by(link, end)
            # A frame that doesn't come back, because another client wrote over it, is written
            # again: it carries the writer's count, and so can't count twice.
            if self._read_back(number, counter):
                break
        else:
            raise trouble or self._hidden()
        if self._file.coherent:
            self._file.sync()
        self._acknowledged[number] = counter
        return self.state

    def _acknowledge(self, last: Link | None, link: Link) -> None:
        """Name the frame that its writer is told of now; ``last`` is what was named before.

        Raises
        ------
        LockLost
            Somebody else was told of another one meanwhile.
        """
        if last is None or last == link or self._last_frame is None:
            return
        if not self._last_frame.advance(last, link):
            raise self._overdue("what was written has to be looked for")

    def recover(self) -> None:
        """Put back into the file what was destroyed of it, and its writers have kept.

        Every transaction does that first; this is for those who only read. The lock is taken if
        need be.
        """
        self.refresh()
        found_here = any(one not in self._told for one in self._restored.values())
        if self._last_frame is not None and (
            found_here or not self._replay.knows(self._last_frame.read())
        ):
            with self._lock.held(self._look_ahead), self._opened(writable=True):
                self._prepare()

    def position(self) -> int:
        return self._file.position()

    def close(self) -> None:
        self._lock.close()
        self._file.close()

    @contextmanager
    def _opened(self, writable: bool = False) -> Iterator[None]:
        self._file.open(writable)
        try:
            yield
        finally:
            self._file.done()

    # -- reading ---------------------------------------------------------------------------------

    def _read_header(self) -> Header:
        with self._opened():
            data = self._file.read(0, _HEADER_LIMIT)
            status = self._file.status()
        try:
            decoded = framing.decode_header(data)
        except framing.NewerVersion as error:
            raise StorageUnusable(
                f"{self.path} was made by a newer version of orion-hpc "
                f"(its format is {error.version}, this one reads up to {framing.VERSION})",
                "Upgrade with: pip install --upgrade orion-hpc",
            ) from None
        except (framing.NotAJournal, pickle.UnpicklingError):
            raise StorageUnusable(
                f"{self.path} isn't a database of orion-hpc", _OTHER_FILE
            ) from None
        if decoded is None:
            raise StorageUnusable(
                f"{self.path} is empty"
                if not data
                else f"{self.path} isn't a whole database of orion-hpc",
                _OTHER_FILE,
            )
        creation.check_owner(self.path, status, decoded.content.get("group") is True)
        self._file.remember(data[: decoded.end])
        return decoded

    def _prepare(self) -> tuple[Link | None, int]:
        """Read all there is, with the lock held, and restore what was lost.

        Returns
        -------
        tuple
            The name of the frame that was acknowledged last, None if nobody tells; and how many
            torn bytes stand at the end.
        """
        last = self._last_frame.read() if self._last_frame else None
        self._file.check_in_place()
        left = self._catch_up(mend=True)
        if last is not None and last.at > 0 and not self._replay.knows(last):
            # What stands behind the last frame that it builds on was never acknowledged.
            if not self._restore(last, self._replay.offset + left):
                raise self._damaged(self._lacking(self._replay.offset))
            left = self._catch_up(mend=True)
        for restored in list(self._restored.values()):
            if restored not in self._told:
                if not framing.is_restorable(restored.frames):
                    raise self._damaged(
                        self._lacking(restored.start, "and it is more than a job can restore")
                    )
                self._append(framing.RESTORATION, framing.encode_restoration(restored), left)
                left = self._catch_up(mend=True)
        if self._last_frame and last is None:
            last = self._replay.last
            self._last_frame.begin(last)
        return last, left

    def _catch_up(self, mend: bool = False) -> int:
        """Replay every whole frame from where this reader stands; return how many bytes are left.

        Bytes that are left are a write in progress or a torn one. A whole frame beyond them means
        that they are neither: a stale cache, if a freshly opened file shows them whole; or a torn
        write that the next writer didn't see, which is sealed here if ``mend`` says that the lock
        is held, and read up to else; or damage.
        """
        before = self._replay
        try:
            left = self._read_on(mend)
        except BaseException:
            self._replay = before  # rather than one that is half read anew
            raise
        if self._replay is not before:
            if not self._keeps and self._lacks_own():
                self._replay = before
                raise self._damage(_Stop(b"", changed=True), None)
            # Algorithms are to learn anew, too.
            for number, old in before.state.experiments.items():
                if number in self.state.experiments:
                    self.state.experiments[number].undone += old.undone + 1
        return left

    def _lacks_own(self) -> bool:
        """Whether what this writer was told is recorded isn't there."""
        return any(not self._has(*one) for one in self._acknowledged.items())

    def _read_on(self, mend: bool) -> int:
        looks = reloads = 0
        mended = -1
        while True:
            offset = self._replay.offset
            stop = self._replay_new(to_the_end=mend and self._file.direct)
            if stop.news:
                self._reload()
                continue
            beyond = stop.orphan or self._frame_beyond(stop.rest)
            if beyond is None and not stop.changed:
                if len(stop.rest) >= framing.LONGEST_TORN:
                    raise self._damage(stop, None)
                return len(stop.rest)
            if self._replay.offset != offset:
                looks = 0
            if looks < len(_STALE_WAITS):
                time.sleep(_STALE_WAITS[looks])
                looks += 1
                self._file.reopen()
            elif self._is_torn(stop, beyond):
                if not mend or mended == self._replay.offset:
                    return len(stop.rest)
                seal = framing.encode_seal(
                    self._replay.offset,
                    beyond.link.at if beyond else None,
                    self._replay.last if self._chained else None,
                )
                self._write(seal, len(stop.rest))
                mended = self._replay.offset
                looks = 0
            elif beyond and beyond.before and self._restores(beyond, beyond.before):
                looks = 0
            elif self._may_reload(stop, reloads):
                self._reload()
                reloads += 1
                looks = 0
            else:
                raise self._damage(stop, beyond)

    def _is_torn(self, stop: _Stop, beyond: Frame | None) -> bool:
        """Whether the bytes that are left were cut short, and nothing is lost with them."""
        if beyond is None or stop.orphan or stop.changed:
            return False
        if self._chained:
            return self._follows_on(beyond)
        return framing.cut_short(stop.rest, beyond.start - self._replay.offset)

    def _look_ahead(self) -> None:
        """Replay what others write while this one waits for the lock.

        Under the lock everyone else would wait for it: a thousand workers each replay a thousand
        frames between two of their own. What can't be read now is told under the lock, if it still
        can't be then.

        On a file system that isn't coherent the holder syncs before it lets go, and a sync may
        fail: what this host's cache shows until then never was in the file. A frame with another
        one behind it was synced. What is read past the cache is in the file.
        """
        with suppress(StorageError), self._opened():
            self._replay_new(but_last=not (self._file.coherent or self._file.direct))

    def _frame_beyond(self, rest: bytes) -> Frame | None:
        """Return where behind no frame at all one begins again."""
        try:
            return framing.whole_frame_beyond(rest, 0, self._replay.offset) if rest else None
        except framing.Overwhelmed:
            raise self._damage(_Stop(rest), None) from None

    def _damage(self, stop: _Stop, beyond: Frame | None) -> DamagedDatabase:
        offset = self._replay.offset
        if stop.orphan:
            return self._damaged(self._lacking(self._replay.offset))
        if stop.changed:
            return self._damaged(f"is shorter than it was: {offset} bytes of it were read before")
        trouble = f"is damaged at offset {offset}: no frame begins there"
        return self._damaged(trouble + (f", but one does at {beyond.link.at}" if beyond else ""))

    def _lacking(self, at: int, why: str = "and no writer has kept it") -> str:
        return (
            f"lacks at offset {at} what other results build on: it was destroyed, "
            f"by a late write of another host or by the file system, {why}"
        )

    def _damaged(self, trouble: str) -> DamagedDatabase:
        return DamagedDatabase(
            f"{self.path} {trouble}",
            f"'orion-hpc db check {shlex.quote(self.path)}' tells more; once no worker is at work, "
            f"'orion-hpc db repair {shlex.quote(self.path)}' saves what is whole.",
        )

    def _replay_new(self, but_last: bool = False, to_the_end: bool = False) -> _Stop:
        """Replay the whole frames; return why there are no more.

        ``but_last`` leaves the last one for another time. ``to_the_end``: not even a read that
        comes back short is taken for the end of the file, as it is to be written there.
        """
        replay = self._replay
        data, back = self._look()
        if back is None:
            return _Stop(b"", changed=True)
        rest, more = data[back:], len(data)
        with _many_objects(more >= _MANY_BYTES):
            while True:
                begin = replay.offset
                kept: Frame | None = None
                for frame in framing.frames(rest, begin):
                    if framing.passes_over(frame) and self._doubts(frame):
                        break
                    if self._restored and self._restored_at(frame.start):
                        break
                    if but_last:
                        kept, frame = frame, kept
                        if frame is None:
                            continue
                    if not self._follows_on(frame):
                        return _Stop(rest[replay.offset - begin :], orphan=frame)
                    if frame.experiment == framing.RESTORATION and self._is_news(frame):
                        return _Stop(rest[replay.offset - begin :], news=True)
                    replay.take(frame)
                rest = rest[replay.offset - begin :]
                if self._restored and (restored := self._restored_at(replay.offset)):
                    if restored.frames and not self._follows_on(restored.frames[0]):
                        return _Stop(rest, orphan=restored.frames[0])
                    replay.take_restored(restored)
                    rest, more = b"", CHUNK
                if len(rest) >= framing.LONGEST_TORN or (more < CHUNK and not to_the_end):
                    return _Stop(rest)
                data = self._file.read(replay.offset + len(rest))
                more = len(data)
                if not data:
                    return _Stop(rest)
                rest = rest + data if rest else data

    def _look(self) -> tuple[bytes, int | None]:
        """Return bytes of the file, and after how many of them this reader stands; None if what it
        read before doesn't stand there any more."""
        replay, file = self._replay, self._file
        offset = replay.offset
        if file.coherent:
            return (b"", None) if file.size() < offset else (file.read(offset), 0)
        # Elsewhere the last frame may have been in this host's cache alone, or another host's late
        # write went over it.
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
        """Return what is to be read at this offset, unless it was."""
        return None if offset in self._replay.restored else self._restored.get(offset)

    def _is_news(self, frame: Frame) -> bool:
        """Whether a restoration tells of frames that weren't read in that place."""
        restored = framing.decode_restoration(frame)
        if restored is None or restored in self._told:
            return False
        self._told.append(restored)
        if self._restored.get(restored.start) == restored:
            return False
        # What this one found out without the lock counts no more.
        self._restored = {one.start: one for one in self._told}
        return True

    def _doubts(self, seal: Frame) -> bool:
        """Whether a seal isn't believed yet that says that the bytes before it are torn.

        A stale page of a cache looks like torn bytes, and the one behind it may be fresh. Passing
        over a good frame would be for ever, so fresh looks have to say the same.
        """
        if self._file.coherent or self._file.direct:
            return False
        self._looks[seal.start] = self._looks.get(seal.start, 0) + 1
        return self._looks[seal.start] <= _LOOKS_AT_TORN

    def _read_back(self, number: int, counter: int) -> bool:
        """Read until the own transaction has been replayed; return whether it was.

        A client's cache may show the file without it for a while; freshly opened it comes to light.
        """
        deadline = time.monotonic() + _READ_BACK_TIMEOUT[self._file.direct]
        pause = 0.001
        while not self._has(number, counter):
            with self._opened():
                left = self._catch_up()
            if self._has(number, counter):
                break
            # Bytes that stay are torn, and in the way: what is written next seals them.
            if time.monotonic() > deadline or (left and pause > 0.1):
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        return True

    def _has(self, number: int, counter: int) -> bool:
        return self.state.seen(number, self._writer) >= counter

    def _hidden(self) -> StorageError:
        return StorageError(
            f"{self.path}: what was just written doesn't come back on reading (the file can be "
            f"read up to {self._replay.offset})",
            "The file system hides its own writes; look into its mount options.",
        )

    # -- what was lost ---------------------------------------------------------------------------

    def _follows_on(self, frame: Frame) -> bool:
        """Whether nothing is lost between what was read and this frame.

        Where writers can be overtaken, one that builds on something else was.
        """
        if frame.before is None or frame.before.checksum == self._replay.last.checksum:
            return True
        return not self._keeps and self._knows(frame.before)

    def _knows(self, link: Link | None) -> bool:
        """Whether the frame of this name is in the journal that was read."""
        if link is None or self._replay.knows(link):
            return True
        # Of those that are remembered it would have to be one.
        return link.at < self._replay.oldest and self._named(link) is not None

    def _named(self, link: Link) -> Frame | None:
        """Return the frame of this name, if it stands in the file before this reader's place."""
        if link.at >= self._replay.offset:
            return None
        data = self._file.read(link.at, min(self._replay.offset - link.at, framing.LONGEST_FRAME))
        found = framing.frame_at(data, 0, link.at)
        return found if found is not None and found.link == link else None

    def _restores(self, frame: Frame, before: Link) -> bool:
        """Put what was lost before ``frame`` in its place; return whether reading can go on."""
        if not self._keeps:
            return False
        if self._hear_of_all(frame.link.at):
            self._reload()
            return True
        # A seal begins where the torn bytes do; reading goes on at itself, or where it says.
        return self._restore(before, min(frame.link.at, frame.end))

    def _hear_of_all(self, start: int) -> bool:
        """Take note of all restorations behind an offset; return whether there are new ones.

        They were made under the lock, by somebody who knew what had been acknowledged.
        """
        rest, more = b"", b"."
        while more:
            more = self._file.read(start + len(rest))
            rest += more
        new = [one for one in framing.restorations(rest, start) if one not in self._told]
        if new:
            self._told += new
            self._restored = {one.start: one for one in self._told}
        return bool(new)

    def _restore(self, wanted: Link, end: int) -> bool:
        """Have the journal go on at the offset ``end`` behind the frame that is ``wanted``; return
        whether it and all that it builds on can be had.

        What was read since that isn't one of these was a late write, and went over them.
        """
        kept = {one.link.checksum: one for one in write_ahead.frames_in(self._folder)}
        follows, lost = write_ahead.lost_before(kept, wanted, self._replay.knows)
        place = self._replay.place_of(follows) if follows else None
        if place is None:
            return False
        restored = framing.restored(place.end, end, [*place.frames, *lost])
        if self._restored.get(place.end) == restored:
            return False
        log.warning(
            "%s: what was destroyed at offset %s (transactions: %d) is read from its writers' "
            "copies. To put it back: orion-hpc db repair %s",
            self.path, f"{place.end:,}", sum(map(is_transaction, lost)), shlex.quote(self.path),
        )  # fmt: skip
        self._restored[place.end] = restored
        if place.end != self._replay.offset or place.frames:
            self._reload()
        return True

    def _may_reload(self, stop: _Stop, reloads: int) -> bool:
        """Whether to read the file anew: perhaps this host alone read something else.

        What changed is the last frame: another host's late write went over it, or it was in this
        host's cache alone, since its sync failed. More than that is damage, unless the writers have
        kept what they wrote.
        """
        if self._file.coherent or not (stop.changed or stop.orphan):
            return False
        if reloads >= (_RELOADS if stop.changed else 1):
            return False
        if self._keeps:
            return True
        return not self._file.direct and (bool(stop.orphan) or self._lost_the_last_alone())

    def _lost_the_last_alone(self) -> bool:
        link = self._replay.previous
        if link == self._header.link:
            return True
        found = framing.frame_at(self._file.read(link.at, framing.LONGEST_FRAME), 0, link.at)
        return found is not None and found.link == link

    def _reload(self) -> None:
        """Begin anew: what was read isn't what the file holds."""
        log.info("%s: what was read of it has changed; it is read anew", self.path)
        self._replay = Replay(self.path, self._header, self._follows)

    # -- writing ---------------------------------------------------------------------------------

    def _encode(self, events: Sequence[Event]) -> tuple[bytes, _Transaction]:
        """Return the payload of a transaction, and what a reader gets from it."""
        payload = safe_pickle.dumps(wire.encode_transaction(self._writer, self._counter, events))
        # What no reader takes isn't written; and nobody shares a mutable value with the plan.
        own = wire.decode_transaction(safe_pickle.loads(payload))
        framing.encode_frame(0, payload)
        self._counter += 1
        return payload, own

    def _be_one_writer(self) -> None:
        """Be another one than the process that this one was forked from: two with one name and one
        count would take each other's transactions for their own."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._writer = os.urandom(8).hex()
            self._counter = 0
            self._acknowledged = {}
            self._write_ahead = None

    def _append(self, number: int, payload: bytes, left: int) -> tuple[Link, int]:
        """Append a frame, behind a seal if there are torn bytes; return its name and its end, as
        they seem to be.

        Of a write that is cut short the taken bytes are torn ones for the next one.
        """
        if self._lock.overdue:
            raise self._overdue("nothing was written")
        replay = self._replay
        before = replay.last if self._chained else None
        for _ in range(_SHORT_WRITES):
            seal = framing.encode_seal(replay.offset, None, before) if left else b""
            if seal and before is not None:
                before = framing.link_to(seal, replay.offset + left)
            frame = framing.encode_frame(number, payload, before)
            self._keep(seal + frame)
            written, end = self._file.append(seal + frame, replay.offset + left)
            if written == len(seal) + len(frame):
                return framing.link_to(frame, end - len(frame)), end
            left += written
            before = replay.last if self._chained else None
        raise self._file.full()

    def _write(self, frame: bytes, left: int) -> None:
        """Append a frame that tells how to read others."""
        if self._lock.overdue:
            raise self._overdue("nothing was written")
        self._keep(frame)
        self._file.append(frame, self._replay.offset + left)
        if not self._file.coherent:
            self._file.sync()

    def _keep(self, frames: bytes) -> None:
        """Write frames into this writer's own file, where a late write may destroy them here."""
        if not self._keeps:
            return
        if self._write_ahead is None:
            self._write_ahead = WriteAheadLog(self._folder, self._writer)
        self._write_ahead.write(frames)

    def _overdue(self, then: str) -> LockLost:
        return LockLost(
            f"this process was held up for so long that the lock of {self.path} may be another's "
            f"now; {then}",
            "Try again.",
        )


@contextmanager
def _many_objects(many: bool) -> Iterator[None]:
    """Have no garbage looked for in the block: it makes many objects, all of which are kept."""
    pause = many and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()
