"""Tells a trial that runs in the worker's own thread of a stop notice, and interrupts it in time.

The worker's loop, which does this for trials elsewhere, waits for the trial meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from orion_hpc.worker.grace import Grace
from orion_hpc.worker.notice import Notice
from orion_hpc.worker.stop import StopNotice

_LOOK = 0.2
_LONGEST_LOOK = 1.0


class Herald:
    """A thread that looks at ``stop``.

    A signal's handler can't do this itself: what it interrupts may hold the lock that it needs.
    """

    def __init__(self, stop: StopNotice, notice: Notice, grace: Grace) -> None:
        self._stop = stop
        self._notice = notice
        self._grace = grace
        self._thread: threading.Thread | None = None
        self._trial = threading.Event()

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """Do it for the trial in the block."""
        if self._grace.seconds <= 0:
            yield
            return
        self._trial.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="herald", daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            self._trial.clear()

    def _watch(self) -> None:
        stop = self._stop
        while stop.cause is None and not self._notice.over:
            self._trial.wait(_LONGEST_LOOK)
            time.sleep(_LOOK)
        # No trial begins after a notice.
        if self._trial.is_set():
            self._notice.post(stop.signal)
        while self._trial.is_set():
            left = self._grace.left(time.monotonic(), stop.since, stop.terminated, stop.limit)
            if left <= 0:
                stop.expire()
                left = _LONGEST_LOOK  # until it is asked again
            time.sleep(min(left, _LONGEST_LOOK))
