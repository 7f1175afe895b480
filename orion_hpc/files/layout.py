"""Where an experiment's files lie: all of them in one folder beside the database.

::

    db.pkl                        the database
    db.pkl.lock                   its lock
    db.pkl.files/NAME-vVERSION/   one folder for each experiment, with
        workers/                  a sign of life for each worker
        jobs/                     what launchers leave: scripts, logs
        trials/NUMBER/            a trial's working directory, once it is used
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from orion_hpc.errors import StorageUnusable


def experiment_folder(database: str, title: str) -> str:
    """Return the folder of the experiment called ``title`` (``NAME-vVERSION``).

    Beside the file itself: who comes by a symbolic link must look for signs of life in the same
    place as the others.
    """
    return os.path.join(f"{os.path.realpath(database)}.files", title)


def workers_folder(database: str, title: str) -> str:
    """Return where the workers' signs of life lie."""
    return os.path.join(experiment_folder(database, title), "workers")


def jobs_folder(database: str, title: str) -> str:
    """Return where launchers put scripts and logs."""
    return os.path.join(experiment_folder(database, title), "jobs")


def trial_folders(database: str, title: str, working_dir: str | None) -> Callable[[int], str]:
    """Return what gives a trial's working directory by its number.

    They lie under ``working_dir`` if the experiment names one.
    """
    root = (
        os.path.join(working_dir, title)
        if working_dir
        else os.path.join(experiment_folder(database, title), "trials")
    )
    return lambda number: os.path.join(root, str(number))


@contextlib.contextmanager
def provided(folder: str) -> Iterator[None]:
    """Make ``folder`` for the block; if the block fails, what was made and is empty goes again.

    Raises
    ------
    StorageUnusable
        It can't be made; nothing is left.
    """
    made = []
    try:
        for path in _missing(folder):
            os.mkdir(path, 0o700)
            made.append(path)
    except FileExistsError:
        pass  # somebody else was faster, with the same folder
    except OSError as error:
        _unmake(made)
        raise StorageUnusable(
            f"can't create {folder}: {error.strerror}",
            "Choose another place with 'storage:' in the configuration or --storage.",
        ) from error
    try:
        yield
    except BaseException:
        _unmake(made)
        raise


def _missing(folder: str) -> list[str]:
    """Return the directories that ``folder`` lacks, from the outermost."""
    lacking: list[str] = []
    while folder and not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} isn't a directory")
        lacking.insert(0, folder)
        folder = os.path.dirname(folder)
    return lacking


def _unmake(made: list[str]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            os.rmdir(path)
