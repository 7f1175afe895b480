"""Write-ahead logs: a file for each writer, with copies of all frames that it appends.

Needed where no lock keeps a writer that stood still from overwriting what others appended meanwhile
(with a lease: see :mod:`orion_hpc.sharedfs.lock`). A writer puts each frame here, durably, before
it appends it to the journal. No other process writes to that file, so its content can't be
destroyed, and any process can restore the frame from it.

The files hold whole frames of version 2 and nothing else. A frame that is cut short ends the file.

Beside them is the file of :class:`LastFrame`, whose name names the frame that was acknowledged
last. With it the file server decides between two writers, and no writer builds on a journal that
lacks that frame.
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
"""Seconds before each try: a listing during a rename may have neither the old nor the new name."""


class WriteAheadLog:
    """One writer's file in ``folder``. It is created with the first frame."""

    def __init__(self, folder: str, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._files = 0
        self._begun = False

    @property
    def path(self) -> str:
        """The file that is written to now."""
        return os.path.join(self._folder, f"{self._writer}.{self._files}")

    def write(self, frame: bytes) -> None:
        """Write the frame to stable storage: it survives a crash of this host.

        Raises
        ------
        StorageError
            It can't be written, so it must not be appended to the journal either.
        """
        try:
            # Closed after each write, as a network file system can't really remove an open file.
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
        # Frames behind one that was cut short wouldn't be read.
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
            except FileNotFoundError:  # all its frames are in the journal, so it was removed
                self._files += 1
        layout.make_folder(self._folder)
        fd = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        self._begun = True
        layout.share(fd, self._folder)
        return fd


class LastFrame:
    """Names the frame that was acknowledged last, by the name of the only file in a folder.

    A writer renames that empty file from the name that it found under the lock to the name of its
    own frame. The server does one rename after the other, so a late one finds the old name gone.
    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "last")

    @contextlib.contextmanager
    def created(self, group: bool) -> Iterator[None]:
        """Create the file for a new journal, before other processes can see the journal.

        It is removed again if the block fails.

        Raises
        ------
        StorageUnusable
            It can't be created; nothing is left.
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
        """Remove the file of a journal that wasn't created."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(_NOTHING))
            os.rmdir(self._folder)
            os.rmdir(os.path.dirname(self._folder))

    def read(self) -> Link | None:
        """Return that frame, as far as this host knows; None if the folder is missing.

        It is missing beside a database that was copied without it.

        Raises
        ------
        StorageError
            That can't be found out.
        """
        try:
            for pause in _PAUSES:
                time.sleep(pause)
                if found := self._names():
                    return max(found)  # a copy that took a while may have older names, too
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
        """Create the folder of a database that was copied without it; the lock is held.

        Raises
        ------
        StorageError
            It can't be created.
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
        """Replace ``old`` by ``new``; return False if it wasn't ``old``."""
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
        One of them can't be read, so which frames have copies is unknown.
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
        except FileNotFoundError:  # all its frames are in the journal, so it was removed
            continue
        except OSError as error:
            raise _unreadable(path, error) from error


def _frames_of(path: str) -> Generator[Frame, None, bool]:
    """Yield the frames of one writer's file; return whether it holds nothing else.

    A folder, such as that of :class:`LastFrame`, has no frames. Reading stops where no frame can
    begin.
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
    """Return the frame that the lost ones follow, and the lost ones, up to ``wanted``.

    Parameters
    ----------
    kept : dict
        The copies of frames that there are, by their checksums.
    wanted : Link
        Names a frame that may not be in the journal.
    knows : callable
        Returns whether the journal has the frame that a link names. The others follow such a frame.

    Returns
    -------
    tuple
        None and the last frames if there is no copy of one of them.
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
    """Return the lost frames whose predecessors stood between two offsets.

    Of several frames with the same predecessor at most one was acknowledged, and which one is
    unknown, so they are left out.
    """
    found = [
        frame
        for frame in kept.values()
        if frame.before is not None and start <= frame.before.at < end and not knows(frame.link)
    ]
    followed = Counter(frame.before for frame in found)
    return [frame for frame in found if followed[frame.before] == 1]
