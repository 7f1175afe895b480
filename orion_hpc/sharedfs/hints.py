"""Advice for errors of the operating system at a database: one or two sentences for each.

What failed is reported by the callers. Some errors depend on the mount, so the mount table is read.
"""

from __future__ import annotations

import errno

from orion_hpc.sharedfs.mounts import Mount, mount_of

DEAD_MOUNT = (errno.ENOTCONN, errno.ESHUTDOWN)
"""The client on this host is disconnected for good: its process has died (any FUSE file system), or
the server has evicted it (CephFS). A user can't reconnect it.
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
    """Return advice for the error ``number`` at ``path``.

    ``otherwise`` is the caller's own advice, for errors that the mount didn't cause.
    """
    advice = hint_by_mount(number, mount_of(path)) if number in _OF_MOUNT else ""
    return advice or otherwise or _HINTS.get(number or 0, "Check the file system it lies on.")


def hint_by_mount(number: int | None, mount: Mount) -> str:
    """Return advice for an error that the mount caused; ``''`` if it didn't. Pure."""
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
