"""The one file that knows submitit: arrays in Slurm, and processes on this machine.

What submitit would decide by itself and users don't expect is decided here: its default time limit
of five minutes, its accounting key, and the CPUs of the step, which ``srun`` doesn't inherit from
``sbatch`` since Slurm 22.05.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import (
    FailedJobError,
    FailedSubmissionError,
    environment_variables,
)
from submitit.slurm.slurm import _get_default_parameters

from orion_hpc.errors import LaunchError
from orion_hpc.launch.base import LaunchRequest

_TEN_YEARS = 10 * 365 * 24 * 60
"""Minutes. Local processes have no time limit; submitit wants one."""


class _Slurm(submitit.SlurmExecutor):
    @classmethod
    def affinity(cls) -> int:
        # submitit looks for srun; whether Slurm is there has been asked with a better message, and
        # a preview needs none.
        return 2


def slurm_parameters(request: LaunchRequest) -> dict[str, Any]:
    """Return submitit's parameters for the options of ``sbatch`` in ``request``."""
    options: dict[str, Any] = {
        key.lstrip("-").replace("-", "_"): value for key, value in request.options.items()
    }
    known = set(_get_default_parameters())
    output = options.pop("output", None)
    srun: list[str] = []
    if "cpus_per_task" in options:
        srun += ["--cpus-per-task", str(options["cpus_per_task"])]
    if output is not None:
        # The job's output is the step's, and srun is told a file of submitit's own; the last
        # --output on a command line counts.
        srun += ["--output", str(output)]
    variables = sorted(request.environment.items())
    return {
        "job_name": request.title,
        "time": None,
        "wckey": None,
        "stderr_to_stdout": True,
        **{key: value for key, value in options.items() if key in known},
        "additional_parameters": {
            key.replace("_", "-"): value for key, value in options.items() if key not in known
        },
        "srun_args": srun or None,
        "setup": [f"export {name}={shlex.quote(text)}" for name, text in variables] or None,
        "array_parallelism": request.throttle or request.tasks,
    }


def _executor(request: LaunchRequest) -> Any:
    executor = _Slurm(request.folder)
    executor.update_parameters(**slurm_parameters(request))
    return executor


def slurm_script(request: LaunchRequest) -> str:
    """Return the script that :func:`slurm_array` would submit."""
    executor = _executor(request)
    if request.tasks > 1:
        executor.parameters["map_count"] = request.tasks
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
    return text


def slurm_array(request: LaunchRequest) -> str:
    """Submit one job array (one task: one job); return its job id.

    Raises
    ------
    LaunchError
        With what ``sbatch`` said.
    """
    before = _files(request.folder)
    try:
        jobs = _executor(request).map_array(request.function, [request.argument] * request.tasks)
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        for path in _files(request.folder) - before:
            path.unlink(missing_ok=True)
        said = str(error).strip() or "nothing"
        raise LaunchError(
            f"sbatch refused the jobs: {said}",
            "Change the options in 'slurm:' or on the command line; see 'man sbatch'.",
        ) from error
    job_id: str = jobs[0].job_id
    return job_id.split("_")[0]


def _files(folder: str) -> set[Path]:
    return set(Path(folder).iterdir()) if os.path.isdir(folder) else set()


class LocalProcess:
    """A job on this machine: submitit's controller, and the worker as its child."""

    def __init__(self, job: Any) -> None:
        self._job = job
        self._process: subprocess.Popen[bytes] = job._process
        self.id: str = job.job_id

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return str(self._job.paths.stdout)

    def notify(self) -> None:
        """Send SIGTERM, which the controller hands on to the worker."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def failure(self) -> str | None:
        """Return one line that says how the job failed, or None; to be asked after its end."""
        if not self._job.paths.result_pickle.exists():
            return "it was killed before it could say why"
        error = self._job.exception()
        if error is None:
            return None
        # A traceback as text; the error's own first line follows the last frame, hints come after.
        lines = [line for line in str(error).splitlines() if line.strip()]
        frames = [index for index, line in enumerate(lines) if line.startswith("  ")]
        told = lines[frames[-1] + 1 :] if frames else lines
        return told[0].strip() if told else "it failed"


def local_processes(request: LaunchRequest) -> list[LocalProcess]:
    """Start ``request.tasks`` processes on this machine."""
    executor = submitit.LocalExecutor(request.folder)
    executor.update_parameters(timeout_min=_TEN_YEARS, stderr_to_stdout=True)
    # Ctrl-C reaches the whole terminal. An ignored signal stays ignored in a child: the controller,
    # which would kill its worker within a second, doesn't hear it; the worker has handlers.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with environment_variables(**request.environment):
            return [
                LocalProcess(executor.submit(request.function, request.argument))
                for _ in range(request.tasks)
            ]
    finally:
        signal.signal(signal.SIGINT, previous)
