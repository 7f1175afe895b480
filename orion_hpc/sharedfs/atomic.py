"""Files that appear whole or not at all, under a name that is free or in the place of another."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def new_file(path: str, mode: int | None = None, replace: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write to, which becomes ``path`` when the block is left without an error.

    Parameters
    ----------
    path : str
    mode : int, optional
        Its permissions, whatever the umask says; else those that any new file has.
    replace : bool, default False
        Whether it may take the place of another.

    Raises
    ------
    OSError
        ``FileExistsError`` if it may not. Nothing is left.
    """
    temporary = f"{path}.{os.urandom(6).hex()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o666 if mode is None else 0o600)
    try:
        with open(fd, "wb") as file:
            if mode is not None:
                os.fchmod(fd, mode)
            yield file
            file.flush()
            os.fsync(fd)
        if replace:
            os.rename(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    sync_folder(path)


def clear_unfinished(path: str) -> None:
    """Remove what processes left that were killed within :func:`new_file`.

    The caller knows that nobody else makes the file now.
    """
    folder, name = os.path.split(path)
    unfinished = re.compile(re.escape(name) + r"\.[0-9a-f]{12}\.new")
    for found in filter(unfinished.fullmatch, os.listdir(folder or ".")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, found))


def keep_aside(path: str, name: Callable[[int], str]) -> str:
    """Give the file at ``path`` one more name, the first of ``name(1)``, ``name(2)``, … that is
    free; return it."""
    number = 1
    while True:
        try:
            os.link(path, name(number))
            return name(number)
        except FileExistsError:
            number += 1


def sync_folder(path: str) -> None:
    """Return when the names in the directory of ``path`` are on the disk."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
