"""Runs Slurm's commands; other modules parse the output."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import NamedTuple

_TIMEOUT = 10.0
"""Seconds for one try. Slurm's own limit for a message is ten (slurm.conf, MessageTimeout)."""

_PASSING = ("timed out", "Unable to contact slurm controller", "Resource temporarily unavailable",
            "Connection refused", "Communication connection failure")  # fmt: skip
"""Errors of a controller that is busy or restarts, and may answer the next time."""


class Answer(NamedTuple):
    """A command's output and errors. Not ``ok``: it failed, timed out, or doesn't exist."""

    ok: bool
    output: str
    error: str = ""

    @property
    def may_pass(self) -> bool:
        """Whether the error is a temporary one."""
        return not self.ok and any(sign in self.error for sign in _PASSING)


def slurm_is_here() -> bool:
    """Return whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None


def ask(*command: str, timeout: float = _TIMEOUT, tries: int = 1, pause: float = 1.0) -> Answer:
    """Run ``command``, up to ``tries`` times while its error is a temporary one.

    Parameters
    ----------
    timeout, pause : float
        Seconds for each try, and between two tries.
    """
    for left in range(tries - 1, -1, -1):
        answer = _once(command, timeout)
        if not answer.may_pass or not left:
            break
        time.sleep(pause)
    return answer


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` without a user's own filters, such as ``SQUEUE_PARTITION``.

    A job that they hide would count as gone. ``SLURM_BITSTR_LEN``: no list of tasks is cut short
    (squeue(1)).
    """
    filters = ("SQUEUE_", "SACCT_", "SCANCEL_")
    kept = {name: value for name, value in environ.items() if not name.startswith(filters)}
    return {**kept, "SLURM_BITSTR_LEN": "0"}


def _once(command: tuple[str, ...], timeout: float) -> Answer:
    try:
        done = subprocess.run(
            command,
            env=_environment(os.environ),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, "", f"{command[0]} timed out after {timeout:g} s")
    except OSError as error:
        return Answer(False, "", f"{command[0]} can't be run: {error.strerror}")
    return Answer(done.returncode == 0, done.stdout, done.stderr.strip())
