"""How the files of a database come into being, and whom they must belong to."""

from __future__ import annotations

import contextlib
import os
import stat

from orion_hpc.errors import StorageError, StorageUnusable
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.hints import hint


def file_mode(group: bool) -> int:
    """Return the permissions of a file: its owner's alone, or its group's too."""
    return 0o660 if group else 0o600


def real_path(path: str) -> str:
    """Return ``path`` with its symbolic links followed.

    Raises
    ------
    StorageUnusable
        It is itself a symbolic link of somebody else's, who could lead us to any file of ours.
    """
    with contextlib.suppress(OSError):  # what can't be looked at is told when it is opened
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
            raise StorageUnusable(
                f"{path} is a symbolic link that user {found.st_uid} has made",
                "Name the database itself with --storage.",
            )
    return os.path.realpath(path)


def is_there(path: str) -> bool:
    """Return whether there is anything called ``path``.

    Raises
    ------
    StorageError
        That can't be known. To take it for missing would have a new database made beside it.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StorageError(
            f"can't look for the database {path}: {error.strerror}", hint(error.errno, path)
        ) from error
    return True


def check_owner(path: str, status: os.stat_result, shared: bool) -> None:
    """Refuse a file that isn't ours, unless it is shared with a group that we are in.

    Raises
    ------
    StorageUnusable
    """
    me = os.geteuid()
    if me in (0, status.st_uid):
        return
    if shared and status.st_gid in {os.getegid(), *os.getgroups()}:
        return
    raise StorageUnusable(
        f"{path} belongs to user {status.st_uid}, not to you",
        "Name a database file of your own with --storage; one that is made with "
        "'allow_group: true' can be shared.",
    )


def publish(path: str, content: bytes, mode: int) -> bool:
    """Let ``path`` appear with ``content`` in it, unless it is there already; return which.

    It is written under a name of its own and linked to the real one, which fails for all but one of
    those who race here: so it appears whole or not at all.

    Raises
    ------
    StorageUnusable
        It can't be made; nothing is left.
    """
    try:
        with layout.provided(os.path.dirname(path)):
            return _publish(path, content, mode)
    except OSError as error:
        raise StorageUnusable(
            f"can't create the database {path}: {error.strerror}",
            layout.place_hint(error.errno, path),
        ) from error


def _publish(path: str, content: bytes, mode: int) -> bool:
    made = False
    temporary = f"{path}.{os.urandom(6).hex()}.new"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)  # whatever the umask says
            left = memoryview(content)
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
            made = True
            if mode & stat.S_IRWXG:
                layout.make_folder(layout.files_folder(path), shared=True)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return made
