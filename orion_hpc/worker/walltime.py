"""The job's time limit: whether one more trial fits before it, and the stop notice ahead of it.

What the time limit is, Slurm says: :mod:`orion_hpc.slurm.own_job`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import COMPLETED, TIMED_OUT
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.slurm.own_job import OwnJob
from orion_hpc.worker.job_spec import TrialTime
from orion_hpc.worker.shutdown import StopNotice, time_to_notice

_MOST = 100
"""Completed trials to estimate from: the latest ones."""

_FOR_ITSELF = 5.0
"""Seconds that a worker needs at the end, to record what ended and to leave."""

_MOVED = 5.0
"""Seconds. From so many more than expected on, Slurm's answer is a later time limit."""

_TRIES_RESUMED = 3
"""To ask for the new limit after a suspension, when many jobs ask."""


@dataclass(frozen=True, slots=True)
class JobTime:
    """The time of a job, in seconds: what is left of it, and what it had when the worker began."""

    left: float
    whole: float


def is_too_late(state: ExperimentState, job: JobTime, trial_time: TrialTime) -> bool:
    """Return whether a trial begun now is less likely than not to end in time.

    Unless a whole job wouldn't be enough for it either: then it may begin here.
    """
    if trial_time == "off":
        return False
    seen = [trial_time] if trial_time != "auto" else durations(state)
    left, whole = (sum(one <= span - _FOR_ITSELF for one in seen) for span in (job.left, job.whole))
    return 2 * left < len(seen) and left < whole


def durations(state: ExperimentState) -> list[float]:
    """Return how many seconds the latest completed trials took, each by one host's clock."""
    latest = islice(reversed(state.by_status[COMPLETED]), _MOST)
    trials = [state.trials[number] for number in latest]
    return [
        trial.end_time - trial.start_time
        for trial in trials
        if trial.start_time is not None and trial.end_time is not None
    ]


@contextmanager
def notice_before_limit(
    stop: StopNotice, job: OwnJob | None, grace: float, awake: AwakeClock
) -> Iterator[None]:
    """Give the stop notice in time before the job's limit, since Slurm's own may come too late.

    A job that is suspended has its limit moved by that time (Slurm stops its clock).

    Parameters
    ----------
    stop : StopNotice
        Its ``limit`` and ``whole`` are set, too.
    job : OwnJob or None
        None outside of a job.
    grace : float
        Seconds that trials have after the notice.
    awake : AwakeClock
        Detects a suspension.
    """
    over = threading.Event()
    if job is not None:
        # Slurm may have to be asked, which the first trial needn't wait for.
        arguments = (stop, job, grace, awake, over)
        threading.Thread(target=_watch, args=arguments, name="time limit", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(
    stop: StopNotice, job: OwnJob, grace: float, awake: AwakeClock, over: threading.Event
) -> None:
    left = job.time_left()
    if left is None or left <= 0:
        return
    stop.whole = left
    margin = left - time_to_notice(left, grace)
    while left > margin:
        stop.limit = end = time.monotonic() + left
        resumed = _was_stopped(over, left - margin, awake)
        if over.is_set():
            return
        if resumed:
            stop.limit = None  # until Slurm has answered, no trial is too late
        # The limit may have been moved since.
        asked = job.ask_time_left(tries=_TRIES_RESUMED if resumed else 1)
        if asked is None:
            left = end - time.monotonic()
        else:
            left = asked if resumed or asked >= margin + _MOVED else margin
    # SIGTERM is the signal that commands are most likely to handle.
    stop.give(TIMED_OUT, "SIGTERM")


def _was_stopped(over: threading.Event, seconds: float, awake: AwakeClock) -> bool:
    """Wait for ``seconds``, or until ``over``; return early, and True, if this process was stopped
    meanwhile."""
    missed, end = awake.missed, time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0 and not over.wait(min(rest, AwakeClock.EVERY)):
        if awake.missed > missed:
            return True
    return awake.missed > missed
