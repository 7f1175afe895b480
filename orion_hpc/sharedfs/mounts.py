"""File systems: on which one a path is, and what can be relied on there.

Gets the mount table from psutil. The rest is pure and depends on a mount's type and options: how a
database's file is read and written (:func:`access`), and which lock a new database gets
(:func:`lock_kind`).
Sources: nfs(5) on ``nolock`` and ``local_lock``; the Lustre manual on ``flock``/``localflock``;
BeeGFS's client configuration (``tuneUseGlobalFileLocks``); flock(2) on NFS and CIFS.

======================  ==========  ================================================================
file system             access      why
======================  ==========  ================================================================
ext4, xfs, tmpfs, …     cached      All processes share one page cache.
nfs, nfs4               direct      A cached page hides another host's frame, and a small append
                                    writes that whole page and destroys the frame (kernels 6.1 and
                                    6.12, NFS 4.0 to 4.2). O_DIRECT bypasses the page.
ceph, fuse.ceph-fuse    direct      A read while the file grows returns wrong bytes, but not with
                                    O_DIRECT (ceph-fuse 16.2.15).
all others              appending   The server decides where an append lands (GlusterFS, sshfs). On
                                    FUSE it bypasses the page cache, where that is supported.
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
"""The kernel's lock on the database itself: NFS 4 refuses a write through a descriptor whose lock
was lost, but only to the file that is locked."""
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
"""Network file systems on which ``flock`` excludes other hosts."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its type as in the mount table, its options (the value of a flag is
    ``''``), and its source."""

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    @classmethod
    def of(cls, kind: str, options: str, source: str = "") -> Mount:
        """Return the mount that a line of the mount table describes."""
        pairs = (option.partition("=") for option in options.split(",") if option)
        return cls(kind, {name: value for name, _, value in pairs}, source)


def mount_of(path: str) -> Mount:
    """Return the mount that ``path`` is on, or will be on once it is created."""
    import psutil

    real = os.path.realpath(path)
    best, found = "", Mount("")
    for mount in psutil.disk_partitions(all=True):
        point = _unescaped(mount.mountpoint)
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # The later of two mounts on the same point hides the earlier one.
        if inside and len(point) >= len(best):
            best, found = point, Mount.of(mount.fstype, mount.opts, _unescaped(mount.device))
    return found


def _unescaped(word: str) -> str:
    """Return a word of the mount table without escapes.

    The C library doesn't replace the kernel's ``\\043``, which is ``#``, as in MooseFS's mounts.
    """
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def is_coherent(mount: Mount) -> bool:
    """Return whether all processes that may write here are on this host, with a common cache."""
    return mount.kind in _LOCAL


def access(mount: Mount) -> str:
    """Return how to read and write a database here, by the table above: :data:`CACHED`,
    :data:`DIRECT` or :data:`APPENDING`."""
    if is_coherent(mount):
        return CACHED
    return DIRECT if mount.kind in _DIRECT else APPENDING


def is_fuse(mount: Mount) -> bool:
    """Return whether a FUSE program serves it. MooseFS's type is just ``fuse``."""
    return mount.kind == "fuse" or mount.kind.startswith("fuse.")


def needs_write_ahead(mount: Mount, lock: str) -> bool:
    """Return whether a late append may overwrite what another host appended meanwhile.

    That is so where no lock refuses it and the client, not the server, decides where it lands.
    """
    return lock == LEASE and mount.kind not in _APPENDS_AT_SERVER


def fences(mount: Mount) -> bool:
    """Return whether the kernel's lock on a file fences writes to the same file.

    NFS 4: a server that gave a silent client's lock to another client refuses the first one's
    writes. NFS 3 never takes a lock away.
    """
    return mount.kind in _NFS and not _keeps_locks_here(mount)


def _keeps_locks_here(mount: Mount) -> bool:
    options = mount.options
    return "nolock" in options or options.get("local_lock") in ("all", "flock")


def recorded_lock(mount: Mount, wanted: str | None = None) -> str:
    """Return the kind of lock for a new database here: ``wanted``, or what suits the mount.

    Where the kernel's lock fences writes, ``wanted`` :data:`FLOCK` means :data:`FLOCK_DATABASE`.
    """
    if wanted == FLOCK and fences(mount):
        return FLOCK_DATABASE
    return wanted or lock_kind(mount)


def lock_kind(mount: Mount, read: Callable[[str], str] | None = None) -> str:
    """Return the kind of lock that excludes writers on all hosts.

    It is :data:`FLOCK` or :data:`FLOCK_DATABASE`; :data:`LEASE` where the kernel's locks don't.

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
        # Linux turns flock into byte-range locks of the server, unless an option keeps it local.
        return LEASE if _keeps_locks_here(mount) else FLOCK_DATABASE
    if kind == "lustre":
        return FLOCK if "flock" in options else LEASE
    if kind == "beegfs":
        return FLOCK if _beegfs_locks_globally(options, read or _text_of) else LEASE
    # With sshfs and CIFS flock is local to the host, or depends on server and kernel; of other file
    # systems nothing is known. The lease only needs exclusive creation of files.
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
