"""Whether one more trial is likely to end before the job's time does. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Literal

from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import COMPLETED

TrialTime = float | Literal["auto", "off"]
"""Seconds that a trial takes; by those that are completed; or nobody asks."""

_MOST = 100
"""Completed trials that are looked at: the latest ones."""

_FOR_ITSELF = 5.0
"""Seconds that a worker needs at the end, to record what ended and to leave."""


@dataclass(frozen=True, slots=True)
class JobTime:
    """The time of a job, in seconds: what is left of it, and what it had when the worker began."""

    left: float
    whole: float


def is_too_late(state: ExperimentState, time: JobTime, trial_time: TrialTime) -> bool:
    """Return whether a trial begun now is less likely than not to end in time.

    Unless a whole job wouldn't be enough for it either: then it may as well begin here.
    """
    if trial_time == "off":
        return False
    seen = [trial_time] if trial_time != "auto" else durations(state)
    left, whole = (
        sum(one <= span - _FOR_ITSELF for one in seen) for span in (time.left, time.whole)
    )
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
