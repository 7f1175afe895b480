"""The executor without a pool: a trial runs in the worker's own process and thread.

For debuggers, profilers and tests, and for trials that are shorter than the start of a process. A
trial that crashes ends the worker, and the threads of libraries aren't limited.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, TypeVar

from orion_hpc.executors.base import check_executor

A = TypeVar("A")
R = TypeVar("R")


class SingleExecutor:
    """Runs each function within :meth:`submit`.

    Parameters
    ----------
    n_workers, cpus : int, default 1
        As of :func:`orion_hpc.executors.base.make_executor`; ``cpus`` has no effect.

    Raises
    ------
    ConfigurationError
        ``n_workers`` isn't 1.
    """

    in_process = True
    shares_memory = True

    def __init__(self, n_workers: int = 1, cpus: int = 1) -> None:
        check_executor("single", n_workers)
        self.n_workers = n_workers
        self._closed = False

    def submit(self, function: Callable[[A], R], argument: A) -> Future[R]:
        if self._closed:
            raise RuntimeError("the executor is closed")
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        # KeyboardInterrupt is meant for the worker, as this is its thread, so it isn't caught.
        try:
            future.set_result(function(argument))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        return future

    def wait(self, futures: Collection[Future[Any]], timeout: float | None) -> set[Future[Any]]:
        return set(futures)

    def close(self, kill: bool = False) -> None:
        self._closed = True
