"""Jobs on this machine: processes that the starting command watches and stops."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.environment import SAFE_PATH, restoring
from orion_hpc.jobs.folder import in_folder, job_preview, new_folder, provided
from orion_hpc.jobs.leftovers import remove
from orion_hpc.sharedfs import layout, process_identity
from orion_hpc.sharedfs.process_control import kill_tree

if TYPE_CHECKING:
    from orion_hpc.jobs.submitit_launcher import LocalProcess

_NOTICE_INTERVAL = 0.5
_HIDDEN = ("CUDA_VISIBLE_DEVICES", SAFE_PATH)
"""Variables that are set for the start of local jobs, and restored before the user's function."""


class LocalJobs:
    """Processes on this machine."""

    def __init__(self, processes: Sequence[LocalProcess], folder: str) -> None:
        self._processes = processes
        self.ids = tuple(process.id for process in processes)
        self.logs = os.path.join(folder, "*.out")
        self._owned = tuple(
            os.path.join(folder, name) for name in (layout.LAUNCHER, layout.JOB_SPEC)
        )
        self.stopped = False
        self._next_notice = 0.0

    def alive(self) -> int:
        return sum(process.running for process in self._processes)

    def ended(self) -> bool:
        self._tidy()
        return not self.alive()

    def stop(self, wait: float, force: bool = True) -> None:
        deadline = time.monotonic() + wait
        while self.alive() and time.monotonic() < deadline:
            # Repeatedly: while submitit starts up in the job, it ignores a notice.
            if time.monotonic() >= self._next_notice:
                self._next_notice = time.monotonic() + _NOTICE_INTERVAL
                for process in self._processes:
                    process.notify()
            time.sleep(0.02)
        for process in self._processes:
            if force and process.running:
                kill_tree(process.pid)
                process.running  # noqa: B018 - reading it reaps the process
        self._tidy()

    def failures(self) -> list[str]:
        lines = []
        for process in self._processes:
            failure = process.failure()
            if failure is not None:
                lines.append(f"worker process {process.id}: {failure} (log: {process.log})")
        self._tidy()
        return lines

    def _tidy(self) -> None:
        for process in self._processes:
            if not process.running:
                process.tidy()
        if not self.alive():
            remove(self._owned)


class LocalLauncher:
    """Starts processes on this machine."""

    name = "local"
    detached = False

    def check(self) -> None:
        pass

    def launch(self, request: LaunchRequest) -> LocalJobs:
        from orion_hpc.jobs import submitit_launcher

        # Logs are named by process ids, which are reused: each launch gets a folder of its own.
        folder = new_folder(request.folder, self.name)
        hidden = {variable: os.environ.get(variable) for variable in _HIDDEN}
        request = in_folder(request, folder)
        local = replace(
            request,
            tasks=min(request.tasks, request.throttle or request.tasks),
            function=restoring,
            argument=(request.function, request.argument, hidden),
            environment={**request.environment, SAFE_PATH: "1"},
        )
        with provided(local):
            with open(os.path.join(folder, layout.LAUNCHER), "x", encoding="utf-8") as file:
                file.write(str(process_identity.own()))
            return LocalJobs(submitit_launcher.local_processes(local), folder)

    def preview(self, request: LaunchRequest) -> str:
        return f"# {request.tasks} processes on this machine, each of them:\n{job_preview(request)}"
