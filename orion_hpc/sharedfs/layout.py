"""Where an experiment's files lie: all of them in one folder beside the database.

::

    db.pkl                        the database
    db.pkl.lock                   its lock, where that isn't on the database itself
    db.pkl.files/write-ahead/ID/  what each writer appended, where the lock is a lease
    db.pkl.files/NAME-vVERSION/   one folder for each experiment, with
        workers/                  a sign of life for each worker
        notices/                  a file for each worker that was told to stop
        jobs/                     a folder for each launch: settings, scripts, logs
        code/DIGEST/              what the workers import, where it was frozen
        trials/NUMBER/            a trial's working directory, once it is used

Of a database that its group may use, ``db.pkl.files`` belongs to the group (set-group-ID, writable
for it), and so does every folder that is made in such a one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator

from orion_hpc.errors import StorageUnusable
from orion_hpc.sharedfs.hints import DEAD_MOUNT, hint

LAUNCHER = ".launcher"
"""The file in a launch's folder that says whose processes' folder it is, as long as they run."""

JOB_SPEC = "worker.json"
"""The file in a launch's folder from which its jobs read their settings."""

_GROUP = stat.S_ISGID | stat.S_IRWXG


def files_folder(database: str) -> str:
    """Return the folder beside a database in which everything else lies."""
    return f"{os.path.realpath(database)}.files"


def write_ahead_folder(database: str, identity: str) -> str:
    """Return where the writers' own copies lie of what they appended to the database of this id."""
    # A header that was tampered with mustn't lead elsewhere.
    name = identity if re.fullmatch("[0-9a-f]+", identity) else "unknown"
    return os.path.join(files_folder(database), "write-ahead", name)


def experiment_folder(database: str, title: str) -> str:
    """Return the folder of the experiment called ``title`` (``NAME-vVERSION``).

    Beside the file itself: who comes by a symbolic link must look for signs of life in the same
    place as the others.
    """
    return os.path.join(files_folder(database), title)


def workers_folder(database: str, title: str) -> str:
    """Return where the workers' signs of life lie."""
    return os.path.join(experiment_folder(database, title), "workers")


def notices_folder(database: str, title: str) -> str:
    """Return where the workers' stop notices lie, for their trials to see."""
    return os.path.join(experiment_folder(database, title), "notices")


def jobs_folder(database: str, title: str) -> str:
    """Return where launchers put scripts and logs."""
    return os.path.join(experiment_folder(database, title), "jobs")


def code_folder(database: str, title: str) -> str:
    """Return where the frozen projects lie that the experiment's trials come from."""
    return os.path.join(experiment_folder(database, title), "code")


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


def is_shared(folder: str) -> bool:
    """Return whether ``folder`` belongs to its group as much as to its owner."""
    return os.stat(folder).st_mode & _GROUP == _GROUP


def make_folder(folder: str, mode: int = 0o777, shared: bool = False) -> list[str]:
    """Make ``folder`` and what is missing above it; return what was made, from the outermost.

    ``mode`` is for those that aren't in a shared folder. ``shared`` makes one to be shared.
    """
    made: list[str] = []
    try:
        for path in _missing(folder):
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                os.mkdir(path, mode)
                made.append(path)
                if shared or is_shared(os.path.dirname(path)):
                    os.chmod(path, stat.S_ISGID | 0o770)
    except OSError:
        _unmake(made)
        raise
    return made


def share(fd: int, folder: str) -> None:
    """Give a new file that lies in a shared folder to the folder's group."""
    # One that was there already may be another member's.
    with contextlib.suppress(PermissionError):
        if is_shared(folder):
            os.fchmod(fd, 0o660)


@contextlib.contextmanager
def provided(folder: str, shared: bool = False) -> Iterator[None]:
    """Make ``folder`` for the block; if the block fails, what was made and is empty goes again.

    ``shared``: what is made is shared with the group.

    Raises
    ------
    StorageUnusable
        It can't be made; nothing is left.
    """
    try:
        made = make_folder(folder, 0o700, shared)
    except OSError as error:
        raise StorageUnusable(
            f"can't create {folder}: {error.strerror}",
            place_hint(error.errno, folder),
        ) from error
    try:
        yield
    except BaseException:
        _unmake(made)
        raise


def place_hint(number: int | None, path: str) -> str:
    """Return what to do when nothing can be made at ``path``."""
    if number in DEAD_MOUNT:  # there may be a database behind it
        return hint(number, path)
    return "Choose another place with 'storage:' in the configuration or --storage."


def _missing(folder: str) -> list[str]:
    """Return the directories that ``folder`` lacks, from the outermost."""
    lacking: list[str] = []
    while folder and not os.path.isdir(folder):
        if os.path.lexists(folder) and not os.path.isdir(folder):  # made since, by somebody else
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} isn't a directory")
        lacking.insert(0, folder)
        folder = os.path.dirname(folder)
    return lacking


def _unmake(made: list[str]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            os.rmdir(path)
