"""Launches through submitit, the only importer of it: arrays in Slurm, processes on this machine.

Overrides submitit's unexpected defaults: a time limit of five minutes, its accounting key, and the
options of the step, as ``srun`` doesn't inherit the CPUs from ``sbatch`` since Slurm 22.05.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import (
    FailedJobError,
    FailedSubmissionError,
    environment_variables,
)

from orion_hpc.errors import LaunchError
from orion_hpc.jobs.base import LaunchRequest
from orion_hpc.jobs.environment import EXPORT, for_sbatch, safe_python
from orion_hpc.jobs.folder import escaped
from orion_hpc.jobs.leftovers import remove, tidying
from orion_hpc.jobs.sbatch import defaults, refusal
from orion_hpc.sharedfs.process_control import kill_tree

_TEN_YEARS = 10 * 365 * 24 * 60
"""Minutes. Local processes have no time limit; submitit requires one."""

_SUBMITITS = re.compile("%[jtaA]")
"""Placeholders that submitit replaces anywhere in a path; they can't be escaped."""


class _Slurm(submitit.SlurmExecutor):
    @classmethod
    def affinity(cls) -> int:
        # submitit looks for srun; check() has looked for Slurm with a better message, and a preview
        # doesn't need it.
        return 2


def slurm_parameters(request: LaunchRequest) -> dict[str, Any]:
    """Return submitit's parameters for the options of ``sbatch`` in ``request``.

    All options are passed as ``additional_parameters``: some of submitit's named parameters aren't
    options of sbatch, and others are used in calculations.
    """
    options: dict[str, Any] = {
        key.lstrip("-").replace("_", "-"): value for key, value in request.options.items()
    }
    options.update(defaults(options))
    title = options.pop("job-name", request.title)
    srun = [EXPORT]
    if "cpus-per-task" in options:
        srun += ["--cpus-per-task", str(options["cpus-per-task"])]
    # The job's output is the step's, and submitit gives srun a file of its own; the last --output
    # on a command line counts.
    output = options.pop("output", None)
    if "%" in request.folder:
        numbers = "%A_%a" if request.tasks > 1 else "%j"
        options["output"] = os.path.join(escaped(request.folder), f"{numbers}_0_log.out")
        output = output or options["output"]
    if output is not None:
        srun += ["--output", str(output)]
    variables = sorted(request.environment.items())
    return {
        "job_name": title,
        "time": None,
        "wckey": None,
        "stderr_to_stdout": True,
        "additional_parameters": options,
        "srun_args": srun,
        "setup": [f"export {name}={shlex.quote(text)}" for name, text in variables] or None,
        "array_parallelism": request.throttle or request.tasks,
    }


def _executor(request: LaunchRequest) -> Any:
    if placeholder := _SUBMITITS.search(request.folder):
        raise LaunchError(
            f"the path {request.folder} has {placeholder[0]} in it, which Slurm replaces",
            "Choose another place with 'storage:' in the configuration or --storage.",
        )
    executor = _Slurm(request.folder, python=shlex.join(safe_python((sys.executable, "-m"))[:-1]))
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

    ``request.folder`` must be this submission's own. Its content after a failure isn't needed.

    Raises
    ------
    LaunchError
        ``sbatch`` refused; the message is its output.
    OSError
        ``request.folder`` can't be written; no job is left.
    """
    executor = _executor(request)
    arguments = [(request.function, request.argument, own_files)] * request.tasks
    try:
        # submitit prints sbatch's error, too; the exception has it already.
        with for_sbatch(request.options), contextlib.redirect_stderr(io.StringIO()):
            jobs = executor.map_array(tidying, arguments)
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        hint = "Change the options in 'slurm:' or on the command line; see 'man sbatch'."
        raise refusal(str(error), hint) from error
    except BaseException:
        _cancel(request.folder)
        raise
    for link in Path(request.folder).glob(".submission_file_*.sh"):
        remove((str(link),))  # the script's old name; the new one has the job's id
    job_id: str = jobs[0].job_id
    return job_id.split("_")[0]


def own_files() -> tuple[str, ...]:
    """Return the paths of submitit's files for the job of this process."""
    return _files(submitit.JobEnvironment().paths)


def _files(paths: Any) -> tuple[str, ...]:
    return str(paths.submitted_pickle), str(paths.result_pickle)


def _cancel(folder: str) -> None:
    """Cancel jobs that were submitted from ``folder`` before an error."""
    for script in Path(folder).glob("*_submission.sh"):
        job_id = script.name.partition("_")[0]
        if job_id.isdecimal():
            subprocess.run(["scancel", job_id], check=False, capture_output=True)


_RULE = "\n----------------------\n"
"""submitit's line before and after a traceback."""


class LocalProcess:
    """A job on this machine: submitit's controller, and the worker as its child."""

    def __init__(self, job: Any) -> None:
        self._job: Any = job
        self._paths = job.paths
        self._process: subprocess.Popen[bytes] = job._process
        self.id: str = job.job_id
        self._ended = False
        self._failure: str | None = None

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return str(self._paths.stdout)

    def notify(self) -> None:
        """Send SIGTERM, which the controller passes on to the worker."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def tidy(self) -> None:
        """Remove submitit's files of the job, after its end."""
        self.failure()
        remove(_files(self._paths))
        # The destructor of submitit's job fails while the interpreter shuts down, and may load a
        # large library.
        self._job = None

    def failure(self) -> str | None:
        """Return one line on how the job failed, or None; to be called after its end."""
        if not self._ended:
            self._ended, self._failure = True, self._read_failure()
        return self._failure

    def _read_failure(self) -> str | None:
        if not self._paths.result_pickle.exists():
            return "it was killed before it could say why"
        error = self._job.exception()
        if error is None:
            return None
        # The text is a traceback between two rules; the error's first line follows the last frame,
        # hints come after it.
        text = str(error)
        _, found, trace = text.partition(_RULE)
        shown = trace.partition(_RULE)[0] if found else text
        lines = [line for line in shown.splitlines() if line.strip()]
        frames = [index for index, line in enumerate(lines) if line.startswith("  ")]
        ours = lines[frames[-1] + 1 :] if frames else lines
        # Errors of this package are shown without their class.
        return re.sub(r"^orion_hpc\.errors\.\w+: ", "", ours[0].strip()) if ours else "it failed"


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Block SIGINT for the block; one that arrives meanwhile is raised at its end."""
    received: list[int] = []
    # Other threads may not block it; then Python would raise KeyboardInterrupt here.
    here = threading.current_thread() is threading.main_thread()
    handler = (
        signal.signal(signal.SIGINT, lambda number, _: received.append(number)) if here else None
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if here:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        if received:
            signal.raise_signal(signal.SIGINT)


def local_processes(request: LaunchRequest) -> list[LocalProcess]:
    """Start ``request.tasks`` processes on this machine; all of them or, with an OSError, none."""
    executor = submitit.LocalExecutor(request.folder)
    executor.update_parameters(timeout_min=_TEN_YEARS, stderr_to_stdout=True)
    # Ctrl-C reaches all processes of the terminal. A blocked signal stays blocked in a child: the
    # controller, which would kill its worker within a second, ignores it; the worker unblocks it.
    started: list[LocalProcess] = []
    try:
        with _ctrl_c_later(), environment_variables(**request.environment):
            for _ in range(request.tasks):
                process = executor.submit(request.function, request.argument)
                started.append(LocalProcess(process))
    except BaseException:
        for local in started:
            kill_tree(local.pid)
        raise
    return started
