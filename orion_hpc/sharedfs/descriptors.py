"""A file descriptor that is kept open, and closed in processes that are forked from this one.

A forked child shares the open file and whatever lock is held through it: a child that outlives its
parent's death would hold the parent's lock for ever. Programs that are *started* (exec) are no
trouble, since every descriptor here is opened with ``O_CLOEXEC``.
"""

from __future__ import annotations

import contextlib
import os
import weakref

_all: weakref.WeakSet[Kept] = weakref.WeakSet()


class Kept:
    """Holds one descriptor, ``fd``; -1 while there is none."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self) -> None:
        self.fd = -1
        _all.add(self)

    def close(self) -> None:
        """Close it if it is open; one that somebody else has closed already is no error."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "fd"):  # it may have been interrupted before it had one
            self.close()


def _close_in_child() -> None:
    for kept in list(_all):
        kept.close()


os.register_at_fork(after_in_child=_close_in_child)
