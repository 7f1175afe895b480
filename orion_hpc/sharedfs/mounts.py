"""What is known of file systems: which of them a path lies on, and what can be relied on there.

Asks psutil for the mount table; everything else is decided purely, from a mount's type and options:
how a database's file is read and written (:func:`access`), and which lock a new one gets
(:func:`lock_kind`).
Sources: nfs(5) on ``nolock`` and ``local_lock``; the Lustre manual on ``flock``/``localflock``;
BeeGFS's client configuration (``tuneUseGlobalFileLocks``); flock(2) on NFS and CIFS.

======================  ==========  ================================================================
file system             access      why
======================  ==========  ================================================================
ext4, xfs, tmpfs, …     cached      All processes share one page cache.
nfs, nfs4               direct      A page that isn't read again hides another host's frame, and a
                                    small append is widened to that page and destroys the frame
                                    (kernels 6.1 and 6.12, NFS 4.0 to 4.2). O_DIRECT passes by it.
ceph, fuse.ceph-fuse    direct      A read during which the file grows returns wrong bytes; not so
                                    with O_DIRECT (ceph-fuse 16.2.15).
all others              appending   The server decides where an append lands (GlusterFS, sshfs). On
                                    FUSE it goes past the page cache where that can be had.
======================  ==========  ================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

FLOCK = "flock"
"""The kernel's lock on a file beside the database."""
FLOCK_DATABASE = "flock-database"
"""The kernel's lock on the database itself: NFS 4 refuses what is written through a descriptor
whose lock was lost, but only on the file that is locked."""
LEASE = "lease"
"""A marker file that its holder refreshes."""

CACHED = "cached"
DIRECT = "direct"
APPENDING = "appending"

_APPENDS_AT_SERVER = frozenset(("glusterfs", "fuse.glusterfs", "fuse.sshfs"))
_NFS = frozenset(("nfs", "nfs4"))
_DIRECT = _NFS | {"ceph", "fuse.ceph", "fuse.ceph-fuse"}

_LOCAL = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "overlay", "zfs", "f2fs", "jfs")
)
_CLUSTER_WIDE = frozenset(
    ("gpfs", "ceph", "fuse.ceph", "fuse.ceph-fuse", "glusterfs", "fuse.glusterfs", "ocfs2", "gfs2")
)
"""Network file systems whose ``flock`` is one for all hosts."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its type, as in the mount table, its options (flags: ``''``), and what
    is mounted."""

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def of(cls, kind: str, options: str, source: str = "") -> Mount:
        """Return the mount of a line of the mount table."""
        pairs = (option.partition("=") for option in options.split(",") if option)
        return cls(kind, {name: value for name, _, value in pairs}, source)


def mount_of(path: str) -> Mount:
    """Return the mount that ``path`` lies on, or will lie on once it is created."""
    import psutil

    real = os.path.realpath(path)
    best, found = "", Mount("")
    for mount in psutil.disk_partitions(all=True):
        point = _unescaped(mount.mountpoint)
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # The later of two mounts on one point hides the earlier.
        if inside and len(point) >= len(best):
            best, found = point, Mount.of(mount.fstype, mount.opts, _unescaped(mount.device))
    return found


def _unescaped(word: str) -> str:
    """Return a word of the mount table as it is.

    The C library leaves the kernel's ``\\043`` in it: ``#``, as in the names of MooseFS's mounts.
    """
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def is_coherent(mount: Mount) -> bool:
    """Return whether every process that may write here is on this host, and sees what others do."""
    return mount.kind in _LOCAL


def access(mount: Mount) -> str:
    """Return how a database is read and written here, by the table above: :data:`CACHED`,
    :data:`DIRECT` or :data:`APPENDING`."""
    if is_coherent(mount):
        return CACHED
    return DIRECT if mount.kind in _DIRECT else APPENDING


def is_fuse(mount: Mount) -> bool:
    """Return whether a program serves it, of whatever name: MooseFS calls itself just ``fuse``."""
    return mount.kind == "fuse" or mount.kind.startswith("fuse.")


def needs_write_ahead(mount: Mount, lock: str) -> bool:
    """Return whether an append that comes late may go over what another host appended meanwhile:
    no lock refuses it, and it isn't the server that decides where it lands."""
    return lock == LEASE and mount.kind not in _APPENDS_AT_SERVER


def fences(mount: Mount) -> bool:
    """Return whether the kernel's lock on a file guards what is written to that very file.

    NFS 4: a server that gave a silent client's lock to another refuses that client's writes. NFS 3
    never takes a lock away.
    """
    return mount.kind in _NFS and not _keeps_locks_here(mount)


def _keeps_locks_here(mount: Mount) -> bool:
    options = mount.options
    return "nolock" in options or options.get("local_lock") in ("all", "flock")


def recorded_lock(mount: Mount, wanted: str | None = None) -> str:
    """Return the kind of lock that a new database here gets: ``wanted``, or what suits the mount.

    Where the kernel's lock fences, :data:`FLOCK` that is wanted means the one that does.
    """
    if wanted == FLOCK and fences(mount):
        return FLOCK_DATABASE
    return wanted or lock_kind(mount)


def lock_kind(mount: Mount, read: Callable[[str], str] | None = None) -> str:
    """Return the lock that excludes writers on all hosts: one of :data:`FLOCK`,
    :data:`FLOCK_DATABASE`, and :data:`LEASE` where the kernel's locks don't.

    Parameters
    ----------
    mount : Mount
    read : callable, default reading the file
        Returns the text of a configuration file.
    """
    kind, options = mount.kind, mount.options
    if kind in _LOCAL or kind in _CLUSTER_WIDE:
        return FLOCK
    if kind in _NFS:
        # Linux turns flock into byte-range locks of the server, unless it is told to keep it here.
        return LEASE if _keeps_locks_here(mount) else FLOCK_DATABASE
    if kind == "lustre":
        return FLOCK if "flock" in options else LEASE
    if kind == "beegfs":
        return FLOCK if _beegfs_locks_globally(options, read or _text_of) else LEASE
    # sshfs and CIFS keep flock on the host or depend on server and kernel; of any other, nothing is
    # known. The lease needs no more than that a file can be created exclusively.
    return LEASE


def _beegfs_locks_globally(options: Mapping[str, str], read: Callable[[str], str]) -> bool:
    for line in read(options.get("cfgFile", "/etc/beegfs/beegfs-client.conf")).splitlines():
        name, _, value = line.partition("#")[0].partition("=")
        if name.strip() == "tuneUseGlobalFileLocks":
            return value.strip().lower() in ("true", "1", "yes", "on")
    return False


def _text_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1_000_000)
    except OSError:
        return ""
