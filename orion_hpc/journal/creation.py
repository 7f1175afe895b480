"""How a database is created, whom its file must belong to, and what its header says.

What the header's bytes are is :mod:`orion_hpc.journal.framing`'s business.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shlex
import stat
from typing import Any

from orion_hpc.errors import StorageError, StorageUnusable
from orion_hpc.journal import framing
from orion_hpc.journal.database_file import DatabaseFile
from orion_hpc.journal.framing import JournalHeader
from orion_hpc.journal.write_ahead import LastFrame
from orion_hpc.sharedfs import layout, mounts
from orion_hpc.sharedfs.atomic import new_file, sync_folder
from orion_hpc.sharedfs.hints import hint

_HEADER_LIMIT = 1 << 17
_OTHER_FILE = "Choose another file with 'storage:' in the configuration or --storage."


_ORION = b"orion.core.io.database.ephemeraldb"
"""The first name in a database file of Oríon."""

_BEGINNING = 200
"""Bytes in which it stands."""


def not_a_database(path: str, data: bytes, hint: str) -> StorageUnusable:
    """Return the error for a file that isn't ours and begins with ``data``.

    For a database of Oríon its hint is the command that imports it; else it is ``hint``.
    """
    if _ORION not in data[:_BEGINNING]:
        return StorageUnusable(f"{path} isn't a database of orion-hpc", hint)
    root, extension = os.path.splitext(path)
    new = f"{root}.orion-hpc{extension}"
    command = shlex.join(["orion-hpc", "db", "import", path, "--storage", new])
    return StorageUnusable(
        f"{path} is a database of Oríon and not of orion-hpc",
        f"Import its experiments into a new file with: {command}\n"
        f"Then use it with: --storage {shlex.quote(new)}",
    )


def file_mode(group: bool) -> int:
    """Return a file's permissions: for its owner only, or for its group, too."""
    return 0o660 if group else 0o600


def real_path(path: str) -> str:
    """Return ``path`` with its symbolic links followed.

    Raises
    ------
    StorageUnusable
        It is itself another user's symbolic link, who could lead us to any file of ours.
    """
    with contextlib.suppress(OSError):  # reported when the file is opened
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
            raise StorageUnusable(
                f"{path} is a symbolic link that user {found.st_uid} has made",
                "Name the database itself with --storage.",
            )
    return os.path.realpath(path)


def is_there(path: str) -> bool:
    """Return whether anything has the name ``path``.

    Raises
    ------
    StorageError
        That can't be found out. If it were taken for missing, a new database would be created.
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
    """Refuse another user's file, unless it is shared with one of this process's groups.

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


def create(path: str, lock: str | None, group: bool) -> None:
    """Create the database ``path``, unless it is there already.

    Parameters
    ----------
    path : str
    lock : str or None
        The kind of lock; None: what suits the file system.
    group : bool
        Whether the members of the file's group may use it.

    Raises
    ------
    StorageUnusable
        It can't be created; nothing is left.
    """
    mount = mounts.mount_of(os.path.dirname(path))
    kind = mounts.recorded_lock(mount, lock)
    content: dict[str, Any] = {"lock": kind, "id": os.urandom(16).hex()}
    if group:
        content["group"] = True
    if mounts.needs_write_ahead(mount, kind):
        content["write_ahead"] = True
    create_with(path, content)


def create_with(path: str, content: dict[str, Any]) -> None:
    """Create a database with this content of its header, unless there is one; see :func:`create`.

    Raises
    ------
    StorageUnusable
        It can't be created; nothing is left.
    """
    group = content.get("group") is True
    header = framing.encode_header(content)
    if not content.get("write_ahead"):
        _publish(path, header, group)
        return
    last = LastFrame(layout.write_ahead_folder(path, content["id"]))
    with last.created(group):
        if not _publish(path, header, group):
            last.remove()  # another process was faster


def _publish(path: str, content: bytes, group: bool) -> bool:
    """Let ``path`` appear with ``content`` in it; return False where it is there already.

    Of several processes that do this at once, one succeeds.
    """
    try:
        with layout.provided(os.path.dirname(path)):
            created = False
            with contextlib.suppress(FileExistsError):
                with new_file(path, file_mode(group)) as file:
                    file.write(content)
                created = True
            if created and group:
                layout.make_folder(layout.files_folder(path), shared=True)
            # Also where another process was faster: what follows relies on the name's being there.
            sync_folder(path)
            return created
    except OSError as error:
        raise StorageUnusable(
            f"can't create the database {path}: {error.strerror}",
            layout.place_hint(error.errno, path),
        ) from error


def read_header(file: DatabaseFile) -> JournalHeader:
    """Return the header of an open database, which ``file`` remembers from now on.

    Raises
    ------
    StorageUnusable
        It is no database, it belongs to another user, or a newer version made it.
    """
    data = file.read(0, _HEADER_LIMIT)
    status = file.status()
    try:
        header = framing.decode_header(data)
    except framing.NewerVersion as error:
        raise StorageUnusable(
            f"{file.path} was made by a newer version of orion-hpc "
            f"(its format is {error.version}, this one reads up to {framing.VERSION})",
            "Install that version of orion-hpc, or a newer one.",
        ) from None
    except (framing.NotAJournal, pickle.UnpicklingError):
        raise not_a_database(file.path, data, _OTHER_FILE) from None
    if header is None:
        raise StorageUnusable(
            f"{file.path} is empty"
            if not data
            else f"{file.path} isn't a whole database of orion-hpc",
            _OTHER_FILE,
        )
    check_owner(file.path, status, header.group)
    file.remember(data[: header.end])
    return header
