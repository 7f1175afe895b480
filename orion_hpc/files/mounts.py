"""What kind of file system a path lies on. The one file that asks psutil about mounts."""

from __future__ import annotations

import os

_COHERENT = frozenset(("ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "f2fs"))
"""Local file systems: every process of this host sees a write as soon as it returned."""


def filesystem(path: str) -> str:
    """Return the type of the file system that ``path`` (existing) lies on, ``''`` if unknown."""
    import psutil

    real = os.path.realpath(path)
    best, kind = "", ""
    for mount in psutil.disk_partitions(all=True):
        point = mount.mountpoint
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # The later of two mounts on one point hides the earlier.
        if inside and len(point) >= len(best):
            best, kind = point, mount.fstype
    return kind


def is_coherent(path: str) -> bool:
    """Return whether reads here always see the latest write of every process that may write."""
    return filesystem(path) in _COHERENT
