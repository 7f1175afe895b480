"""The variables that sbatch and the jobs see, where they differ from the submitting shell's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from orion_hpc.worker.leaving import exit_bounded
from orion_hpc.worker.shutdown import forks_begin_with

_SITES = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_CLUSTERS"})
"""Variables of Slurm that name the cluster, and don't describe a job."""

_NEVER = frozenset({"SBATCH_ARRAY_INX", "SBATCH_WAIT", "SBATCH_OUTPUT"})
"""Variables that change the number of tasks, block sbatch, or move the logs that we report."""

_IRREGULAR = {
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_TIMELIMIT": "time",
    "SBATCH_REQ_SWITCH": "switches",
    "SBATCH_WAIT4SWITCH": "switches",
}
"""Variables with other names than their options (sbatch(1), input environment variables)."""

_RIVALS = (frozenset({"mem", "mem-per-cpu", "mem-per-gpu"}), frozenset({"requeue", "no-requeue"}))
"""Options that exclude each other: one that is given hides the variables of all."""

EXPORT = "--export=ALL"
"""The option of ``srun`` that passes the batch script's environment on to the worker. Otherwise
srun takes sbatch's ``--export``, from the variable SLURM_EXPORT_ENV, and drops what the script has
set (sbatch(1), ``--export``)."""

SAFE_PATH = "PYTHONSAFEPATH"
"""Keeps ``python -m`` from searching the working directory first, where a user's ``queue.py`` would
be taken for Python's own (Python 3.11, PYTHONSAFEPATH)."""


def safe_python(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return ``python -m …`` as ``python -P -m …``: :data:`SAFE_PATH` for this process alone.

    Unlike the variable, it isn't inherited by the programs that a trial starts.
    """
    if command[1:2] == ("-m",) and sys.version_info >= (3, 11):
        return (command[0], "-P", *command[1:])
    return command


@contextlib.contextmanager
def for_sbatch(options: Collection[str]) -> Iterator[None]:
    """Hide variables from sbatch that would override ``options`` or belong to another job.

    Variables override the ``#SBATCH`` lines of a script (sbatch(1)), which have the options from
    flags and files. And within a job, sbatch would pass that job's ``SLURM_`` variables on.

    Parameters
    ----------
    options : collection of str
        Long names, without dashes in front.
    """
    given = set(options)
    for rivals in _RIVALS:
        if given & rivals:
            given |= rivals
    hidden = {name: value for name, value in os.environ.items() if _is_hidden(name, given)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _is_hidden(name: str, given: Collection[str]) -> bool:
    if name.startswith(("SLURM_", "SLURMD_")):
        return name not in _SITES
    if not name.startswith("SBATCH_"):
        return False
    option = _IRREGULAR.get(name) or name.removeprefix("SBATCH_").lower().replace("_", "-")
    return name in _NEVER or option in given


def restoring(call: tuple[Callable[[Any], Any], Any, Mapping[str, str | None]]) -> Any:
    """Call a job's function, ``call[0](call[1])``, with the variables of the submitting shell."""
    function, argument, environment = call
    for variable, value in environment.items():
        os.environ.pop(variable, None)
        if value is not None:
            os.environ[variable] = value
    with own_process():
        return function(argument)


_HANDLED = (signal.SIGTERM, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals for which submitit has handlers in its jobs."""


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Run a job's function in the block, in a process of submitit's that is there for it alone.

    The process exits in time, and what a trial forks has the default in place of submitit's
    handlers: they ignore SIGTERM, so that a child couldn't be terminated.
    """
    forks_begin_with(_drop_submitits_handlers)
    with exit_bounded():
        yield


def _drop_submitits_handlers() -> None:
    for number in _HANDLED:
        handler = signal.getsignal(number)
        if str(getattr(handler, "__module__", "")).startswith("submitit"):
            signal.signal(number, signal.SIG_DFL)
