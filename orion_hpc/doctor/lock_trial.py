"""A trial of which locks exclude other clients of a file system: one holds them, others try.

The mount table says what a lock should do; on some file systems an option that the table doesn't
show changes that. Each kind of lock is tried on files of its own in a shared folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE, LEASE

EXCLUDED = "excluded"
HAD = "had"
"""The result of an attempt while another process held the lock; any other text is an error."""

_LOCK, _DATABASE, _MARKER, _NAME = "trial.lock", "trial.pkl", "trial.marker", "trial.name"
_LOCKS = {FLOCK: _LOCK, FLOCK_DATABASE: _DATABASE}
KINDS = (FLOCK, FLOCK_DATABASE, LEASE)

_FRAME = b"a frame\n"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@contextlib.contextmanager
def held(folder: str) -> Iterator[dict[str, str]]:
    """Hold a lock of each kind for the block; yield the errors, by kind."""
    trouble: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for kind, name in _LOCKS.items():
            try:
                fd = os.open(
                    os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
                )
                stack.callback(os.close, fd)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.write(fd, _FRAME)
            except OSError as error:
                trouble[kind] = error.strerror or str(error)
        try:
            marker = os.path.join(folder, _MARKER)
            os.close(os.open(marker, _NEW, 0o600))
            os.link(marker, os.path.join(folder, _NAME))
        except OSError as error:
            trouble[LEASE] = error.strerror or str(error)
        yield trouble


def tried(folder: str) -> dict[str, str]:
    """Try to take each kind of lock while :func:`held` holds it elsewhere; return the results."""
    found = {kind: _try_flock(os.path.join(folder, name)) for kind, name in _LOCKS.items()}
    created = _try_marker(os.path.join(folder, _MARKER))
    found[LEASE] = _try_link(folder) if created == EXCLUDED else created
    return found


def _try_flock(path: str) -> str:
    try:
        # For writing: NFS 4 turns flock into a lock of the server, which requires that.
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return error.strerror or str(error)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return EXCLUDED
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(fd)
    return HAD


def _try_marker(path: str) -> str:
    """Try to create a file that exists, as a lease is taken."""
    try:
        os.close(os.open(path, _NEW, 0o600))
    except OSError as error:
        return _refused(path, error)
    return HAD


def _try_link(folder: str) -> str:
    """Try to link a file to a name that exists, as a database is created."""
    own = os.path.join(folder, f"trial.own-{os.urandom(4).hex()}")
    path = os.path.join(folder, _NAME)
    try:
        os.close(os.open(own, _NEW, 0o600))
        try:
            os.link(own, path)
        finally:
            os.unlink(own)
    except OSError as error:
        return _refused(path, error)
    return HAD


def _refused(path: str, error: OSError) -> str:
    # sshfs has one error for everything that a server refuses.
    there = isinstance(error, FileExistsError) or os.path.lexists(path)
    return EXCLUDED if there else error.strerror or str(error)
