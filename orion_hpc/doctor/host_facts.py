"""The facts of one host, as a process on it sees them: Python, storage, clock.

Gathers only; the verdicts are made elsewhere. Hosts send each other their facts as JSON.
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
"""Bytes and files; no file system has as many: such a number means "no limit"."""

_BYTES = 4 * 1024 * 1024
"""Written by the write test: more than a server accepts beyond a quota."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The facts of one host; an empty text or None: unknown.

    Attributes
    ----------
    host, node, job : str
        The host's name, Slurm's name of the node (else the host's), and the job id.
    executable, python : str
        The interpreter's path, and Python's version.
    version, package : str
        The version of orion-hpc, and the folder it is imported from.
    package_on : str
        The type of the file system of that folder.
    file_system, lock : str
        The type of the storage's file system on this host, and the lock that suits it.
    source, options : str, mapping
        The source and the options of the mount, from the mount table.
    client : str
        The client of the file system; processes with the same client share its caches, and locks
        that don't leave the host.
    trouble, hint : str
        Why the storage can't be written to, and what to do where the mount is the cause.
    ahead, doubt : float or None
        Seconds by which this clock is ahead of the file server's, and the uncertainty of that.
    free, free_files : int or None
        Free bytes and files; None for files where there is no limit.
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
        """Return the facts from another host, which may have another version of this package."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})


def gather_facts(folder: str, environ: Mapping[str, str]) -> HostFacts:
    """Return the facts of this host; test files are written into ``folder``."""
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
    """Return the boot id and the device of the mount: two mounts are two clients."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}:{os.stat(folder).st_dev}"
    except OSError:
        return ""


def _write_test(folder: str, mount: Mount) -> tuple[str, str]:
    """Write some megabytes and remove them; return the error (``''``: none) and what to do where
    the mount is the cause."""
    path = _own_file(folder)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            left = memoryview(os.urandom(_BYTES))
            while left:
                left = left[os.write(fd, left) :]
            os.fsync(fd)
        finally:
            os.close(fd)  # some file systems report a full disk only here
            os.unlink(path)
    except OSError as error:
        return error.strerror or str(error), hint_by_mount(error.errno, mount)
    return "", ""


def _clock(folder: str) -> tuple[float | None, float | None]:
    """Return by how much this clock is ahead of the one that stamps files there, and the
    uncertainty."""
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
    # Some servers store whole seconds only.
    rough = 1.0 if stamp == int(stamp) else 0.0
    return (before + after - rough) / 2 - stamp, (after - before + rough) / 2


def _room(folder: str) -> tuple[int | None, int | None]:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None, None
    return room(found)


def room(found: os.statvfs_result) -> tuple[int | None, int | None]:
    """Return free bytes and files, None where the file system doesn't report them. Pure.

    A file system without a fixed number of files reports 0 (btrfs, many network file systems), -1
    (always CephFS), or an impossible number; a FUSE program that doesn't know its space reports
    0 of 0 blocks.
    """
    free, files = found.f_bavail * found.f_frsize, found.f_favail
    knows = found.f_blocks > 0 and 0 <= free < _ENDLESS
    counts = found.f_files > 0 and 0 <= files < _ENDLESS_FILES
    return free if knows else None, files if counts else None


def _own_file(folder: str) -> str:
    return os.path.join(folder, f".look-{os.getpid()}-{os.urandom(4).hex()}")
