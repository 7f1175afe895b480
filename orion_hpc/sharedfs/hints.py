"""What to do about an error of the operating system beside a database: a sentence for each.

For all who meet one there; what they were doing is told by themselves. What an error means depends
on the mount at times, so the mount table is asked.
"""

from __future__ import annotations

import errno

from orion_hpc.sharedfs.mounts import Mount, mount_of

DEAD_MOUNT = (errno.ENOTCONN, errno.ESHUTDOWN)
"""The client of this host is cut off for good: its process has died (any FUSE file system), or the
server has shut it out (an evicted client of CephFS). Nothing that a user does here brings it back.
"""

_HINTS = {
    errno.ENOSPC: "Free some space there; then 'orion-hpc submit CONFIG' goes on.",
    errno.EDQUOT: "Your quota is used up; free some space, then submit again.",
    errno.EACCES: "Check who owns the file and its directory.",
    errno.EPERM: "Check who owns the file and its directory.",
    errno.EIO: "The disk or its server has a fault: look into 'dmesg', or ask who runs it.",
    errno.ESTALE: "The file server doesn't know it any more: it was removed on another host; or, "
    "if all that lies there says so, whoever runs this host has to mount it anew.",
}
_NFS = ("nfs", "nfs4")


_OF_MOUNT = (*DEAD_MOUNT, errno.EROFS, errno.EIO, errno.ETIMEDOUT)


def hint(number: int | None, path: str, otherwise: str = "") -> str:
    """Return what to do about the error ``number`` at ``path``.

    ``otherwise`` is what the caller knows better, where the mount isn't the cause.
    """
    told = hint_by_mount(number, mount_of(path)) if number in _OF_MOUNT else ""
    return told or otherwise or _HINTS.get(number or 0, "Check the file system it lies on.")


def hint_by_mount(number: int | None, mount: Mount) -> str:
    """Return what to do about an error of what is mounted so; ``''`` where the mount isn't the
    cause. Pure."""
    if number in DEAD_MOUNT:
        return (
            f"This host's mount of {_named(mount)} is dead, and stays so until whoever runs this "
            "host has unmounted it and mounted it anew. The database itself is sound: leave its "
            "files as they are; other hosts go on with it."
        )
    if number == errno.EROFS and "ro" in mount.options:
        return "It is mounted read-only on this host: ask who runs it, or use another host."
    if number == errno.EROFS:
        return (
            "It is read-only at its server, or was made so after a fault of its disk ('dmesg' "
            "tells): ask who runs it. This host has it mounted for writing."
        )
    if number in (errno.EIO, errno.ETIMEDOUT) and _is_soft(mount):
        return (
            "It is mounted 'soft': the file server may have been away for too long. Try again when "
            "it answers; mounted 'hard', workers would have waited for it."
        )
    return ""


def _is_soft(mount: Mount) -> bool:
    return mount.kind in _NFS and ("soft" in mount.options or "softerr" in mount.options)


def _named(mount: Mount) -> str:
    if mount.source and mount.kind:
        return f"{mount.source} ({mount.kind})"
    return mount.source or mount.kind or "this file system"
