"""Waits for an event that nobody announces, with a deadline. Knows nothing of what is awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool], timeout: float, what: str) -> None:
    """Ask `true` again and again until it says so; raise `TimeoutError` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s in vain: {what}")
        pause.wait(0.03)
