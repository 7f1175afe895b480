"""A clock that stands still while this process is stopped.

The monotonic clock goes on while a process is stopped by a signal, as in a job that is suspended,
and nothing tells the process how long that was. It shows in two readings that lie further apart
than the process would have left them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class AwakeClock:
    """Seconds of the monotonic clock, without those in which nobody read this one.

    Somebody has to read it every :attr:`EVERY` seconds. Of a gap, :attr:`GAP` seconds count all the
    same: a busy machine makes such, too.

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
        """How many seconds this process was stopped, up to now."""
        self()
        return self._missed
