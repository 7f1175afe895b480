"""Runs a trial's command: its environment, its processes and its log.

Nothing goes through a shell. Placeholders are left to ``placeholders``, and the command's result to
``script_results``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import IO, Any

from orion_hpc.errors import TrialInterrupted
from orion_hpc.executors.trial_process import notices
from orion_hpc.model.trial_record import KILLED, OUT_OF_MEMORY, USER_ERROR
from orion_hpc.sharedfs.layout import make_folder
from orion_hpc.sharedfs.process_control import (
    die_with_parent,
    kill_group,
    kill_tree,
    oom_kills,
    uninterrupted,
)
from orion_hpc.worker.failure import CommandFailed
from orion_hpc.worker.placeholders import check_placeholders, fill, trial_values
from orion_hpc.worker.resource_usage import gauge
from orion_hpc.worker.script_results import (
    INTERRUPTED_CODE,
    LOG,
    RESULTS,
    from_output,
    read_results,
)
from orion_hpc.worker.shutdown import read_notice
from orion_hpc.worker.task import CommandTarget, TrialTask

__all__ = ["check_placeholders", "run_command"]


_LONGEST_LINE = 1_000_000
"""Bytes that are kept of standard output's end, to find its last line."""

_SHOWN = 4_000
"""Bytes of output that a failure quotes."""

_POLL = 0.2
_DRAIN = 2.0
"""Seconds to read what is left in the pipe of a command that has ended."""
_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL when the trial is interrupted."""


def run_command(target: CommandTarget, task: TrialTask) -> Any:
    """Run the command to its end and return what it gives as its result.

    That is the JSON in the file named by ``ORION_HPC_RESULTS_PATH`` or, without one, the last line
    of standard output that isn't empty. All output is appended to ``log.txt`` in the trial's
    working directory.

    Raises
    ------
    CommandFailed
        It couldn't be started, or ended with another exit code than 0.
    TrialInterrupted
        It ended with :data:`~orion_hpc.worker.script_results.INTERRUPTED_CODE`.
    InvalidResult
        It left nothing that can be read as a number or JSON.
    """
    make_folder(task.working_dir)
    results = os.path.join(task.working_dir, RESULTS)
    with suppress(FileNotFoundError):
        os.unlink(results)  # an earlier attempt's
    argv = _argv(target, task)
    kills = oom_kills()
    path = os.path.join(task.working_dir, LOG)
    with _open_log(path) as log:
        now = datetime.now().astimezone().isoformat(" ", "seconds")
        log.write(f"=== trial {task.number}, attempt {task.attempt}, {now}\n".encode())
        begin = log.tell()
        process: subprocess.Popen[bytes] | None = None
        try:
            with uninterrupted():
                process = _start(argv, target.path, _environment(task, results), log)
            forward = _Forward(task.notice, process.pid)
            output = _stream(process, log, forward)
            status = _end(process, forward)
        except BaseException:
            if process is not None:
                kill_tree(process.pid, _GRACE)
                kill_group(process.pid)
                process.wait()
            raise
        finally:
            if process is not None and process.stdout is not None:
                process.stdout.close()
    if status == INTERRUPTED_CODE:
        raise TrialInterrupted(f"its command exited with code {INTERRUPTED_CODE}")
    if status != 0:
        raise _failed(status, _tail(path, begin), oom_kills() > kills)
    if os.path.lexists(results):
        return read_results(results)
    return from_output(output)


def _open_log(path: str) -> IO[bytes]:
    # O_NONBLOCK: a FIFO that the last attempt made of it would block the worker for ever.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.fdopen(os.open(path, flags, 0o666), "ab", buffering=0)
    except OSError as error:
        raise CommandFailed(f"can't write the trial's {path}: {error.strerror}") from error


def _argv(target: CommandTarget, task: TrialTask) -> list[str]:
    values = trial_values(
        task.id, task.number, task.flat_params, task.fidelity, task.working_dir,
        task.experiment, task.version,
    )  # fmt: skip
    return fill(target.argv, values)


def _environment(task: TrialTask, results: str) -> dict[str, str]:
    """Return the command's environment, with this package's variables and Oríon's."""
    return {
        **os.environ,
        "ORION_HPC_EXPERIMENT": task.experiment,
        "ORION_HPC_TRIAL_ID": task.id,
        "ORION_HPC_TRIAL_NUMBER": str(task.number),
        "ORION_HPC_ATTEMPT": str(task.attempt),
        "ORION_HPC_PARENT": task.parent or "",
        "ORION_HPC_WORKING_DIR": task.working_dir,
        "ORION_HPC_RESULTS_PATH": results,
        "ORION_HPC_PARAMS": json.dumps(task.params),
        "ORION_EXPERIMENT_NAME": task.experiment,
        "ORION_EXPERIMENT_VERSION": str(task.version),
        "ORION_TRIAL_ID": task.id,
        "ORION_WORKING_DIR": task.working_dir,
        "ORION_RESULTS_PATH": results,
    }


