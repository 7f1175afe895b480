"""A clock that stands still while this process is stopped.

The monotonic clock goes on while a process is stopped by a signal, as in a suspended job, and the
process isn't informed. But then two readings lie further apart than they would otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class AwakeClock:
    """Seconds of the monotonic clock, except long gaps between readings.

    It has to be read every :attr:`EVERY` seconds. Of each gap, :attr:`GAP` seconds count, because a
    busy machine causes such gaps, too.

    Parameters
    ----------
    clock : callable
        For tests.
    """

    EVERY = 1.0
    GAP = 5.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = clock()
        self._missed = 0.0

    def __call__(self) -> float:
        with self._lock:
            now = self._clock()
            self._missed += max(0.0, now - self._last - self.GAP)
            self._last = now
            return now - self._missed

    @property
    def missed(self) -> float:
        """For how many seconds this process was stopped so far."""
        self()
        return self._missed
