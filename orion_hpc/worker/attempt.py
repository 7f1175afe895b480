"""Makes one attempt at a trial, in whatever process it is called.

How functions and commands are called is left to ``function`` and ``script``, and the description of
a failure to ``failure``.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import NoReturn

from orion_hpc.errors import TrialInterrupted
from orion_hpc.executors.trial_process import notices
from orion_hpc.model.result import check_results
from orion_hpc.model.trial_record import CANCELLED, COMPLETED, INTERRUPTED
from orion_hpc.sharedfs.process_control import OomWatch
from orion_hpc.worker import portable
from orion_hpc.worker.checkpoint_copy import inherit_in_time
from orion_hpc.worker.failure import failure
from orion_hpc.worker.function import call_function
from orion_hpc.worker.resource_usage import gauge
from orion_hpc.worker.script import run_command
from orion_hpc.worker.shutdown import read_notice
from orion_hpc.worker.task import CallableTarget, CommandTarget, Outcome, TrialTask

_memory = OomWatch()

ITSELF = "the trial interrupted itself"

_SIGNALS_APART = 0.02
"""Seconds between a command's signal and this process's own, at most."""


def _noticed(task: TrialTask, before: int) -> bool:
    """Return whether a stop notice came during the attempt, and so explains its end.

    Slurm sends it to every process of the job, the command's and the inner pool's too, which die of
    it or, worse, go on with half of their work: a shell whose program died prints its result.
    """
    if isinstance(task.target, CommandTarget):
        time.sleep(_SIGNALS_APART)
    return notices() > before or bool(read_notice(task.notice))


def _inherit(task: TrialTask, parent: str, before: int) -> None:
    def stopped() -> bool:
        return notices() > before or bool(read_notice(task.notice))

    if not inherit_in_time(parent, task.working_dir, task.attempt, stopped):
        raise TrialInterrupted(f"there was no room for a copy of {parent}")


def _leave(code: object) -> NoReturn:
    """End this process, a fork that the trial's function made and didn't end itself.

    Otherwise it would go on as a second copy of the worker.
    """
    _flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _flush() -> None:
    """Write what the function has printed. It may have closed or replaced a stream."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def run_task(task: TrialTask) -> Outcome:
    """Make the attempt; whatever the user's code raises is in the outcome, nothing is raised.

    An attempt that ends with a stop notice doesn't count as a fault of the trial. In the executor
    ``single`` the notice comes as KeyboardInterrupt, which only the worker can distinguish from the
    function's own.
    """
    kills, noticed = _memory.mark(), notices()
    process = os.getpid()
    gauge.begin(watched=isinstance(task.target, CommandTarget))
    try:
        if task.parent_dir is not None:
            _inherit(task, task.parent_dir, noticed)
        if isinstance(task.target, CommandTarget):
            value = run_command(task.target, task)
            if _noticed(task, noticed):
                raise KeyboardInterrupt("a stop notice")
        else:
            try:
                value = call_function(task.target, task)
            finally:
                _flush()  # before the worker's line in the log that says that the trial ended
        if os.getpid() != process:
            _leave(0)
        left_out: list[str] = []
        results = check_results(value, left_out.append)
    except BaseException as error:
        if os.getpid() != process:
            _leave(error.code if isinstance(error, SystemExit) else 1)
        usage = gauge.end()
        found = failure(error, out_of_memory=_memory.risen(kills))
        # A command raises nothing in this process.
        sent = isinstance(error, KeyboardInterrupt) and isinstance(task.target, CommandTarget)
        itself = isinstance(error, TrialInterrupted)
        if sent or _noticed(task, noticed):
            reason = "" if itself and not found.message else f" ({found.message})"
            message = f"interrupted by a stop notice{reason}"
            return Outcome(INTERRUPTED, cause=CANCELLED, message=message, usage=usage)
        if itself:
            message = f"{ITSELF}: {found.message or 'it raised TrialInterrupted'}"
            return Outcome(INTERRUPTED, cause=CANCELLED, message=message, usage=usage)
        # A program that passed the function itself gets the exception.
        passed = isinstance(task.target, CallableTarget)
        pickled = portable.pack_error(error) if passed else None
        return Outcome(found.status, None, found.cause, found.message, found.detail, pickled, usage)
    usage = gauge.end()
    return Outcome(COMPLETED, results, message="; ".join(left_out), usage=usage)
