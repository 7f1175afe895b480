"""Jobs on this machine: processes that the command which started them watches and stops."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orion_hpc.files.processes import kill_tree
from orion_hpc.launch.base import LaunchRequest

if TYPE_CHECKING:
    from orion_hpc.launch.submission import LocalProcess

_NOTICE_INTERVAL = 0.5
_HIDDEN = ("CUDA_VISIBLE_DEVICES",)
"""Variables that submitit sets for its local jobs, where users expect them to stay as they are."""


class LocalJobs:
    """Processes on this machine."""

    def __init__(self, processes: Sequence[LocalProcess], folder: str) -> None:
        self._processes = processes
        self.ids = tuple(process.id for process in processes)
        self.logs = os.path.join(folder, "*.out")
        self._next_notice = 0.0

    def alive(self) -> int:
        return sum(process.running for process in self._processes)

    def stop(self, wait: float, force: bool = True) -> None:
        deadline = time.monotonic() + wait
        while self.alive() and time.monotonic() < deadline:
            # Again and again: while submitit starts up in the job, it passes a notice over.
            if time.monotonic() >= self._next_notice:
                self._next_notice = time.monotonic() + _NOTICE_INTERVAL
                for process in self._processes:
                    process.notify()
            time.sleep(0.02)
        for process in self._processes:
            if force and process.running:
                kill_tree(process.pid)
                process.running  # noqa: B018 - asking reaps it

    def failures(self) -> list[str]:
        told = []
        for process in self._processes:
            failure = process.failure()
            if failure is not None:
                told.append(f"worker process {process.id}: {failure} (log: {process.log})")
        return told


def _in_environment(call: tuple[Callable[[Any], Any], Any, Mapping[str, str | None]]) -> Any:
    """Call the job's function with the variables of the submitting shell."""
    function, argument, environment = call
    for variable, value in environment.items():
        os.environ.pop(variable, None)
        if value is not None:
            os.environ[variable] = value
    return function(argument)


class LocalLauncher:
    """Starts processes on this machine."""

    name = "local"
    detached = False

    def check(self) -> None:
        pass

    def launch(self, request: LaunchRequest) -> LocalJobs:
        from orion_hpc.launch import submission

        # Logs are called by process ids, which come again: each launch gets a folder of its own.
        stamp = time.strftime("%Y%m%d-%H%M%S")
        folder = os.path.join(request.folder, f"local-{stamp}-{os.getpid()}")
        os.makedirs(folder, exist_ok=True)

        hidden = {variable: os.environ.get(variable) for variable in _HIDDEN}
        call = (request.function, request.argument, hidden)
        tasks = min(request.tasks, request.throttle or request.tasks)
        processes = submission.local_processes(
            replace(request, tasks=tasks, folder=folder, function=_in_environment, argument=call)
        )
        return LocalJobs(processes, folder)

    def preview(self, request: LaunchRequest) -> str:
        return f"# {request.tasks} processes on this machine, each of them:\n" + shlex.join(
            request.command
        )
