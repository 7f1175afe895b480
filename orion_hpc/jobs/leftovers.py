"""Removes the files that submitit writes for a job.

A requeued job needs its file with the pickled call again, and Slurm may requeue a job up to its
end, so this file stays while trials are left; the worker that ends the experiment removes those of
tasks that are over. The file with the return value is written after the function's end, so it is
removed at the exit of the process. The files of tasks that never start are removed by the process
that cancelled them. The jobs' settings are removed with the last pickled call.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
from collections.abc import Callable, Collection
from typing import Any

from orion_hpc.jobs.environment import own_process
from orion_hpc.sharedfs import layout
from orion_hpc.slurm.queue import queued
from orion_hpc.slurm.tasks import Tasks

_START = re.compile(r"(?P<job>\d+)(?:_(?P<task>\d+))?_(?:submitted\.pkl|submission\.sh)")
_CALL = re.compile(r"(?:\d+(?:_\d+)?_submitted|[0-9a-f]{32})\.pkl")
"""A file of what to call, and one that is being submitted."""


def tidying(call: tuple[Callable[[Any], Any], Any, Callable[[], tuple[str, ...]]]) -> Any:
    """Call a job's function, ``call[0](call[1])``; remove the files ``call[2]()`` at exit."""
    function, argument, files = call
    with own_process():
        result = function(argument)  # if it fails, Slurm may requeue the job
    start, returned = files()
    if getattr(result, "over", False):
        atexit.register(_remove_start, start)
    atexit.register(remove, (returned,))
    if getattr(result, "cleared", False):
        remove_unbegun(os.path.dirname(files()[0]))
    return result


def remove_unbegun(folder: str) -> None:
    """Remove the start files of tasks that will never start from the folder of a launch."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    jobs = {parts["job"] for name in names if (parts := _START.fullmatch(name))}
    known = queued(sorted(jobs)) or ()
    remove(tuple(os.path.join(folder, name) for name in names if _never_begins(name, known)))
    _remove_unused_spec(folder)


def _remove_start(start: str) -> None:
    """Remove the file of what to call of a job that will not be needed again."""
    remove((start,))
    _remove_unused_spec(os.path.dirname(start))


def _remove_unused_spec(folder: str) -> None:
    """Remove the jobs' settings if none of the launch's jobs can start any more."""
    with contextlib.suppress(OSError):
        if not any(map(_CALL.fullmatch, os.listdir(folder))):
            remove((os.path.join(folder, layout.JOB_SPEC),))


def _never_begins(name: str, known: Collection[Tasks]) -> bool:
    parts = _START.fullmatch(name)
    if parts is None:
        return False
    if name.endswith(".sh"):  # only if no task of the job waits
        tasks = [one for one in known if one.job == parts["job"]]
        return bool(tasks) and not any(one.phase in ("waits", "unclear") for one in tasks)
    task = None if parts["task"] is None else int(parts["task"])
    return any(one.phase == "over" for one in known if one.has(parts["job"], task))


def remove(paths: tuple[str, ...]) -> None:
    """Remove files, ignoring those that don't exist."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
