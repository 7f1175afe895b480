"""The progress of a running experiment and an estimate of the remaining time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED, RESERVED

_LATE = 3
"""Mean durations of a trial, after which one that still runs isn't just slow."""

_LATEST = 20
"""Completed trials whose mean duration counts."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of an experiment at one time.

    Attributes
    ----------
    done, running, broken : int
        Trials.
    total : int or None
        Trials to complete; None without a limit.
    best : float or None
        The best objective.
    elapsed : float
        Seconds.
    remaining : float or None
        Seconds; None while no estimate is possible.
    """

    done: int
    total: int | None
    running: int
    broken: int
    best: float | None
    elapsed: float
    remaining: float | None

    def __str__(self) -> str:
        total = "" if self.total is None else f"/{self.total}"
        best = "-" if self.best is None else f"{self.best:.6g}"
        remaining = "unknown" if self.remaining is None else f"about {duration(self.remaining)}"
        return (
            f"{self.done}{total} done, {self.running} running, {self.broken} broken, "
            f"best {best}, elapsed {duration(self.elapsed)}, remaining {remaining}"
        )


def progress(state: ExperimentState, done_before: int, elapsed: float, last: float) -> Progress:
    """Return the progress of ``state``.

    Parameters
    ----------
    state : ExperimentState
    done_before : int
        Trials that were completed when observation began; they don't count for the current rate.
    elapsed, last : float
        Seconds from the start of observation to now, and to the latest completion.
    """
    done = state.count(COMPLETED)
    left = None if state.max_trials is None else max(0, state.max_trials - done)
    fresh = done - done_before
    remaining = None
    if fresh > 0 and left is not None:
        # The rate up to the latest completion; the time since then is time of running trials.
        remaining = last / fresh * left - (elapsed - last)
        if remaining <= 0:
            # No completion for longer than the whole rest should take, as on a full disk; or the
            # last trials take longer than others.
            late = elapsed - last < _LATE * _mean_duration(state)
            remaining = 0.0 if late and state.count(RESERVED) else None
    return Progress(
        done=done,
        total=state.max_trials,
        running=state.count(RESERVED),
        broken=state.count(BROKEN),
        best=state.best.objective if state.best else None,
        elapsed=elapsed,
        remaining=0.0 if state.is_done else remaining,
    )


def _mean_duration(state: ExperimentState) -> float:
    """Return the mean number of seconds that the latest completed trials took."""
    latest = [state.trials[number] for number in state.completions[-_LATEST:]]
    took = [
        one.end_time - one.start_time
        for one in latest
        if one.start_time is not None and one.end_time is not None
    ]
    return sum(took) / len(took) if took else 0.0


def duration(seconds: float) -> str:
    """Return a duration in readable units: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"
