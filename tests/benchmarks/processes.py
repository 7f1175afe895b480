"""Processes forked from a warm parent that all begin at once, and what each of them used.

Starting up isn't measured: the clock starts when everybody is ready. What they do is left to the
callers.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from orion_hpc.sharedfs.process_control import die_with_parent

Body = Callable[[], Any]
"""What is measured; its result must be plain."""

Prepare = Callable[[int], Body]
"""Called in process number so-and-so, before the start."""

_FORK = multiprocessing.get_context("fork")
_LONGEST = 1800.0
"""Seconds; a process that is silent for longer hangs."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process did: its result, and the seconds and context switches that it took."""

    result: Any
    user: float
    system: float
    switches: int


@dataclass(frozen=True, slots=True)
class Race:
    """All processes' shares, and when they started by ``time.monotonic``."""

    start: float
    shares: list[Share]

    @property
    def results(self) -> list[Any]:
        return [share.result for share in self.shares]


class Together:
    """``count`` processes, each with a pipe of its own; ended at the end of the ``with`` block."""

    def __init__(self, count: int, work: Callable[[int, Connection, int], None]) -> None:
        self._go_read, self._go_write = os.pipe()
        self.pipes: list[Connection] = []
        self._processes: list[Any] = []
        try:
            for index in range(count):
                self._start(index, work)
        except BaseException:
            self.__exit__()
            raise

    def _start(self, index: int, work: Callable[[int, Connection, int], None]) -> None:
        ours, theirs = _FORK.Pipe()
        parent = os.getpid()

        def main() -> None:
            die_with_parent(parent, signal.SIGKILL)
            os.close(self._go_write)  # or nobody would ever see it closed
            ours.close()
            try:
                work(index, theirs, self._go_read)
            except BaseException:
                theirs.send(("failed", traceback.format_exc()))

        process = _FORK.Process(target=main, daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        self.pipes.append(ours)

    def receive(self, index: int) -> Any:
        """Return what process ``index`` sends next; RuntimeError if it failed."""
        if not self.pipes[index].poll(_LONGEST):
            raise RuntimeError(f"process {index} says nothing for {_LONGEST:.0f} s")
        try:
            word, value = self.pipes[index].recv()
        except EOFError:
            raise RuntimeError(f"process {index} died") from None
        if word == "failed":
            raise RuntimeError(f"process {index} failed:\n{value}")
        return value

    def go(self) -> float:
        """Let all go who wait for the start; return the time."""
        start = time.monotonic()
        os.close(self._go_write)
        self._go_write = -1
        return start

    def __enter__(self) -> Together:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            if error and error[0] is not None:
                process.kill()
        if self._go_write >= 0:
            self.go()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
        os.close(self._go_read)


def race(count: int, prepare: Prepare) -> Race:
    """Prepare ``count`` processes, start them at once, and return what they did."""

    def work(index: int, pipe: Connection, go: int) -> None:
        body = prepare(index)
        pipe.send(("ready", None))
        os.read(go, 1)
        before = resource.getrusage(resource.RUSAGE_SELF)
        result = body()
        pipe.send(("done", _share(result, before, resource.getrusage(resource.RUSAGE_SELF))))

    with Together(count, work) as together:
        for index in range(count):
            together.receive(index)
        start = together.go()
        return Race(start, [together.receive(index) for index in range(count)])


def _share(result: Any, before: Any, after: Any) -> Share:
    return Share(
        result,
        after.ru_utime - before.ru_utime,
        after.ru_stime - before.ru_stime,
        after.ru_nvcsw + after.ru_nivcsw - before.ru_nvcsw - before.ru_nivcsw,
    )
