"""What the rig has to know of the product's insides, and nothing else of the rig does.

When modules or methods there are renamed, this is the file to mend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from orion_hpc.journal.database_file import DatabaseFile
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.sharedfs import lock


class Look(NamedTuple):
    """A reader in the midst of its look at a database."""

    read: Callable[[], bytes]


POINTS = {
    "before write": ("append", False),
    "before sync": ("sync", False),
    "after sync": ("sync", True),
}
"""Where a writer that has the lock can be held: around which method, and whether behind it."""


def hold_once(point: str, hold: Callable[[], None]) -> None:
    """Have `hold` called the next time that this process comes to a point of its append."""
    name, behind = POINTS[point]
    method: Callable[..., Any] = getattr(DatabaseFile, name)

    def held(self: DatabaseFile, *args: Any, **kwargs: Any) -> Any:
        setattr(DatabaseFile, name, method)
        if not behind:
            hold()
        found = method(self, *args, **kwargs)
        if behind:
            hold()
        return found

    setattr(DatabaseFile, name, held)


def shorten_lease(seconds: float) -> None:
    """Let a lease last no longer; all who use the database have to call this."""
    lock.LEASE_DURATION = seconds


@contextmanager
def read_open(path: str) -> Iterator[Look]:
    """Have the file of a database open within the block, as a reader has in its look."""
    storage = PickledDB(path)
    with storage._opened():
        yield Look(lambda: storage._file.read(0))
    storage.close()


def lock_kind(path: str) -> str:
    """The kind of lock that the database at `path` has."""
    return PickledDB(path).lock
