"""Runs the job in this process: for a debugger, a profiler, and tests."""

from __future__ import annotations

import os
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
        summary = request.function(request.argument)
        return EndedJobs((f"debug-{os.getpid()}",), bool(getattr(summary, "stopped", False)))

    def preview(self, request: LaunchRequest) -> str:
        return f"# in this process:\n{job_preview(request)}"
