"""The layout of the files beside a database: one folder, with a folder for each experiment.

::

    db.pkl                        the database
    db.pkl.lock                   its lock, unless that is on the database itself
    db.pkl.files/write-ahead/ID/  copies of what each writer appended, if the lock is a lease
    db.pkl.files/NAME-vVERSION/   one folder for each experiment (:func:`safe_name`), with
        workers/                  a heartbeat for each worker
        notices/                  a stop notice for each worker that has to stop
        jobs/                     a folder for each launch: settings, scripts, logs
        code/DIGEST/              a snapshot of the code that the workers import
        trials/NUMBER/            a trial's working directory, once it is used

If a group may use the database, ``db.pkl.files`` belongs to the group (set-group-ID, writable for
the group), and so does every folder that is created in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator

from orion_hpc.errors import StorageUnusable
from orion_hpc.sharedfs.hints import DEAD_MOUNT, hint

FILES = ".files"
"""The end of the name of a database's folder."""

LAUNCHER = ".launcher"
"""The file in a launch's folder that names the launching process as long as it runs."""

WORKERS = "workers"
"""The folder in an experiment's folder for the workers' heartbeats."""

JOB_SPEC = "worker.json"
"""The file in a launch's folder from which its jobs read their settings."""

_SAFE = re.compile(r"[A-Za-z0-9_\u00a1-\U0010ffff][A-Za-z0-9_.\-\u00a1-\U0010ffff]*")
"""Names that are used as they are. The set is the same in every version of Unicode, so that all
hosts agree; it has all names that earlier versions allowed."""

_LONGEST = 255
"""Bytes of a file name (NAME_MAX)."""

_READABLE = 60
"""Bytes of another name that are kept for people."""

_GROUP = stat.S_ISGID | stat.S_IRWXG


def files_folder(database: str) -> str:
    """Return the folder beside a database that holds all other files."""
    return os.path.realpath(database) + FILES


def write_ahead_folder(database: str, identity: str) -> str:
    """Return the folder for the writers' copies of what they append to the database of this id."""
    # A manipulated header mustn't lead to another folder.
    name = identity if re.fullmatch("[0-9a-f]+", identity) else "unknown"
    return os.path.join(files_folder(database), "write-ahead", name)


def safe_name(name: str, longest: int = _LONGEST) -> str:
    """Return ``name`` for a path or a job's name: as it is if it is safe and short enough.

    Of any other name the characters that are safe are kept, with a digest of the whole name after
    a ``+``, which no safe name has. So two names never become one.
    """
    if _SAFE.fullmatch(name) and len(name.encode()) <= longest:
        return name
    kept = re.sub(r"[^A-Za-z0-9_.\-\u00a1-\U0010ffff]+", "_", name).lstrip(".-").encode()
    digest = hashlib.sha256(name.encode()).hexdigest()[:20]
    return f"{kept[:_READABLE].decode(errors='ignore')}+{digest}"


def experiment_folder(database: str, title: str) -> str:
    """Return the folder of the experiment called ``title`` (``NAME-vVERSION``).

    It is beside the file itself, so that a process that uses a symbolic link to the database finds
    the same heartbeats.
    """
    return os.path.join(files_folder(database), _folder_name(title))


def _folder_name(title: str) -> str:
    name, _, version = title.rpartition("-v")
    suffix = f"-v{version}"
    return safe_name(name, _LONGEST - len(suffix)) + suffix


def workers_folder(database: str, title: str) -> str:
    """Return the folder for the workers' heartbeats."""
    return os.path.join(experiment_folder(database, title), WORKERS)


def notices_folder(database: str, title: str) -> str:
    """Return the folder for the workers' stop notices, which their trials read."""
    return os.path.join(experiment_folder(database, title), "notices")


def jobs_folder(database: str, title: str) -> str:
    """Return the folder for the launchers' scripts and logs."""
    return os.path.join(experiment_folder(database, title), "jobs")


def start_report(launch: str, job: str) -> str:
    """Return the path where the worker of a job says why it failed, in its launch's folder.

    ``job`` is Slurm's id, with an underscore and the task's number in an array, or the number of
    the process.
    """
    return os.path.join(launch, f"{job}.err")


def code_folder(database: str, title: str) -> str:
    """Return the folder for the snapshots of the code that the experiment's trials run."""
    return os.path.join(experiment_folder(database, title), "code")


def trial_folders(database: str, title: str, working_dir: str | None) -> Callable[[int], str]:
    """Return a function from a trial's number to its working directory.

    They are under ``working_dir`` if the experiment sets one.
    """
    root = (
        os.path.join(working_dir, _folder_name(title))
        if working_dir
        else os.path.join(experiment_folder(database, title), "trials")
    )
    return lambda number: os.path.join(root, str(number))


def is_shared(folder: str) -> bool:
    """Return whether the group of ``folder`` has the same rights as its owner."""
    return os.stat(folder).st_mode & _GROUP == _GROUP


def make_folder(folder: str, mode: int = 0o777, shared: bool = False) -> list[str]:
    """Create ``folder`` and what is missing above it; return the new folders, outermost first.

    ``mode`` is for folders that aren't in a shared one. With ``shared`` they are shared.
    """
    made: list[str] = []
    try:
        for path in _missing(folder):
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.mkdir(path, mode)
                made.append(path)
                if shared or is_shared(os.path.dirname(path)):
                    os.chmod(path, stat.S_ISGID | 0o770)
    except OSError:
        _unmake(made)
        raise
    return made


def share(fd: int, folder: str) -> None:
    """Share a new file with the folder's group, if the folder is shared."""
    # An existing file may belong to another member of the group.
    with contextlib.suppress(PermissionError):
        if is_shared(folder):
            os.fchmod(fd, 0o660)


@contextlib.contextmanager
def provided(folder: str, shared: bool = False) -> Iterator[None]:
    """Create ``folder`` for the block; if the block fails, remove the new folders that are empty.

    ``shared``: new folders are shared with the group.

    Raises
    ------
    StorageUnusable
        It can't be created; nothing is left.
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
    """Return advice for when nothing can be created at ``path``."""
    if number in DEAD_MOUNT:  # there may be a database on it
        return hint(number, path)
    return "Choose another place with 'storage:' in the configuration or --storage."


def _missing(folder: str) -> list[str]:
    """Return the missing folders up to ``folder``, outermost first."""
    lacking: list[str] = []
    while folder and not os.path.isdir(folder):
        if os.path.lexists(folder) and not os.path.isdir(
            folder
        ):  # created meanwhile, by another process
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} isn't a directory")
        lacking.insert(0, folder)
        folder = os.path.dirname(folder)
    return lacking


def _unmake(made: list[str]) -> None:
    for path in reversed(made):
        with contextlib.suppress(OSError):
            os.rmdir(path)
