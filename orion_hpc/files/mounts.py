"""What is known of file systems: which of them a path lies on, and what can be relied on there.

Asks psutil for the mount table; everything else is decided purely, from a mount's type and options.
Sources: nfs(5) on ``nolock`` and ``local_lock``; the Lustre manual on ``flock``/``localflock``;
BeeGFS's client configuration (``tuneUseGlobalFileLocks``); flock(2) on NFS and CIFS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

FLOCK = "flock"
LEASE = "lease"

_LOCAL = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "overlay", "zfs", "f2fs", "jfs")
)
_CLUSTER_WIDE = frozenset(
    ("gpfs", "ceph", "fuse.ceph", "fuse.ceph-fuse", "glusterfs", "fuse.glusterfs", "ocfs2", "gfs2")
)
"""Network file systems whose ``flock`` is one for all hosts."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its type, as in the mount table, and its options (flags: ``''``)."""

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, kind: str, options: str) -> Mount:
        """Return the mount of a line of the mount table."""
        pairs = (option.partition("=") for option in options.split(",") if option)
        return cls(kind, {name: value for name, _, value in pairs})


def mount_of(path: str) -> Mount:
    """Return the mount that ``path`` lies on, or will lie on once it is created."""
    import psutil

    real = os.path.realpath(path)
    best, found = "", Mount("")
    for mount in psutil.disk_partitions(all=True):
        point = mount.mountpoint
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # The later of two mounts on one point hides the earlier.
        if inside and len(point) >= len(best):
            best, found = point, Mount.of(mount.fstype, mount.opts)
    return found


def is_coherent(mount: Mount) -> bool:
    """Return whether every process that may write here is on this host, and sees what others do."""
    return mount.kind in _LOCAL


def lock_kind(mount: Mount, read: Callable[[str], str] | None = None) -> str:
    """Return the lock that excludes writers on all hosts: ``flock``, or ``lease`` where it doesn't.

    Parameters
    ----------
    mount : Mount
    read : callable, default reading the file
        Returns the text of a configuration file.
    """
    kind, options = mount.kind, mount.options
    if kind in _LOCAL or kind in _CLUSTER_WIDE:
        return FLOCK
    if kind in ("nfs", "nfs4"):
        # Linux turns flock into byte-range locks of the server, unless it is told to keep it here.
        kept_here = "nolock" in options or options.get("local_lock") in ("all", "flock")
        return LEASE if kept_here else FLOCK
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
