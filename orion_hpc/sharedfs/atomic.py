"""Files that appear whole or not at all, under a free name or in place of an older file."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO


@contextmanager
def new_file(
    path: str,
    mode: int | None = None,
    *,
    replace: bool = False,
    durable: bool = True,
    temporary: str | None = None,
) -> Iterator[BinaryIO]:
    """Yield a file to write to, which becomes ``path`` when the block ends without an error.

    Parameters
    ----------
    path : str
    mode : int, optional
        Its permissions, whatever the umask is; by default those of any new file.
    replace : bool, default False
        Whether it may replace an existing file.
    durable : bool, default True
        Whether to return only when file and name survive a crash of the host.
    temporary : str, optional
        The file's path until it is complete, in the folder of ``path``. No file may have it. By
        default a unique one, which :func:`clear_unfinished` recognises.

    Raises
    ------
    OSError
        ``FileExistsError`` if there is a file that it may not replace. Nothing is left.
    """
    temporary = temporary or f"{path}.{os.urandom(6).hex()}.new"
    file = _create(temporary, 0o666 if mode is None else 0o600)
    try:
        with file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if replace:
            os.rename(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    if durable:
        sync_folder(path)


def _create(path: str, mode: int) -> BinaryIO:
    try:
        return open(path, "xb", opener=partial(os.open, mode=mode))
    except FileExistsError:
        raise
    except OSError:
        # A file server may have created the file all the same.
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def clear_unfinished(path: str) -> None:
    """Remove what processes left that were killed inside :func:`new_file`.

    The caller makes sure that no other process writes the file now.
    """
    folder, name = os.path.split(path)
    unfinished = re.compile(re.escape(name) + r"\.[0-9a-f]{12}\.new")
    for found in filter(unfinished.fullmatch, os.listdir(folder or ".")):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, found))


def keep_aside(path: str, name: Callable[[int], str]) -> str:
    """Link the file at ``path`` to the first free name of ``name(1)``, ``name(2)``, …; return
    that."""
    number = 1
    while True:
        try:
            os.link(path, name(number))
            return name(number)
        except FileExistsError:
            number += 1


def sync_folder(path: str) -> None:
    """Write the names in the directory of ``path`` to the disk."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
