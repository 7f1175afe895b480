"""Write-ahead logs: a file for each writer, with all that it ever appended to the journal.

Needed where no lock keeps a writer that stood still from writing late over what others appended
meanwhile (a lease: see :mod:`orion_hpc.files.lock`). A writer puts its frame here, durably, before
it puts it into the journal. Nobody else writes into its file, so what is in it can't be destroyed;
from it any other process can restore the frame.

The files hold whole frames of version 2 and nothing else. One that is cut short ends the file.

Beside them stands :class:`LastFrame`, by which the file server itself decides between two writers:
it names the frame that was acknowledged last, so that nobody builds on a journal without it.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from orion_hpc.errors import StorageError, StorageUnusable
from orion_hpc.files import framing, layout
from orion_hpc.files.framing import Frame, Link

_NOTHING = Link(0, 0)


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
            for name in os.listdir(self._folder):
                at, _, checksum = name.partition("-")
                with contextlib.suppress(ValueError):
                    return Link(int(at, 16), int(checksum, 16))
            reason = "it is empty"
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = error.strerror or str(error)
        raise StorageError(
            f"can't tell from {self._folder} which result was recorded last: {reason}",
            "Put the folder back as it was; or, while no job uses the database, remove it.",
        )

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
    """Yield the frames of all writers' files."""
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(folder))
    for name in names:
        data = b""
        # The folder of LastFrame, and what can't be read, holds none.
        with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        yield from framing.frames(data, 0)


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
    found = []
    for name in names:
        with contextlib.suppress(OSError), open(os.path.join(folder, name), "rb") as file:
            data = file.read()
            frames = list(framing.frames(data, 0))
            rest = len(data) - (frames[-1].end if frames else 0)
            if not rest and all(one.link.checksum in in_journal for one in frames):
                found.append(name)
    return found


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
    lost: list[Frame] = []
    while not knows(wanted):
        frame = kept.get(wanted.checksum)
        if frame is None or frame.before is None or frame in lost:
            return None, lost
        lost.insert(0, frame)
        wanted = frame.before
    return wanted, lost


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
