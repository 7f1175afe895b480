"""Slots that run functions in threads of this process.

For functions that release the interpreter's lock, or that mostly wait.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class ThreadSlot:
    """Runs one function at a time in the thread that calls :meth:`run`.

    Parameters
    ----------
    cpus : int
        How many CPUs the function may use.
    call : callable
        Calls the function: ``call(function, argument, cpus)``.
    """

    def __init__(self, cpus: int, call: Callable[..., Any]) -> None:
        self._cpus = cpus
        self._call = call
        self._thread: int | None = None
        self._lock = threading.Lock()

    def run(self, function: Callable[[A], R], argument: A) -> R:
        with self._lock:
            self._thread = threading.get_ident()
        try:
            result: R = self._call(function, argument, self._cpus)
            return result
        finally:
            with self._lock:
                self._thread = None

    def close(self, kill: bool) -> None:
        """If ``kill``, raise KeyboardInterrupt in the function's thread.

        As with Ctrl-C in the main thread, it takes effect when a running call into C returns.
        """
        with self._lock:
            if kill and self._thread is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(KeyboardInterrupt)
                )
