"""Adaptive polling for a lock: how long to sleep between two tries."""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Backoff:
    """The time to sleep between two tries. Pure except for the random generator.

    A waiter that polls more often gets the lock sooner and slows the holder down. So all waiters
    should poll about equally often, and less often the more they are. Each of them estimates that
    from its own tries: many of them before it gets the lock mean a long queue.
    """

    SHORTEST = 0.0005
    MANY, FEW = 6, 2
    """Numbers of tries for one lock; between them the interval suits the length of the queue."""

    def __init__(self, longest: float, rng: random.Random) -> None:
        self._longest = longest
        self._rng = rng
        self._tries = 0
        self.interval = self.SHORTEST

    def next(self) -> float:
        """Return the seconds to sleep after a failed try."""
        self._tries += 1
        if self._tries > 10 * self.MANY:  # longer than any queue
            self._set(self.interval * 1.2)
        return self.interval * self._rng.uniform(0.5, 1.5)

    def succeed(self) -> None:
        """Record that a try succeeded."""
        if self._tries > self.MANY:
            self._set(self.interval * 1.3)
        elif self._tries < self.FEW:
            self._set(self.interval / 1.3)
        self._tries = 0

    def _set(self, interval: float) -> None:
        self.interval = min(max(interval, self.SHORTEST), self._longest)


def poll(try_acquire: Callable[[], bool], seconds: float, backoff: Backoff) -> bool:
    """Try for ``seconds``, or a little longer; return whether a try succeeded."""
    end = time.monotonic() + seconds
    while True:
        if try_acquire():
            backoff.succeed()
            return True
        pause = backoff.next()
        if time.monotonic() + pause > end:
            return False
        time.sleep(pause)
