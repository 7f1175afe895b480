"""Writes what a command was asked to write into a file: all of it, or nothing.

A database is never replaced, whatever it is called, and neither is a device or a pipe.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import BinaryIO

from orion_hpc.errors import ConfigurationError, StorageError
from orion_hpc.experiments.database_search import is_database
from orion_hpc.sharedfs.atomic import new_file

_ANOTHER = "Name another file with --output."


def check_output(path: str, endings: Sequence[str] = ()) -> None:
    """Raise ConfigurationError unless ``path`` has one of the endings, if any, and may be written.

    To be called before anything is computed.
    """
    ending = os.path.splitext(path)[1].removeprefix(".").lower()
    if endings and ending not in endings:
        raise ConfigurationError(
            f"--output must end with one of .{', .'.join(endings)}: {path}", _ANOTHER
        )
    if os.path.exists(path) and not os.path.isfile(path):
        raise ConfigurationError(f"{path} isn't a file", _ANOTHER)
    if is_database(path):
        raise ConfigurationError(f"{path} is a database", _ANOTHER)


def write_output(path: str, write: Callable[[BinaryIO], object], replace: bool = True) -> None:
    """Have ``write`` write the file, atomically.

    Raises
    ------
    FileExistsError
        It exists, and ``replace`` is False.
    StorageError
        It can't be written.
    """
    try:
        with new_file(os.path.realpath(path), replace=replace) as file:
            write(file)
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"can't write {path}: {error.strerror or error}", _ANOTHER) from error
