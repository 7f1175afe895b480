"""Measures what an attempt uses: processor time and memory, its child processes included.

Source: getrusage(2). It counts children only when they have been waited for, and gives the memory
of the largest process only: an inner pool that lives on, and the sum of several, are sampled from a
thread.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from typing import NamedTuple

from orion_hpc.sharedfs.process_control import descendants_usage, own_memory

_FIRST_LOOK = 0.5
"""Seconds. A shorter attempt is measured by getrusage alone: no trial waits for a measurement."""

_LONGEST_PAUSE = 10.0
_LINGER = 30.0
"""Seconds without an attempt after which the thread ends."""

_CLOCK = 0.02
"""Seconds by which processor time may be ahead: it is counted in ticks."""

_KIB = 1024
"""ru_maxrss counts kibibytes."""


class _Reading(NamedTuple):
    cpu: float
    own_peak: int
    childrens_peak: int


class Gauge:
    """Measures attempts of this process, one at a time.

    Where several run at once (in threads), their usage can't be told apart: none is measured.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._mixed = False
        self._began = 0.0
        self._before = _Reading(0.0, 0, 0)
        self._children: float | None = None
        self._peak = 0
        self._next = 0.0
        self._pause = _FIRST_LOOK
        self._thread: threading.Thread | None = None

    def begin(self, watched: bool = False) -> None:
        """Begin to measure an attempt; :meth:`end` has to follow.

        ``watched``: the caller calls :meth:`look` now and then, and no thread is started. A command
        is killed with this process only where that has no other thread.
        """
        with self._lock:
            self._running += 1
            self._mixed = self._running > 1
            if self._mixed:
                return
            self._peak = 0
            if self._children is None:
                self._children = (
                    descendants_usage().cpu
                )  # once: those that were there before the first attempt
            self._before = _read()
            self._began = time.monotonic()
            self._pause = _FIRST_LOOK
            self._next = self._began + self._pause
            if watched:
                return
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="gauge", daemon=True)
                self._thread.start()

    def end(self) -> tuple[float, int] | None:
        """Return seconds of processor time and bytes of memory since :meth:`begin`."""
        long = time.monotonic() - self._began >= _FIRST_LOOK
        children = descendants_usage() if long and not self._mixed else None
        with self._lock:
            self._running -= 1
            if self._mixed:
                self._mixed = self._running > 0
                return None
            before, after = self._before, _read()
            # Of a process that ran others before, the largest may have been another one's.
            peaks = [
                new
                for old, new in (
                    (before.own_peak, after.own_peak),
                    (before.childrens_peak, after.childrens_peak),
                )
                if new > old
            ]
            peak = max([self._peak, *peaks]) or after.own_peak
            cpu = after.cpu - before.cpu
            if children is not None and self._children is not None:
                # Of those that live on, what they used before this attempt is another's.
                cpu += children.cpu - self._children
                self._children = children.cpu
            # A process of an earlier attempt that ended now, unsampled, adds all that it used.
            if cpu > _CLOCK:
                most = (time.monotonic() - self._began) * (os.cpu_count() or 1) + _CLOCK
                cpu = min(cpu, most)
            return max(0.0, cpu), peak

    def look(self) -> None:
        """Sample the memory in use, if it is time for it: less and less often."""
        began = self._began
        if not self._running or self._mixed or time.monotonic() < self._next:
            return
        memory = descendants_usage().memory + own_memory()
        with self._lock:
            if began == self._began:
                self._peak = max(self._peak, memory)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                self._next = time.monotonic() + self._pause

    def _watch(self) -> None:
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < _LINGER:
            time.sleep(_FIRST_LOOK)
            if self._running:
                idle_since = time.monotonic()
                self.look()


gauge = Gauge()
"""The one of this process."""

# A fork begins with a lock that another thread may have held, and without that thread.
os.register_at_fork(after_in_child=gauge.__init__)  # type: ignore[misc]


def own_peak() -> int:
    """Return the most bytes of memory that this process itself has had."""
    return _read().own_peak


def _read() -> _Reading:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return _Reading(cpu, own.ru_maxrss * _KIB, children.ru_maxrss * _KIB)
