"""Statistics of an experiment under Oríon's names. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from typing import Any

from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED, STATUSES
from orion_hpc.text import html_table


@dataclass(frozen=True, slots=True)
class ExperimentStats:
    """Statistics of an experiment.

    Attributes
    ----------
    trials_completed : int
    nb_trials : int
        Trials of all statuses.
    max_trials : int or None
    best_trials_id : str or None
        The id of the best completed trial.
    best_evaluation : float or None
        Its objective.
    start_time : datetime
        When the experiment was created, in UTC without a time zone.
    finish_time : datetime or None
        When the last completed trial ended, in UTC.
    duration, elapsed_time : timedelta
        From ``start_time`` to ``finish_time``.
    sum_of_trials_time : timedelta
        Total time of the completed attempts.
    progress : float or None
        From 0 to 1: the completed trials' share of ``max_trials`` less the broken ones, as in
        Oríon; None without ``max_trials``.
    eta : timedelta or None
        Estimate of the remaining time at the rate so far; None without ``max_trials`` or a
        completed trial.
    trial_status_count : dict
        How many trials have each status, of the statuses that there are.
    """

    trials_completed: int
    nb_trials: int
    max_trials: int | None
    best_trials_id: str | None
    best_evaluation: float | None
    start_time: datetime
    finish_time: datetime | None
    duration: timedelta
    sum_of_trials_time: timedelta
    progress: float | None
    eta: timedelta | None
    trial_status_count: dict[str, int]

    @property
    def elapsed_time(self) -> timedelta:
        """The same as ``duration``."""
        return self.duration

    @property
    def eta_milliseconds(self) -> float | None:
        """The same as ``eta``, in milliseconds."""
        return None if self.eta is None else self.eta / timedelta(milliseconds=1)

    def to_json(self) -> dict[str, Any]:
        """Return the statistics as JSON takes them.

        Returns
        -------
        dict
            Under Oríon's names; times and durations are texts, an ``eta`` of None is ``infinite``.
        """
        return {
            "trials_completed": self.trials_completed,
            "best_trials_id": self.best_trials_id,
            "best_evaluation": self.best_evaluation,
            "start_time": str(self.start_time),
            "finish_time": None if self.finish_time is None else str(self.finish_time),
            "max_trials": self.max_trials,
            "nb_trials": self.nb_trials,
            "progress": self.progress,
            "trial_status_count": dict(self.trial_status_count),
            "elapsed_time": str(self.elapsed_time),
            "sum_of_trials_time": str(self.sum_of_trials_time),
            "eta": "infinite" if self.eta is None else str(self.eta),
            "eta_milliseconds": self.eta_milliseconds,
        }

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        shown = [(one.name, getattr(self, one.name)) for one in fields(self)]
        return html_table(
            "Statistics", [(name, value) for name, value in shown if value is not None]
        )


def statistics(state: ExperimentState) -> ExperimentStats:
    """Return the statistics of the experiment's current state."""
    done = state.having(COMPLETED)
    ends = [trial.end_time for trial in done if trial.end_time is not None]
    begun = [trial.start_time for trial in done if trial.start_time is not None]
    # An imported experiment was created after its trials.
    start = min([state.create_time, *begun[:1]])
    last = max(ends, default=None)
    duration = max(0.0, last - start) if last is not None else 0.0
    spent = sum(
        max(0.0, trial.end_time - trial.start_time)
        for trial in done
        if trial.end_time is not None and trial.start_time is not None
    )
    best = state.best
    left = state.max_trials - len(done) if state.max_trials is not None else None
    eta = timedelta(seconds=duration / len(done) * max(0, left)) if done and left else None
    return ExperimentStats(
        trials_completed=len(done),
        nb_trials=len(state.trials),
        max_trials=state.max_trials,
        best_trials_id=best.id if best else None,
        best_evaluation=best.objective if best else None,
        start_time=_utc(start),
        finish_time=_utc(last) if last is not None else None,
        duration=timedelta(seconds=duration),
        sum_of_trials_time=timedelta(seconds=spent),
        progress=_progress(len(done), state.count(BROKEN), state.max_trials),
        eta=timedelta(0) if left is not None and left <= 0 else eta,
        trial_status_count={one: state.count(one) for one in STATUSES if state.count(one)},
    )


def _progress(completed: int, broken: int, max_trials: int | None) -> float | None:
    """Return the progress, which is 1 at the latest when ``max_trials`` are completed."""
    if not max_trials:
        return None
    return min(1.0, completed / max(1, max_trials - broken))


def _utc(time: float) -> datetime:
    return datetime.fromtimestamp(time, timezone.utc).replace(tzinfo=None)
