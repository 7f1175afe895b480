"""What a host is like from where a process of this package runs on it: Python, storage, clock.

Gathers only; what is good or bad of it is judged elsewhere. The facts travel between hosts as JSON.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import orion_hpc
from orion_hpc.sharedfs.hints import hint_by_mount
from orion_hpc.sharedfs.mounts import Mount, lock_kind, mount_of
from orion_hpc.sharedfs.process_identity import job_name, own

_ENDLESS, _ENDLESS_FILES = 1 << 62, 1 << 48
"""Bytes and files of which no file system has as many: the figure stands for "no limit"."""

_BYTES = 4 * 1024 * 1024
"""Of the test whether something can be written: more than a server takes on credit of a quota."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What was found on one host; an empty text or None: it couldn't be found out.

    Attributes
    ----------
    host, node, job : str
        The kernel's name of the host, Slurm's of the node (else the same), and the job's.
    executable, python : str
        The interpreter's path, and Python's version.
    version, package : str
        Of orion-hpc: its version and where it is imported from.
    package_on : str
        The type of the file system that it lies on.
    file_system, lock : str
        Those of the storage as this host has it mounted, and the lock that this would call for.
    source, options : str, mapping
        What is mounted there, and how, as the mount table has it.
    client : str
        Which client of the file system it is seen through: processes with the same share its
        caches, and locks that don't leave the host.
    trouble, hint : str
        Why the storage can't be written to, and what to do about it where the mount is the cause.
    ahead, doubt : float or None
        Seconds by which this clock is ahead of the file server's, give or take the other.
    free, free_files : int or None
        Bytes and files that there is room for; None of files where there is no limit.
    """

    host: str = ""
    node: str = ""
    job: str = ""
    executable: str = ""
    python: str = ""
    version: str = ""
    package: str = ""
    package_on: str = ""
    file_system: str = ""
    lock: str = ""
    source: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    client: str = ""
    trouble: str = ""
    hint: str = ""
    ahead: float | None = None
    doubt: float | None = None
    free: int | None = None
    free_files: int | None = None

    @property
    def mount(self) -> Mount:
        return Mount(self.file_system, self.options, self.source)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> HostFacts:
        """Return what another host wrote down, which may have another version of this package."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})


def look_around(folder: str, environ: Mapping[str, str]) -> HostFacts:
    """Return the facts of this host, with ``folder`` for the storage; it is written to."""
    host = own(environ).host
    package = os.path.dirname(os.path.abspath(orion_hpc.__file__))
    mount = mount_of(folder)
    trouble, advice = _write_test(folder, mount)
    ahead, doubt = (None, None) if trouble else _clock(folder)
    free, free_files = _room(folder)
    return HostFacts(
        host=host,
        node=environ.get("SLURMD_NODENAME") or host,
        job=job_name(environ),
        executable=sys.executable,
        python=platform.python_version(),
        version=orion_hpc.__version__,
        package=package,
        package_on=mount_of(package).kind,
        file_system=mount.kind,
        lock=lock_kind(mount),
        source=mount.source,
        options=dict(mount.options),
        client=_client(folder),
        trouble=trouble,
        hint=advice,
        ahead=ahead,
        doubt=doubt,
        free=free,
        free_files=free_files,
    )


def _client(folder: str) -> str:
    """Return the kernel's boot and the device of the mount: two mounts are two clients."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}:{os.stat(folder).st_dev}"
    except OSError:
        return ""


def _write_test(folder: str, mount: Mount) -> tuple[str, str]:
    """Write some megabytes and remove them; return what went wrong, ``''`` if nothing did, and what
    to do about it where the mount is the cause."""
    path = _own_file(folder)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            left = memoryview(os.urandom(_BYTES))
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)  # where some file systems tell only now that there was no room
            os.unlink(path)
    except OSError as error:
        return error.strerror or str(error), hint_by_mount(error.errno, mount)
    return "", ""


def _clock(folder: str) -> tuple[float | None, float | None]:
    """Return by how much the own clock is ahead of the one that stamps files there, and how sure
    that is."""
    path = _own_file(folder)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            before = time.time()
            os.write(fd, b".")
            os.fsync(fd)
            after = time.time()
        finally:
            os.close(fd)
        stamp = os.stat(path).st_mtime
    except OSError:
        return None, None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
    # Some servers keep whole seconds only.
    rough = 1.0 if stamp == int(stamp) else 0.0
    return (before + after - rough) / 2 - stamp, (after - before + rough) / 2


def _room(folder: str) -> tuple[int | None, int | None]:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None, None
    return room(found)


def room(found: os.statvfs_result) -> tuple[int | None, int | None]:
    """Return bytes and files that there is room for, None where that isn't told. Pure.

    A file system without a fixed number of files says 0 (btrfs, many network file systems), -1
    (CephFS always does), or more than there can be; and a FUSE program that knows nothing of its
    space says 0 of 0 blocks.
    """
    free, files = found.f_bavail * found.f_frsize, found.f_favail
    knows = found.f_blocks > 0 and 0 <= free < _ENDLESS
    counts = found.f_files > 0 and 0 <= files < _ENDLESS_FILES
    return free if knows else None, files if counts else None


def _own_file(folder: str) -> str:
    return os.path.join(folder, f".look-{os.getpid()}-{os.urandom(4).hex()}")
