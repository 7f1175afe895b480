"""A folder for each launch below the experiment's ``jobs``, so that launches don't share files."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator

from orion_hpc.errors import LaunchError
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.hints import hint


def new_folder(parent: str, launcher: str) -> str:
    """Return a path in ``parent`` that no other launch uses; nothing is created."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return os.path.join(parent, f"{launcher}-{stamp}-{os.getpid()}-{os.urandom(4).hex()}")


@contextlib.contextmanager
def provided(folder: str) -> Iterator[None]:
    """Create a launch's ``folder`` for the block; if the block fails, remove it with its content.

    Raises
    ------
    StorageUnusable
        It can't be created.
    LaunchError
        The block couldn't write into it, or couldn't start a program.
    """
    with layout.provided(folder):
        try:
            # Two processes that create the experiment's folder may each leave it to the other.
            layout.make_folder(folder, 0o700)
            yield
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            what = f": {error.filename}" if error.filename else ""
            raise LaunchError(
                f"the jobs couldn't be started: {error.strerror or error}{what}",
                hint(
                    error.errno,
                    folder,
                    f"Is there space, and may you write, in {os.path.dirname(folder)}?",
                ),
            ) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def escaped(folder: str) -> str:
    """Return ``folder`` for sbatch's ``--output``, where ``%`` is special."""
    return folder.replace("%", "%%")
