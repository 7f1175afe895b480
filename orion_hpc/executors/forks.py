"""Slots that run functions in forks of this process, with a copy of its memory (multiprocessing).

They start quickly and share what this process has loaded. A fork of a process with threads may
deadlock on a lock that another thread held; the fresh processes of ``loky`` don't.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent import futures as cf
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from orion_hpc.executors.base import ProcessDied
from orion_hpc.executors.trial_process import become_trial, exit_status
from orion_hpc.sharedfs.process_control import OomWatch, kill_group, kill_tree

A = TypeVar("A")
R = TypeVar("R")


_one_fork = threading.Lock()
"""One fork at a time. The end of a process is noticed when the pipe end that it holds is closed; a
process that is forked at the same time would inherit that end and keep it open."""


class ForkSlot:
    """Runs one function at a time in a process, which is replaced if it dies.

    Parameters
    ----------
    cpus : int
        How many CPUs the function may use.
    memory : OomWatch
        Counts the kernel's out-of-memory kills.
    call : callable
        Calls the function, in the process: ``call(function, argument, cpus)``.
    """

    def __init__(self, cpus: int, memory: OomWatch, call: Callable[..., Any]) -> None:
        self._cpus = cpus
        self._memory = memory
        self._call = call
        self._pool: cf.ProcessPoolExecutor | None = None
        self._process: Any = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self, function: Callable[[A], R], argument: A) -> R:
        kills = self._memory.mark()
        with self._lock:
            pool, future, process = self._submit(function, argument)
        try:
            result: R = future.result()
            return result
        except BrokenProcessPool as error:
            if not pool._broken and not self._closed:
                raise  # raised by the function: its own inner pool broke
            with self._lock:
                if self._pool is pool:
                    self._drop()
            kill_group(process.pid)
            raise ProcessDied.of(exit_status(process), self._memory.risen(kills)) from error

    def _submit(self, function: Callable[[A], R], argument: A) -> tuple[Any, cf.Future[R], Any]:
        if self._closed:
            raise cf.CancelledError("the executor is closed")
        if self._process is not None and not self._process.is_alive():
            self._drop()  # it died while it was idle, so no trial is lost
        if self._pool is None:
            self._pool = cf.ProcessPoolExecutor(
                1, get_context("fork"), initializer=_prepare, initargs=(os.getpid(),)
            )
        with _one_fork, warnings.catch_warnings():
            # Python 3.12 warns of forks in a process with threads; users of this executor chose it.
            warnings.simplefilter("ignore", DeprecationWarning)
            future: cf.Future[R] = self._pool.submit(self._call, function, argument, self._cpus)
        (self._process,) = self._pool._processes.values()
        return self._pool, future, self._process

    def _drop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        self._pool = self._process = None

    def close(self, kill: bool) -> None:
        with self._lock:
            self._closed = True
            if kill and self._process is not None and self._process.is_alive():
                kill_tree(self._process.pid)
                kill_group(self._process.pid)
            self._drop()


def _prepare(worker: int) -> None:
    become_trial(worker)
    _draw_own_numbers()


def _draw_own_numbers() -> None:
    """Seed the generators that numpy's and PyTorch's functions share, as Python seeds its own.

    Otherwise every fork draws the numbers that its parent would have drawn next: several trials
    would have the same initial weights. What isn't loaded yet is seeded when it is.
    """
    if (numpy := sys.modules.get("numpy.random")) is not None:
        numpy.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.default_generator.seed()
