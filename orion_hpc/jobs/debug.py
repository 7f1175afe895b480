"""Runs the job in this process: for a debugger, a profiler, and tests."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.folder import job_preview


@dataclass(frozen=True, slots=True)
class EndedJobs:
    """A job that ran to its end during the launch."""

    ids: tuple[str, ...]
    stopped: bool
    logs: str = "this terminal"

    def alive(self) -> int:
        return 0

    def ended(self) -> bool:
        return True

    def stop(self, wait: float, force: bool = True) -> None:
        pass

    def failures(self) -> list[str]:
        return []


class DebugLauncher:
    """Runs one job to its end before it returns."""

    name = "debug"
    detached = False

    def check(self) -> None:
        pass

    def launch(self, request: LaunchRequest) -> EndedJobs:
        with _process_kept():
            summary = request.function(request.argument)
        return EndedJobs((f"debug-{os.getpid()}",), bool(getattr(summary, "stopped", False)))

    def preview(self, request: LaunchRequest) -> str:
        return f"# in this process:\n{job_preview(request)}"


@contextlib.contextmanager
def _process_kept() -> Iterator[None]:
    """Undo at the end of the block what a job changes in its process: here it isn't the job's own.

    The environment with the limits on threads, where modules are searched, the mode of new files
    and where the log goes.
    """
    environ, path, umask = dict(os.environ), list(sys.path), os.umask(0)
    os.umask(umask)
    logger = logging.getLogger("orion_hpc")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    try:
        yield
    finally:
        for name in set(os.environ) - set(environ):
            del os.environ[name]
        os.environ.update(environ)
        sys.path[:] = path
        os.umask(umask)
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate
