"""Takes a folder away with all that is in it, and nothing else.

Everything is named relative to an open directory and no symbolic link is followed, so that whoever
can put links into the folder can't make us remove files that lie elsewhere.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress


class NoFolder(OSError):
    """It isn't a folder: a symbolic link, say, to one that is another's business."""


def set_aside(parent: str, name: str, new: str) -> bool:
    """Rename the folder ``name`` in ``parent`` to ``new``; return False where there is none.

    Raises
    ------
    NoFolder
        It, or its parent, is something else.
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
        for _, folders, files, here in os.fwalk(name, topdown=False, dir_fd=fd):
            # A network file system's client may list for a while what another host removed.
            for file in files:
                with suppress(FileNotFoundError):
                    os.unlink(file, dir_fd=here)
            for folder in folders:
                with suppress(FileNotFoundError):
                    _remove_empty(folder, here)
        os.rmdir(name, dir_fd=fd)
    finally:
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
