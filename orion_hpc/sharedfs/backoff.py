"""Asking again and again for what nobody can tell one about: how long to sleep in between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Waiting:
    """How long to sleep between two tries, where nobody can wake who waits. Pure but for chance.

    A waiter that asks more often gets the lock sooner and slows the holder down. So all should ask
    about as often as each other, and the rarer the more they are. Each learns that from its own
    luck: many tries before it had the lock mean a long queue.
    """

    SHORTEST = 0.0005
    MANY, FEW = 6, 2
    """Tries before the lock was had; between them the interval suits the queue."""

    def __init__(self, longest: float, rng: random.Random) -> None:
        self._longest = longest
        self._rng = rng
        self._tries = 0
        self.interval = self.SHORTEST

    def next(self) -> float:
        """Return the seconds to sleep after a try in vain."""
        self._tries += 1
        if self._tries > 10 * self.MANY:  # this is no queue any more
            self._set(self.interval * 1.2)
        return self.interval * self._rng.uniform(0.5, 1.5)

    def had(self) -> None:
        """Take note that a try succeeded."""
        if self._tries > self.MANY:
            self._set(self.interval * 1.3)
        elif self._tries < self.FEW:
            self._set(self.interval / 1.3)
        self._tries = 0

    def _set(self, interval: float) -> None:
        self.interval = min(max(interval, self.SHORTEST), self._longest)


def poll(try_acquire: Callable[[], bool], seconds: float, waiting: Waiting) -> bool:
    """Try for so many seconds, or a little more; return whether one try succeeded."""
    end = time.monotonic() + seconds
    while True:
        if try_acquire():
            waiting.had()
            return True
        pause = waiting.next()
        if time.monotonic() + pause > end:
            return False
        time.sleep(pause)
