"""Removes files and folders with their contents, and nothing else.

All paths are relative to an open directory, and no symbolic link is followed, so a user who can put
links into the folder can't make us remove files in other places.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class NoFolder(OSError):
    """It isn't a folder, but for example a symbolic link to one."""


def set_aside(parent: str, name: str, new: str) -> bool:
    """Rename the folder ``name`` in ``parent`` to ``new``; return False if there is none.

    Raises
    ------
    NoFolder
        It, or its parent, isn't a folder.
    """
    fd = _opened(parent)
    if fd is None:
        return False
    try:
        try:
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(mode):
            raise NoFolder(f"{os.path.join(parent, name)} isn't a folder")
        os.rename(name, new, src_dir_fd=fd, dst_dir_fd=fd)
        return True
    finally:
        os.close(fd)


def remove_folder(parent: str, name: str) -> None:
    """Remove the folder ``name`` in ``parent``."""
    fd = _opened(parent)
    if fd is None:
        return
    try:
        _remove_all(name, fd)
    finally:
        os.close(fd)


def look(root: str, *names: str) -> list[tuple[str, os.stat_result]]:
    """Return names and status of what is in the folder ``root/names[0]/…``, sorted by name.

    ``root`` itself may be a link. The list of a missing folder is empty.

    Raises
    ------
    NoFolder
        One of ``names`` is a symbolic link, or a file.
    OSError
        It can't be listed.
    """
    found = []
    with _below(root, names) as fd:
        for name in sorted(os.listdir(fd)) if fd is not None else ():
            with suppress(FileNotFoundError):
                found.append((name, os.stat(name, dir_fd=fd, follow_symlinks=False)))
    return found


def remove_seen(root: str, names: tuple[str, ...], seen: os.stat_result) -> bool:
    """Remove the file or folder ``root/names[0]/…`` if it is still the one that was ``seen``.

    A file must not have been written or touched since. Return whether it was removed.

    Raises
    ------
    OSError
        As of :func:`look`, or it can't be removed.
    """
    *outer, name = names
    with _below(root, tuple(outer)) as fd:
        if fd is None:
            return False
        try:
            now = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not os.path.samestat(now, seen):
                return False
            if stat.S_ISDIR(now.st_mode):
                _remove_all(name, fd)
            elif now.st_mtime_ns != seen.st_mtime_ns:
                return False
            else:
                os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            return False
    return True


def remove_if_empty(root: str, *names: str) -> bool:
    """Remove the folder ``root/names[0]/…`` if it is empty; return whether it was removed."""
    *outer, name = names
    with suppress(OSError), _below(root, tuple(outer)) as fd:
        if fd is not None:
            os.rmdir(name, dir_fd=fd)
            return True
    return False


def size_below(root: str, *names: str) -> int:
    """Return the bytes of all files below a folder, as far as they can be seen."""
    *outer, name = names
    size = 0
    with suppress(OSError), _below(root, tuple(outer)) as fd:
        for _, _, files, here in os.fwalk(name, dir_fd=fd) if fd is not None else ():
            for file in files:
                with suppress(OSError):
                    size += os.stat(file, dir_fd=here, follow_symlinks=False).st_size
    return size


def _remove_all(name: str, fd: int) -> None:
    for _, folders, files, here in os.fwalk(name, topdown=False, dir_fd=fd):
        # A client of a network file system may go on listing what another host has removed.
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(file, dir_fd=here)
        for folder in folders:
            with suppress(FileNotFoundError):
                _remove_empty(folder, here)
    os.rmdir(name, dir_fd=fd)


@contextmanager
def _below(root: str, names: tuple[str, ...]) -> Iterator[int | None]:
    """Open the folder ``root/names[0]/…`` without following links below ``root``; yield None if it
    is missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = -1
    try:
        try:
            fd = os.open(root, flags)
            for name in names:
                inner = os.open(name, flags | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = inner
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            path = os.path.join(root, *names)
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise NoFolder(error.errno, "a symbolic link, or no folder", path) from None
            raise OSError(error.errno, error.strerror, path) from error
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)


def _remove_empty(folder: str, here: int) -> None:
    try:
        os.rmdir(folder, dir_fd=here)
    except NotADirectoryError:  # a link to one
        os.unlink(folder, dir_fd=here)


def _opened(folder: str) -> int | None:
    if os.path.basename(folder) in ("", ".", ".."):
        raise NoFolder(f"{folder} has no name of its own")
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise NoFolder(f"{folder} is a symbolic link, or no folder") from None
