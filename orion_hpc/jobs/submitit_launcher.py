"""The one file that knows submitit: arrays in Slurm, and processes on this machine.

What submitit would decide by itself and users don't expect is decided here: its default time limit
of five minutes, its accounting key, and the CPUs of the step, which ``srun`` doesn't inherit from
``sbatch`` since Slurm 22.05.
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
from orion_hpc.jobs.environment import for_sbatch, safe_python
from orion_hpc.jobs.folder import escaped
from orion_hpc.jobs.leftovers import remove, tidying
from orion_hpc.jobs.sbatch import defaults, refusal
from orion_hpc.sharedfs.process_control import kill_tree

_TEN_YEARS = 10 * 365 * 24 * 60
"""Minutes. Local processes have no time limit; submitit wants one."""

_SUBMITITS = re.compile("%[jtaA]")
"""What submitit replaces by numbers wherever it stands in a path; it knows no way to escape it."""


class _Slurm(submitit.SlurmExecutor):
    @classmethod
    def affinity(cls) -> int:
        # submitit looks for srun; whether Slurm is there has been asked with a better message, and
        # a preview needs none.
        return 2


def slurm_parameters(request: LaunchRequest) -> dict[str, Any]:
    """Return submitit's parameters for the options of ``sbatch`` in ``request``.

    All options go the way of its ``additional_parameters``: among its named ones are some that
    aren't sbatch's, and some that it calculates with.
    """
    options: dict[str, Any] = {
        key.lstrip("-").replace("_", "-"): value for key, value in request.options.items()
    }
    options.update(defaults(options))
    title = options.pop("job-name", request.title)
    srun: list[str] = []
    if "cpus-per-task" in options:
        srun += ["--cpus-per-task", str(options["cpus-per-task"])]
    # The job's output is the step's, and srun is told a file of submitit's own; the last --output
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
        "srun_args": srun or None,
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

    ``request.folder`` has to be this submission's own. What is in it after a failure is of no use.

    Raises
    ------
    LaunchError
        With what ``sbatch`` said.
    OSError
        ``request.folder`` can't be written; no job is left.
    """
    executor = _executor(request)
    arguments = [(request.function, request.argument, own_files)] * request.tasks
    try:
        # What sbatch says against it is submitit's to print too; the error tells it once.
        with for_sbatch(request.options), contextlib.redirect_stderr(io.StringIO()):
            jobs = executor.map_array(tidying, arguments)
    except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
        hint = "Change the options in 'slurm:' or on the command line; see 'man sbatch'."
        raise refusal(str(error), hint) from error
    except BaseException:
        _cancel(request.folder)
        raise
    for link in Path(request.folder).glob(".submission_file_*.sh"):
        remove((str(link),))  # the script's name of before; it is called by the job's id now
    job_id: str = jobs[0].job_id
    return job_id.split("_")[0]


def own_files() -> tuple[str, ...]:
    """Return the paths of what submitit keeps for the job that this process is."""
    return _files(submitit.JobEnvironment().paths)


def _files(paths: Any) -> tuple[str, ...]:
    return str(paths.submitted_pickle), str(paths.result_pickle)


def _cancel(folder: str) -> None:
    """Cancel what was submitted from ``folder`` before something went wrong there."""
    for script in Path(folder).glob("*_submission.sh"):
        job_id = script.name.partition("_")[0]
        if job_id.isdecimal():
            subprocess.run(["scancel", job_id], check=False, capture_output=True)


_RULE = "\n----------------------\n"
"""Of submitit's, before and after a traceback."""


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
        """Send SIGTERM, which the controller hands on to the worker."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)

    def tidy(self) -> None:
        """Remove what submitit keeps for the job, after its end."""
        self.failure()
        remove(_files(self._paths))
        # What submitit does when its job is deleted fails while the interpreter takes itself apart,
        # and that may be the time where a large library is loaded.
        self._job = None

    def failure(self) -> str | None:
        """Return one line that says how the job failed, or None; to be asked after its end."""
        if not self._ended:
            self._ended, self._failure = True, self._read_failure()
        return self._failure

    def _read_failure(self) -> str | None:
        if not self._paths.result_pickle.exists():
            return "it was killed before it could say why"
        error = self._job.exception()
        if error is None:
            return None
        # A traceback as text, between two rules; the error's own first line follows the last frame,
        # hints come after.
        text = str(error)
        _, found, trace = text.partition(_RULE)
        shown = trace.partition(_RULE)[0] if found else text
        lines = [line for line in shown.splitlines() if line.strip()]
        frames = [index for index, line in enumerate(lines) if line.startswith("  ")]
        told = lines[frames[-1] + 1 :] if frames else lines
        # Ours are known by their words, not by their class.
        return re.sub(r"^orion_hpc\.errors\.\w+: ", "", told[0].strip()) if told else "it failed"


@contextlib.contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Block SIGINT for the block; one that comes meanwhile is heard at its end."""
    heard: list[int] = []
    # Another thread may not block it; Python would have this one raise KeyboardInterrupt then.
    here = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number)) if here else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if here:
            signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        if heard:
            signal.raise_signal(signal.SIGINT)


def local_processes(request: LaunchRequest) -> list[LocalProcess]:
    """Start ``request.tasks`` processes on this machine; all of them or, with an OSError, none."""
    executor = submitit.LocalExecutor(request.folder)
    executor.update_parameters(timeout_min=_TEN_YEARS, stderr_to_stdout=True)
    # Ctrl-C reaches the whole terminal. A blocked signal stays blocked in a child: the controller,
    # which would kill its worker within a second, doesn't hear it; the worker unblocks it.
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
