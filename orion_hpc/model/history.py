"""One experiment as far as the journal has been replayed: its trials, and what readers ask of them.

What events change is decided in :mod:`orion_hpc.model.replay_rules`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any

from orion_hpc.model import event as ev
from orion_hpc.model.points import Points
from orion_hpc.model.trial_record import (
    BROKEN,
    COMPLETED,
    INTERRUPTED,
    LOST_WORKER,
    NEW,
    NOT_ITS_FAULT,
    RESERVED,
    STATUSES,
    SUSPENDED,
    Params,
    TrialRecord,
)

IMPORTED = "imported"
"""The key under which the configuration of an imported experiment describes its origin: a mapping,
with the number of its trials as ``trials``."""


def fidelity_of(configuration: Mapping[str, Any]) -> str | None:
    """Return the name of the dimension of a recorded space that is a fidelity, if there is one."""
    space = configuration.get("space")
    priors = space.items() if isinstance(space, Mapping) else ()
    return next((name for name, prior in priors if str(prior).startswith("fidelity(")), None)


def lacks_run(configuration: Mapping[str, Any]) -> bool:
    """Return whether a configuration names nothing to run.

    Then the experiment was imported, or created by a Python program, which passes the function
    itself.
    """
    runs = configuration.get("function") or configuration.get("command")
    return not runs


RUN = ("function", "command", "kwargs", "trial_arg", "path")
"""The settings of what trials run."""

SEARCHED = ("space", "algorithm")
"""The settings of what is searched, which never change."""


REPLACES = "replaces"
"""The key under which a second creation names what trials ran before: see :func:`with_run`."""


def run_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of what trials run."""
    return {key: configuration.get(key) for key in RUN}


