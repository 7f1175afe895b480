"""Base class of executors with several slots: a thread for each slot, and futures.

A slot runs one function at a time, in a process or a thread; how, is left to its class.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Collection
from concurrent import futures as cf
from typing import Any, Protocol, TypeVar

A = TypeVar("A")
R = TypeVar("R")

_PATIENCE = 2.0
"""Seconds to wait for the thread of a slot that was killed. A thread that is still busy then keeps
running, and ends with this process at the latest."""


class Slot(Protocol):
    """Runs one function at a time."""

    def run(self, function: Callable[[A], R], argument: A) -> R:
        """Return ``function(argument)``; raise what it raises, or ProcessDied."""
        ...

    def close(self, kill: bool) -> None:
        """Run no further function; if ``kill``, end the one that runs."""
        ...


class SlotExecutor:
    """An executor on slots: see :class:`~orion_hpc.executors.base.Executor`.

    A slot is created only if no other one is free, so trials that run one after another share one.

    Parameters
    ----------
    n_workers : int
        The greatest number of slots.
    make_slot : callable
        Returns a new :class:`Slot`.
    """

    in_process = False

    def __init__(self, n_workers: int, make_slot: Callable[[], Slot]) -> None:
        self.n_workers = n_workers
        self._make_slot = make_slot
        self._slots: list[Slot] = []
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[tuple[cf.Future[Any], Any, Any] | None] = queue.SimpleQueue()
        self._unfinished: set[cf.Future[Any]] = set()
        self._lock = threading.Lock()
        self._idle = 0
        self._closed = False

    def submit(self, function: Callable[[A], R], argument: A) -> cf.Future[R]:
        future: cf.Future[R] = cf.Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is closed")
            self._unfinished.add(future)
            self._tasks.put((future, function, argument))
            if self._idle:
                self._idle -= 1
            elif len(self._slots) < self.n_workers:
                self._slots.append(self._make_slot())
                # Daemons, so that a function that can't be interrupted doesn't keep this process
                # alive. The thread starts its slot's process and must outlive it, as the process
                # gets a signal when the thread that started it ends (see die_with_parent).
                thread = threading.Thread(
                    target=self._serve, args=(self._slots[-1],), name="trial", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        future.add_done_callback(self._unfinished.discard)
        return future

    def wait(
        self, futures: Collection[cf.Future[Any]], timeout: float | None
    ) -> set[cf.Future[Any]]:
        return cf.wait(futures, timeout, return_when=cf.FIRST_COMPLETED).done

    def close(self, kill: bool = False) -> None:
        with self._lock:
            self._closed = True
        if kill:
            for future in tuple(self._unfinished):
                future.cancel()
        else:
            cf.wait(tuple(self._unfinished))
        for slot in self._slots:
            slot.close(kill)
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()) if kill else None)
        self._threads.clear()

    def _serve(self, slot: Slot) -> None:
        while (task := self._tasks.get()) is not None:
            future, function, argument = task
            if future.set_running_or_notify_cancel():
                try:
                    result = slot.run(function, argument)
                except BaseException as error:
                    with contextlib.suppress(cf.InvalidStateError):
                        future.set_exception(error)
                else:
                    future.set_result(result)
                    del result  # it may be large, and the next function may start much later
            del task, future, function, argument
            with self._lock:
                self._idle += 1
