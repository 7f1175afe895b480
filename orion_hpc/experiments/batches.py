"""Limits the size of a transaction: readers must accept it, and other writers wait for it.

The readers' limits are :data:`orion_hpc.journal.framing.MAX_PAYLOAD` and
:data:`orion_hpc.journal.safe_pickle.MOST_TUPLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from orion_hpc.journal import safe_pickle
from orion_hpc.model import event as ev
from orion_hpc.model.wire import encode

MOST = 1_000
"""Trials in one transaction."""

_MOST_BYTES = 1024 * 1024

_Event = TypeVar("_Event", bound=ev.Event)


def fits(events: Sequence[ev.Event]) -> bool:
    """Return whether the events fit into one transaction."""
    try:
        return len(safe_pickle.dumps(tuple(map(encode, events)))) <= _MOST_BYTES
    except ValueError:  # too many tuples
        return False


def largest(event: Callable[[int, int], _Event], first: int, end: int) -> _Event:
    """Return the largest ``event(first, last)`` up to ``end`` that fits, at least of one item."""
    size = min(MOST, end - first)
    while size > 1 and not fits([event(first, first + size)]):
        size //= 2
    return event(first, first + size)
