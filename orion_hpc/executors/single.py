"""The executor without a pool: a trial runs in the worker's own process and thread.

For debuggers, profilers and tests, and for trials too short for a process's start. It doesn't
protect the worker from a trial that crashes, and it doesn't limit threads: they have started.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, TypeVar

from orion_hpc.executors.base import check_executor

A = TypeVar("A")
R = TypeVar("R")


class SingleExecutor:
    """Runs a function within :meth:`submit`.

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
        # KeyboardInterrupt isn't the function's: it is meant for the worker, whose thread this is.
        try:
            future.set_result(function(argument))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        return future

    def wait(self, futures: Collection[Future[Any]], timeout: float | None) -> set[Future[Any]]:
        return set(futures)

    def close(self, kill: bool = False) -> None:
        self._closed = True
