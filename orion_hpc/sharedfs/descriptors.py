"""File descriptors that are kept open, except in processes that are forked from this one.

A forked child shares the open file and the lock that is held through it. A child that outlives its
parent would hold the parent's lock for ever, so it closes them. Programs that are *started* (exec)
don't inherit them, as they are opened with ``O_CLOEXEC``.
"""

from __future__ import annotations

import contextlib
import os
import weakref

_all: weakref.WeakSet[KeptDescriptor] = weakref.WeakSet()


class KeptDescriptor:
    """One descriptor, ``fd``; -1 while there is none."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self) -> None:
        self.fd = -1
        _all.add(self)

    def close(self) -> None:
        """Close it if it is open. That other code has closed it already is no error."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "fd"):  # __init__ may have been interrupted
            self.close()


def _close_in_child() -> None:
    for kept in list(_all):
        kept.close()


os.register_at_fork(after_in_child=_close_in_child)
