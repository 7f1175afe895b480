"""Write-ahead logs: a file for each writer, with all that it ever appended to the journal.

Needed where no lock keeps a writer that stood still from writing late over what others appended
meanwhile (a lease: see :mod:`orion_hpc.sharedfs.lock`). A writer puts its frame here, durably,
before it puts it into the journal. Nobody else writes into its file, so what is in it can't be
destroyed; from it any other process can restore the frame.

The files hold whole frames of version 2 and nothing else. One that is cut short ends the file.

Beside them stands :class:`LastFrame`, by which the file server itself decides between two writers:
it names the frame that was acknowledged last, so that nobody builds on a journal without it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping

from orion_hpc.errors import StorageError, StorageUnusable
from orion_hpc.journal import framing
from orion_hpc.journal.framing import Frame, Link
from orion_hpc.sharedfs import layout

_NOTHING = Link(0, 0)
_PAUSES = (0.0, 0.02, 0.2)
"""Seconds before each look: a list that is made while a file is renamed may have neither name."""


class WriteAheadLog:
    """One writer's file in ``folder``, which is made when the first frame comes."""

    def __init__(self, folder: str, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._files = 0
        self._begun = False

    @property
    def path(self) -> str:
        """The file that is written to."""
        return os.path.join(self._folder, f"{self._writer}.{self._files}")

    def write(self, frame: bytes) -> None:
        """Return when the frame is where a crash of this host doesn't reach it.

        Raises
        ------
        StorageError
            It can't be kept, so it must not be appended either.
        """
        try:
            # Nothing stays open: what is can't be removed for good on a network file system.
            fd = self._open()
            try:
                if os.write(fd, frame) == len(frame):
                    return
            finally:
                os.close(fd)
            reason = "No space left on device"
        except OSError as error:
            reason = error.strerror or str(error)
        path = self.path
        # What stands behind a frame that was cut short wouldn't be read.
        self._files += 1
        self._begun = False
        raise StorageError(
            f"can't write ahead to {path}: {reason}",
            "Check the free space and the permissions there.",
        )

    def _open(self) -> int:
        # Synchronous: each write is durable on return.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_DSYNC
        if self._begun:
            try:
                return os.open(self.path, flags)
            except FileNotFoundError:  # it was settled, and tidied away
                self._files += 1
        layout.make_folder(self._folder)
        fd = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        self._begun = True
        layout.share(fd, self._folder)
        return fd


class LastFrame:
    """Names the frame that was acknowledged last: by the name of an empty file, the only one in
    its folder.

    A writer renames it from the name that it found under the lock to that of its own frame. The
    server does one such renaming after the other, so one that comes late finds the old name gone.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "last")

    @contextlib.contextmanager
    def made(self, group: bool) -> Iterator[None]:
        """Make the file of a new journal, before anybody can know of the journal; remove it again
        if the block fails.

        Raises
        ------
        StorageUnusable
            It can't be made; nothing is left.
        """
        with layout.provided(self._folder, group):
            try:
                os.close(os.open(self._path(_NOTHING), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                yield
            except OSError as error:
                self.remove()
                raise StorageUnusable(
                    f"can't create {self._folder}: {error.strerror}",
                    "Check the free space and the permissions there.",
                ) from error
            except BaseException:
                self.remove()
                raise

    def remove(self) -> None:
        """Take the file of a journal away that nobody knows of."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(_NOTHING))
            os.rmdir(self._folder)
            os.rmdir(os.path.dirname(self._folder))

    def read(self) -> Link | None:
        """Return which frame that is, by what this host knows; None of a database that was copied
        without its folder.

        Raises
        ------
        StorageError
            That can't be told.
        """
        try:
            for pause in _PAUSES:
                time.sleep(pause)
                if found := self._names():
                    return max(found)  # a copy that was made bit by bit has older ones, too
            reason = "it is empty"
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror or str(error)
        raise StorageError(
            f"can't tell from {self._folder} which result was recorded last: {reason}",
            "Put the folder back as it was; or, while no job uses the database, remove it.",
        )

    def _names(self) -> list[Link]:
        found = []
        for name in os.listdir(self._folder):
            at, _, checksum = name.partition("-")
            with contextlib.suppress(ValueError):
                found.append(Link(int(at, 16), int(checksum, 16)))
        return found

    def begin(self, link: Link) -> None:
        """Make the folder of a database that was copied without it; the lock is held.

        Raises
        ------
        StorageError
            It can't be made.
        """
        try:
            layout.make_folder(self._folder)
            os.close(os.open(self._path(link), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise StorageError(
                f"can't create {self._folder}: {error.strerror}",
                "Check the free space and the permissions there.",
            ) from error

    def advance(self, old: Link, new: Link) -> bool:
        """Put ``new`` in the place of ``old``; return whether it was ``old`` until now."""
        try:
            os.rename(self._path(old), self._path(new))
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(
                f"can't rename the file in {self._folder}: {error.strerror}",
                "Check the free space and the permissions there.",
            ) from error
        return True

    def _path(self, link: Link) -> str:
        return os.path.join(self._folder, f"{link.at:x}-{link.checksum:08x}")


def frames_in(folder: str) -> Iterator[Frame]:
    """Yield the frames of all writers' files.

    Raises
    ------
    StorageError
        One of them can't be read: it isn't known what is kept.
    """
    names: list[str] = []
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unreadable(folder, error) from error
    for name in names:
        path = os.path.join(folder, name)
        try:
            yield from _frames_of(path)
        except FileNotFoundError:  # it was settled, and tidied away
            continue
        except OSError as error:
            raise _unreadable(path, error) from error


def _frames_of(path: str) -> Generator[Frame, None, bool]:
    """Yield the frames of one writer's file; return whether nothing else is in it.

    What isn't a file has none, such as the folder of :class:`LastFrame`. No more is read than the
    frames that there are, and what may be one.
    """
    # O_NONBLOCK: a FIFO would block the open for ever.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        data, base = b"", 0
        while more := os.pread(fd, framing.LONGEST_FRAME, base + len(data)):
            data += more
            end = base
            for frame in framing.frames(data, base):
                yield frame
                end = frame.end
            data, base = data[end - base :], end
            if len(data) >= framing.LONGEST_FRAME:
                return False
        return not data
    finally:
        os.close(fd)


def _unreadable(path: str, error: OSError) -> StorageError:
    return StorageError(
        f"can't read {path}, which may hold what was lost of the database: {error.strerror}",
        "Check the permissions there, and whether its file system is in order.",
    )


def settled(folder: str, names: Iterable[str], in_journal: Container[int]) -> list[str]:
    """Return those of the writers' files all of whose frames are in the journal.

    Parameters
    ----------
    folder : str
    names : iterable of str
        Of files in it.
    in_journal : container of int
        The checksums of the journal's frames.
    """
    return [name for name in names if _is_settled(os.path.join(folder, name), in_journal)]


def _is_settled(path: str, in_journal: Container[int]) -> bool:
    frames = _frames_of(path)
    try:
        while next(frames).link.checksum in in_journal:
            pass
    except StopIteration as end:
        return bool(end.value)
    except OSError:
        pass
    return False


def lost_before(
    kept: Mapping[int, Frame], wanted: Link, knows: Callable[[Link], bool]
) -> tuple[Link | None, list[Frame]]:
    """Return the frames that led to ``wanted``, the last of them being it, and what they follow.

    Parameters
    ----------
    kept : dict
        What can be had of lost frames, by their checksums.
    wanted : Link
        Names a frame that may not be in the journal.
    knows : callable
        Whether the journal has the frame of a name. Such a one is what the others follow.

    Returns
    -------
    tuple
        None and the last ones if one of the frames isn't kept.
    """
    lost: dict[int, Frame] = {}
    follows: Link | None = wanted
    while follows is not None and not knows(follows):
        frame = kept.get(follows.checksum)
        follows = None
        if frame is not None and frame.before is not None and frame.link.checksum not in lost:
            lost[frame.link.checksum] = frame
            follows = frame.before
    return follows, list(reversed(lost.values()))


def lost_between(
    kept: Mapping[int, Frame], start: int, end: int, knows: Callable[[Link], bool]
) -> list[Frame]:
    """Return the frames that aren't known and followed others that stood between two offsets.

    Of several that followed the same one at most one was acknowledged; such are left out.
    """
    found = [
        frame
        for frame in kept.values()
        if frame.before is not None and start <= frame.before.at < end and not knows(frame.link)
    ]
    followed = Counter(frame.before for frame in found)
    return [frame for frame in found if followed[frame.before] == 1]