def _start(
    argv: list[str], folder: str, environment: dict[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            preexec_fn=_death_signal(),
        )
    except FileNotFoundError:
        if not os.path.isdir(folder):
            message = f"the command's directory {folder} isn't there"
        else:
            message = f"there is no program {argv[0]!r} (searched in {folder} and on PATH)"
    except PermissionError:
        message = f"the program {argv[0]!r} isn't executable"
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        message = f"the program {argv[0]!r} can't be started: {error}"
    raise CommandFailed(message)


def _death_signal() -> Callable[[], None] | None:
    """Return what has the kernel kill the command with this process, where that is safe.

    Code between fork and exec may block for ever on a lock that another thread held at the fork.
    """
    if threading.active_count() > 1:
        return None
    parent = os.getpid()
    return lambda: die_with_parent(parent)


class _Forward:
    """Forwards the worker's stop notice to the command's process group, once.

    Not where this process received it as well: then Slurm has sent it to all of the job.
    """

    def __init__(self, notice: str | None, group: int) -> None:
        self._notice = notice
        self._group = group
        self._before = notices()
        self._done = False

    def __call__(self) -> None:
        if self._done:
            return
        if notices() > self._before:
            self._done = True
        elif name := read_notice(self._notice):
            self._done = True
            number = getattr(signal, name, signal.SIGTERM)
            with suppress(ProcessLookupError):
                os.killpg(self._group, number)


def _stream(process: subprocess.Popen[bytes], log: IO[bytes], forward: Callable[[], None]) -> bytes:
    """Copy standard output into the log as it comes; return its end."""
    assert process.stdout is not None  # for the type checker: it was asked for
    descriptor = process.stdout.fileno()
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    end = bytearray()
    drain_until: float | None = None
    while True:
        # A process that the command left in the background may hold the pipe open, and fill it:
        # once the command has ended, only what is in the pipe already is waited for.
        if drain_until is None:
            if _ended(process, os.WNOHANG):
                kill_group(process.pid)
                drain_until = time.monotonic() + _DRAIN
            else:
                forward()
                gauge.look()
        if readable.poll(0 if drain_until else _POLL * 1000):
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return bytes(end)
            log.write(chunk)
            end += chunk
            if len(end) > 2 * _LONGEST_LINE:
                del end[:-_LONGEST_LINE]
        elif drain_until:
            return bytes(end)
        if drain_until and time.monotonic() > drain_until:
            return bytes(end)


def _end(process: subprocess.Popen[bytes], forward: Callable[[], None]) -> int:
    """Wait for the command, end what it left in its process group, and return the exit status."""
    pause = 0.001
    while not _ended(process, os.WNOHANG):
        forward()
        gauge.look()
        time.sleep(pause)
        pause = min(2 * pause, _POLL)
    # Until the exit code is collected, the number is this group's.
    kill_group(process.pid)
    return process.wait()


def _ended(process: subprocess.Popen[bytes], flags: int) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | flags) is not None


def _failed(status: int, output: str, out_of_memory: bool) -> CommandFailed:
    # A shell reports a program's death by a signal as 128 + its number.
    number = -status if status < 0 else status - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}" if status < 0 else ""
    message = f"the command was killed by {name}" if status < 0 else ""
    if not message:
        message = f"the command exited with code {status}" + (f" (128 + {name})" if name else "")
    cause = KILLED if status < 0 else USER_ERROR
    if out_of_memory and number == signal.SIGKILL:
        cause = OUT_OF_MEMORY
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    return CommandFailed(f"{message}: {last.strip()}" if last else message, cause, output)


def _tail(path: str, begin: int) -> str:
    with suppress(OSError), open(path, "rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(begin, size - _SHOWN))
        return log.read(_SHOWN).decode(errors="replace")
    return ""  # the command removed its folder