def with_run(recorded: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return the configuration of an experiment that is created a second time; None if refused.

    The second creation adds what the trials of a bare experiment run. Of any other experiment it
    changes what they run, if it repeats space and algorithm with the seed, and names what they run
    now as what it :data:`REPLACES`. A writer that lost a race to create the experiment, or to
    change it, names nothing or something else, and changes nothing.
    """
    if lacks_run(wanted):
        return None
    if lacks_run(recorded):
        kept = {key: recorded[key] for key in (IMPORTED, *SEARCHED) if key in recorded}
        return {**wanted, **kept}
    if any(recorded.get(key) != wanted.get(key) for key in SEARCHED):
        return None
    if wanted.get(REPLACES) != run_of(recorded):
        return None
    return {**recorded, **run_of(wanted)}


KINDS = (COMPLETED, BROKEN, INTERRUPTED, LOST_WORKER)
"""How attempts end, for the sum of their times; see :attr:`ExperimentHistory.spent`."""


@dataclass(slots=True)
class Used:
    """What attempts used, as far as it was measured: seconds of processor time, seconds of
    duration, and the largest number of bytes of memory."""

    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0


@dataclass(slots=True)
class ExperimentHistory:
    """One experiment, as far as the journal has been replayed."""

    number: int
    name: str
    version: int
    configuration: dict[str, Any]
    create_time: float
    max_trials: int | None
    max_broken: int
    trials: list[TrialRecord] = field(default_factory=list)
    stopped: str | None = None
    exhausted: bool = False
    jobs: list[ev.LaunchJobs] = field(default_factory=list)
    departures: list[ev.LeaveWorker] = field(default_factory=list)
    # For the algorithms: the numbers of completed trials, in the order of their completion.
    # ``undone`` counts how often a number was taken out of the list.
    completions: list[int] = field(default_factory=list)
    undone: int = 0
    learned: list[TrialRecord] = field(default_factory=list)
    # By source: how many events, and how many trials.
    sources: dict[str, tuple[int, int]] = field(default_factory=dict)
    # The sources of which a part is still missing.
    half_learned: set[str] = field(default_factory=set)
    # By worker: seconds of attempts that ended as each of KINDS.
    spent: dict[str, list[float]] = field(default_factory=dict)
    used: Used = field(default_factory=Used)
    # The best completed trial and its rank. Found again on demand after a change.
    _best: TrialRecord | None = field(default=None, compare=False)
    _least: float = field(default=math.inf, compare=False)
    _violation: float = field(default=math.inf, compare=False)
    _level: float = field(default=-math.inf, compare=False)
    _is_best_unknown: bool = field(default=False, compare=False)
    # The name of the fidelity, None if there is none.
    _fidelity: str | None = field(init=False, compare=False)
    # The first completed trial with objectives: it decides how many there are.
    _measure: TrialRecord | None = field(default=None, compare=False)
    # By status, the trials' numbers in the order in which they came to it. To find the next trial
    # to reserve, or one whose worker may be lost, must not take a walk over 100,000 completed ones.
    by_status: dict[str, dict[int, None]] = field(
        default_factory=lambda: {status: {} for status in STATUSES}
    )
    # What follows is derived from the trials, for the rules of replay.
    points: Points = field(default_factory=Points, repr=False)
    imported_ids: set[str] = field(default_factory=set, repr=False)
    # One string for all trials of a worker, not one for each.
    worker_names: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._fidelity = fidelity_of(self.configuration)

    @property
    def title(self) -> str:
        """``name-vN``: what people and folders call this experiment."""
        return f"{self.name}-v{self.version}"

    def count(self, status: str) -> int:
        """Return how many trials have ``status``."""
        return len(self.by_status[status])

    def job_ids(self, launcher: str) -> list[str]:
        """Return the ids of all jobs that ``launcher`` started, oldest first."""
        return [id_ for jobs in self.jobs if jobs.launcher == launcher for id_ in jobs.job_ids]

    def having(self, status: str) -> list[TrialRecord]:
        """Return the trials of ``status``, in the order in which they came to it."""
        return [self.trials[number] for number in self.by_status[status]]

    def pending(self) -> list[TrialRecord]:
        """Return the trials that are neither completed nor broken."""
        by = self.by_status
        return [
            self.trials[number]
            for status in (RESERVED, INTERRUPTED, SUSPENDED, NEW)
            for number in by[status]
        ]

    def failed(self) -> list[TrialRecord]:
        """Return the broken trials that count against their points.

        One that lost its worker is among them: it is broken only once its attempts have run out.
        """
        return [trial for trial in self.having(BROKEN) if trial.cause not in NOT_ITS_FAULT]

    def has(self, params: Params) -> bool:
        """Return whether there is a trial at exactly this point."""
        return params in self.points

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the smallest objective; of several objectives the first counts.

        A feasible trial is better than any that isn't, and of those that aren't the one that breaks
        its constraints least (Deb's rules, see :attr:`TrialRecord.violation`). With a fidelity, a
        trial that got more of it is better than any that got less, as their results can't be
        compared. Of equals, the first one. A trial that isn't :meth:`comparable` is never the best.
        """
        self._find_best()
        return self._best

    @property
    def objectives(self) -> int:
        """The number of objectives of the first completed trial that has any; 0 before."""
        self._find_best()
        return 0 if self._measure is None else len(self._measure.objectives)

    def finalists(self) -> list[TrialRecord]:
        """Return the :meth:`comparable` trials that got as much of the fidelity as the best one.

        That is the most that any feasible trial got, if there is one. Without a fidelity, all.
        """
        best = self.best
        if best is None:
            return self.comparable()
        level = self._level_of(best)
        return [one for one in self.comparable() if self._level_of(one) == level]

    def ranked(self, count: int | None = None) -> list[TrialRecord]:
        """Return the :meth:`comparable` trials from the best on, by the rules of :attr:`best`.

        ``count``: only so many of them.
        """
        if count == 1:
            return [self.best] if self.best is not None else []
        trials = [one for one in self.comparable() if one.objective is not None]
        if count is None:
            return sorted(trials, key=self._rank)
        return nsmallest(count, trials, key=self._rank)

    def _rank(self, trial: TrialRecord) -> tuple[float, float, float]:
        objective = trial.objective
        least = math.inf if objective is None else objective
        return trial.violation, -self._level_of(trial), least

    def comparable(self) -> list[TrialRecord]:
        """Return the completed trials with the right number of objectives, in order of completion.

        Trials with another number, as after a change of the function, can't be compared with these.
        """
        wanted = self.objectives
        return [one for one in self.having(COMPLETED) if len(one.objectives) == wanted]

    def compare(self, trial: TrialRecord) -> None:
        """Record ``trial``, which has completed, as the best one if it is better."""
        objective = trial.objective
        # Nearly every trial ends here, so nothing else may be looked at before.
        if objective is None or (
            objective >= self._least and not self._violation and self._fidelity is None
        ):
            return
        if self._measure is None:
            self._measure = trial
        elif len(trial.objectives) != len(self._measure.objectives):
            return
        rank = self._rank(trial)
        if rank < (self._violation, -self._level, self._least):
            self._best, self._least = trial, objective
            self._violation, self._level = rank[0], -rank[1]

    def forget(self, trial: TrialRecord) -> None:
        """Record that ``trial``, which had completed, is going to lose its results."""
        if trial is self._best or trial is self._measure:
            self._is_best_unknown = True

    def reconfigure(self, configuration: dict[str, Any]) -> None:
        """Replace the configuration. Which trial is best may depend on it."""
        self.configuration = configuration
        self._fidelity, self._is_best_unknown = fidelity_of(configuration), True

    def _find_best(self) -> None:
        # Not as soon as the best one is lost: replay of a journal that resets one trial after
        # another would take quadratic time.
        if self._is_best_unknown:
            self._best = self._measure = None
            self._least = self._violation = math.inf
            self._level = -math.inf
            self._is_best_unknown = False
            for number in self.by_status[COMPLETED]:
                self.compare(self.trials[number])

    def _level_of(self, trial: TrialRecord) -> float:
        """Return how much of the fidelity a trial got; the same for all where there is none."""
        level = trial.params.get(self._fidelity) if self._fidelity is not None else None
        return level if isinstance(level, int | float) else 0.0

    @property
    def is_bare(self) -> bool:
        """Whether the journal doesn't hold what its trials run: see :func:`lacks_run`."""
        return lacks_run(self.configuration)

    @property
    def to_import(self) -> int:
        """How many trials an import still has to write: it was cut short, or is in progress."""
        if not self.is_bare or IMPORTED not in self.configuration:
            return 0
        wanted: int = self.configuration[IMPORTED]["trials"]
        return max(0, wanted - len(self.trials))

    @property
    def live(self) -> int:
        """How many trials are neither completed nor broken."""
        return len(self.trials) - self.count(COMPLETED) - self.count(BROKEN)

    @property
    def is_broken(self) -> bool:
        """Whether so many trials broke that no other may start."""
        return self.count(BROKEN) >= self.max_broken

    @property
    def is_open(self) -> bool:
        """Whether trials may be registered and reserved."""
        return self.stopped is None and not self.is_broken

    @property
    def is_done(self) -> bool:
        """Whether every trial that the budget or the space allows is completed."""
        if self.max_trials is not None and self.count(COMPLETED) >= self.max_trials:
            return True
        return self.exhausted and not self.live

    @property
    def room(self) -> float:
        """How many more trials may be registered now (infinite without ``max_trials``)."""
        broken = len(self.by_status[BROKEN])
        if self.exhausted or self.stopped is not None or broken >= self.max_broken:
            return 0
        if self.max_trials is None:
            return math.inf
        return max(0, self.max_trials - len(self.trials) + broken)

    @property
    def fits(self) -> bool:
        """Whether the budget has room for one more trial, whether the experiment is open or not."""
        wanted = len(self.trials) - self.count(BROKEN)
        return self.max_trials is None or wanted < self.max_trials

    @property
    def left(self) -> float:
        """How many trials still have to be run, including those that run now."""
        if not self.is_open:
            return 0
        left = self.live + self.room
        if self.max_trials is not None:
            # After the budget was lowered, there may be more live trials than places.
            left = min(left, max(0, self.max_trials - self.count(COMPLETED)))
        return left

    @property
    def places(self) -> float:
        """How many more trials may run at once (infinite without ``max_trials``)."""
        by = self.by_status
        if self.stopped is not None or len(by[BROKEN]) >= self.max_broken:
            return 0
        if self.max_trials is None:
            return math.inf
        return max(0, self.max_trials - len(by[COMPLETED]) - len(by[RESERVED]))

    def move(self, trial: TrialRecord, status: str) -> None:
        """Change the status of a trial."""
        del self.by_status[trial.status][trial.number]
        trial.status = status
        self.by_status[status][trial.number] = None

    def find(self, number: int) -> TrialRecord | None:
        """Return the trial of this number, if there is one."""
        return self.trials[number] if 0 <= number < len(self.trials) else None
