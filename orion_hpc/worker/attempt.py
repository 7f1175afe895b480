"""Makes one attempt at a trial, in whatever process it is called.

How functions and commands are called is left to ``function`` and ``script``, and what is told of a
failure to ``failure``.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import NoReturn

from orion_hpc.errors import TrialInterrupted
from orion_hpc.executors.processes import notices
from orion_hpc.model.result import check_results
from orion_hpc.model.trial import CANCELLED, COMPLETED, INTERRUPTED
from orion_hpc.sharedfs.processes import OomWatch
from orion_hpc.worker import portable
from orion_hpc.worker.checkpoint_copy import inherit_in_time
from orion_hpc.worker.failure import failure
from orion_hpc.worker.function import call_function
from orion_hpc.worker.resource_usage import gauge
from orion_hpc.worker.script import run_command
from orion_hpc.worker.shutdown import read_notice
from orion_hpc.worker.task import CallableTarget, CommandTarget, Outcome, TrialTask

_memory = OomWatch()

ITSELF = "the function interrupted itself"

_SIGNALS_APART = 0.02
"""Seconds between a command's signal and this process's own, at most."""


def _noticed(task: TrialTask, before: int) -> bool:
    """Whether a stop notice came during the attempt: then its end is the notice's doing.

    Slurm sends it to every process of the job, the command's and the inner pool's too, which die of
    it or, worse, go on with half of their work: a shell whose program died prints its value.
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

    It would go on with the worker's life beside the worker.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def run_task(task: TrialTask) -> Outcome:
    """Make the attempt; whatever the user's code raises is told in the outcome, nothing is raised.

    An attempt that ends with a stop notice is no fault of the trial. In the executor ``single`` the
    notice comes as KeyboardInterrupt, which only the worker can tell from the function's own.
    """
    start, kills, noticed = time.monotonic(), _memory.mark(), notices()
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
            value = call_function(task.target, task)
        if os.getpid() != process:
            _leave(0)
        results = check_results(value)
    except BaseException as error:
        if os.getpid() != process:
            _leave(error.code if isinstance(error, SystemExit) else 1)
        usage = gauge.end()
        told = failure(error, out_of_memory=_memory.risen(kills))
        duration = time.monotonic() - start
        # A command raises nothing in this process.
        sent = isinstance(error, KeyboardInterrupt) and isinstance(task.target, CommandTarget)
        itself = isinstance(error, TrialInterrupted)
        if sent or _noticed(task, noticed):
            said = "" if itself and not told.message else f" ({told.message})"
            message = f"interrupted by a stop notice{said}"
            return Outcome(INTERRUPTED, None, CANCELLED, message, "", duration, None, usage)
        if itself:
            message = f"{ITSELF}: {told.message or 'it raised TrialInterrupted'}"
            return Outcome(INTERRUPTED, None, CANCELLED, message, "", duration, None, usage)
        asked = isinstance(task.target, CallableTarget)  # by whoever passed the function
        pickled = portable.pack_error(error) if asked else None
        return Outcome(
            told.status, None, told.cause, told.message, told.detail, duration, pickled, usage
        )
    usage = gauge.end()
    return Outcome(COMPLETED, results, duration=time.monotonic() - start, usage=usage)
