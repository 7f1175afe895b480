"""The rules of replay: what the journal's events, in the journal's order, make of the experiments.

Pure: no clock, no randomness, no I/O. Every reader that replays the same events gets the same
state, so an event that came too late is a no-op for all of them alike. That, and not the lock, is
what decides who holds a trial.

========================  ========================================================================
event                     accepted when
========================  ========================================================================
create experiment         no experiment has this name and version; or the one that has knows of
                          nothing to run, and is told it now (it keeps its space and algorithm)
register trial n          n is the next number, no trial is at the same point (an imported trial has
                          an id of its own: no trial has the same), the experiment is open and not
                          exhausted, and completed + live trials < ``max_trials``; with a worker,
                          "reserve trial n, 1" follows at once
reserve trial n, a        the trial is new, interrupted or suspended, a is its last attempt + 1,
                          the experiment is open, and completed + reserved < ``max_trials``
complete trial n, a       a is the latest attempt, and the trial is reserved, or interrupted by a
                          release, and neither taken by anybody nor set by hand since
release trial n, a        a is the latest attempt and the trial is reserved
set trial n, a            a is the latest attempt, the trial isn't reserved and has another status
                          than the one it is set to, which is new, interrupted, suspended or broken;
                          of a broken one set to anything else, completed + live trials <
                          ``max_trials``
exhaust space n           n is the next number
limits, stop, resume      always
jobs launched             always
learn part p of a source  p is the next part of that source
remove experiment n       it is there; whatever is said of it afterwards is refused
========================  ========================================================================

An experiment is *open* while nobody stopped it and fewer than ``max_broken`` trials are broken.

*Set by hand.* Such a trial belongs to nobody: no result of an attempt that began before is taken,
so that what a user wants to be run again isn't brought back by a worker that comes late. A
completed one loses its results and counts as live, or as broken: what the budget allows stays as
exact as it was. Its losses are forgiven.

*Removal.* Every reader must agree on which names are taken and how experiments are numbered, also
one that follows no trial of an experiment: so whether trials are reserved can't matter. Numbers are
never given again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from orion_hpc.errors import NoConfigurationError
from orion_hpc.model import event as ev
from orion_hpc.model.points import Points
from orion_hpc.model.trial import (
    BROKEN,
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    LOST_WORKER,
    NEW,
    PERHAPS_ITS_FAULT,
    RELEASABLE,
    RESERVABLE,
    RESERVED,
    SETTABLE,
    STATUSES,
    SUSPENDED,
    Params,
    Trial,
)

KINDS = (COMPLETED, BROKEN, INTERRUPTED, LOST_WORKER)
"""What the time of attempts went into; see :attr:`ExperimentState.spent`."""


@dataclass(slots=True)
class Used:
    """What attempts used whose usage is known: seconds of processor time and of their duration,
    and the most bytes of memory of any."""

    cpu: float = 0.0
    wall: float = 0.0
    peak: int = 0


@dataclass(slots=True)
class ExperimentState:
    """One experiment, as far as the journal has been replayed."""

    number: int
    name: str
    version: int
    configuration: dict[str, Any]
    create_time: float
    max_trials: int | None
    max_broken: int
    trials: list[Trial] = field(default_factory=list)
    stopped: str | None = None
    exhausted: bool = False
    jobs: list[ev.LaunchJobs] = field(default_factory=list)
    departures: list[ev.LeaveWorker] = field(default_factory=list)
    # For the algorithms: what there is to learn, in the order in which it came. ``undone`` counts
    # how often a number was taken out of it.
    completions: list[int] = field(default_factory=list)
    undone: int = 0
    learned: list[Trial] = field(default_factory=list)
    # Of which source how many events, and how many trials.
    sources: dict[str, tuple[int, int]] = field(default_factory=dict)
    # Those of which a part is still missing.
    half_learned: set[str] = field(default_factory=set)
    # By worker: seconds in attempts that ended as each of KINDS.
    spent: dict[str, list[float]] = field(default_factory=dict)
    used: Used = field(default_factory=Used)
    # The best completed trial as long as it stays completed, else what :attr:`best` looks for.
    _best: Trial | None = field(default=None, compare=False)
    _least: float = field(default=math.inf, compare=False)
    _violation: float = field(default=math.inf, compare=False)
    _level: float = field(default=-math.inf, compare=False)
    _best_left: bool = field(default=False, compare=False)
    # The name of the fidelity, None if there is none.
    _fidelity: str | None = field(init=False, compare=False)
    # The completed trial that tells how many objectives there are: the first that has any.
    _measure: Trial | None = field(default=None, compare=False)
    # Numbers by status, each in the order in which they came there: finding the next trial to
    # reserve, or whose worker may be lost, must not walk 100,000 completed ones.
    by_status: dict[str, dict[int, None]] = field(
        default_factory=lambda: {status: {} for status in STATUSES}
    )
    _points: Points = field(default_factory=Points)
    _ids: set[str] = field(default_factory=set)
    _workers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._fidelity = fidelity_of(self.configuration)

    @property
    def title(self) -> str:
        """``name-vN``: how people and folders call this experiment."""
        return f"{self.name}-v{self.version}"

    def count(self, status: str) -> int:
        """Return how many trials have ``status``."""
        return len(self.by_status[status])

    def job_ids(self, launcher: str) -> list[str]:
        """Return the ids of all jobs that ``launcher`` was told to start, oldest first."""
        return [id_ for jobs in self.jobs if jobs.launcher == launcher for id_ in jobs.job_ids]

    def having(self, status: str) -> list[Trial]:
        """Return the trials of ``status``, in the order in which they came to it."""
        return [self.trials[number] for number in self.by_status[status]]

    def pending(self) -> list[Trial]:
        """Return the trials that are neither completed nor broken."""
        by = self.by_status
        return [
            self.trials[number]
            for status in (RESERVED, INTERRUPTED, SUSPENDED, NEW)
            for number in by[status]
        ]

    def has(self, params: Params) -> bool:
        """Return whether a trial stands at this very point."""
        return params in self._points

    @property
    def best(self) -> Trial | None:
        """The completed trial with the smallest objective, the first one where it has several.

        A feasible trial is better than any that isn't, and of those that aren't the one that breaks
        its constraints least (Deb's rules, see :attr:`Trial.violation`). With a fidelity, one that
        got more of it is better than any that got less: their results can't be compared. Of
        equals, whichever was first. One that isn't :meth:`comparable` is never the best.
        """
        self._look_again()
        return self._best

    @property
    def objectives(self) -> int:
        """How many objectives there are: as many as the first completed trial told; 0 before."""
        self._look_again()
        return 0 if self._measure is None else len(self._measure.objectives)

    def finalists(self) -> list[Trial]:
        """Return those of the :meth:`comparable` trials that got as much of the fidelity as the
        :attr:`best` one.

        That is the most that any feasible trial got, if there is one. Without a fidelity, all.
        """
        best = self.best
        if best is None:
            return self.comparable()
        level = _level(self, best)
        return [one for one in self.comparable() if _level(self, one) == level]

    def comparable(self) -> list[Trial]:
        """Return the completed trials that have as many objectives as there are, in the order in
        which they were completed.

        Those that have another number, as after a change of the function, can be compared with
        none of these.
        """
        wanted = self.objectives
        return [one for one in self.having(COMPLETED) if len(one.objectives) == wanted]

    def _look_again(self) -> None:
        if self._best_left:
            # Not when it left: a journal that sets one after another would be read for ever.
            self._best = self._measure = None
            self._least = self._violation = math.inf
            self._level = -math.inf
            self._best_left = False
            for number in self.by_status[COMPLETED]:
                _compare(self, self.trials[number])

    @property
    def is_bare(self) -> bool:
        """Whether the journal doesn't say what its trials run: see :func:`lacks_run`."""
        return lacks_run(self.configuration)

    @property
    def to_import(self) -> int:
        """How many trials an import has still to write: it was cut short, or is under way."""
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
        """Whether so many trials broke that nobody may start another."""
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
        """Whether the budget has room for one more trial, be the experiment open or not."""
        wanted = len(self.trials) - self.count(BROKEN)
        return self.max_trials is None or wanted < self.max_trials

    @property
    def left(self) -> float:
        """How many trials have still to be run, those that run now included."""
        if not self.is_open:
            return 0
        left = self.live + self.room
        if self.max_trials is not None:
            # After the budget was lowered there may be more live trials than places.
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

    def apply(self, event: ev.Event) -> bool:
        """Replay one event; return whether it was accepted."""
        return _RULES[type(event)](self, event)

    def _move(self, trial: Trial, status: str) -> None:
        del self.by_status[trial.status][trial.number]
        trial.status = status
        self.by_status[status][trial.number] = None

    def _find(self, number: int) -> Trial | None:
        return self.trials[number] if 0 <= number < len(self.trials) else None


def _register(state: ExperimentState, event: ev.RegisterTrial) -> bool:
    if event.number != len(state.trials) or state.room < 1:
        return False
    number, params, time, id_, worker, parent = event
    if id_ is None:
        added = state._points.add(params)
        if added is None:
            return False
        params = added
    elif id_ in state._ids:
        # Not the point: Oríon's population based algorithms run one point more than once.
        return False
    else:
        state._ids.add(id_)
        params = state._points.add(params) or params
    if worker is None or state.places < 1:
        state.trials.append(Trial(number, params, time))
        state.by_status[NEW][number] = None
    else:
        worker = state._workers.setdefault(worker, worker)
        state.trials.append(Trial(number, params, time, RESERVED, 1, worker, time))
        state.by_status[RESERVED][number] = None
    if id_ is not None:
        state.trials[number].imported_id = id_
    if parent is not None:
        state.trials[number].parent = parent
    return True


def _reserve(state: ExperimentState, event: ev.ReserveTrial) -> bool:
    number, attempt, worker, time = event
    trial = state._find(number)
    if (
        trial is None
        or trial.status not in RESERVABLE
        or attempt != trial.attempt + 1
        or state.places < 1
    ):
        return False
    state._move(trial, RESERVED)
    trial.attempt = attempt
    # One text for all the trials of a worker, not one for each.
    trial.worker = state._workers.setdefault(worker, worker)
    trial.start_time = time
    trial.end_time = trial.cause = trial.message = None
    return True


def _complete(state: ExperimentState, event: ev.CompleteTrial) -> bool:
    trial = state._find(event.number)
    if (
        trial is None
        or trial.status not in (RESERVED, INTERRUPTED)
        or event.attempt != trial.attempt
        # Nobody has begun it, or it was taken from whoever had.
        or trial.worker is None
    ):
        return False
    state._move(trial, COMPLETED)
    trial.results = event.results
    trial.end_time = event.time
    trial.cause = trial.message = None
    state.completions.append(trial.number)
    _spend(state, trial, 0, event.usage)
    _compare(state, trial)
    return True


def _spend(
    state: ExperimentState, trial: Trial, kind: int, usage: tuple[float, int] | None
) -> None:
    """Add up what the attempt took that has just ended; ``kind`` is an index of KINDS."""
    if trial.worker is None or trial.start_time is None or trial.end_time is None:
        return
    wall = trial.end_time - trial.start_time
    if wall <= 0:  # a clock was set
        wall = 0.0
    spent = state.spent.get(trial.worker)
    if spent is None:
        spent = state.spent[trial.worker] = [0.0] * len(KINDS)
    spent[kind] += wall
    if usage is not None:
        used = state.used
        used.cpu += usage[0]
        used.wall += wall
        if usage[1] > used.peak:
            used.peak = usage[1]


def _compare(state: ExperimentState, trial: Trial) -> None:
    """Take ``trial``, which is completed, for the best one if it is better."""
    objective = trial.objective
    # What nearly every trial meets, so nothing else may be looked at before it.
    if objective is None or (
        objective >= state._least and not state._violation and state._fidelity is None
    ):
        return
    if state._measure is None:
        state._measure = trial
    elif len(trial.objectives) != len(state._measure.objectives):
        return
    violation, level = trial.violation, _level(state, trial)
    if (violation, -level, objective) < (state._violation, -state._level, state._least):
        state._best, state._least = trial, objective
        state._violation, state._level = violation, level


def _level(state: ExperimentState, trial: Trial) -> float:
    """Return how much of the fidelity a trial got; the same for all where there is none."""
    level = trial.params.get(state._fidelity) if state._fidelity is not None else None
    return level if isinstance(level, int | float) else 0.0


def _release(state: ExperimentState, event: ev.ReleaseTrial) -> bool:
    trial = state._find(event.number)
    if (
        trial is None
        or trial.status != RESERVED
        or event.attempt != trial.attempt
        or event.status not in RELEASABLE
    ):
        return False
    state._move(trial, event.status)
    trial.end_time = event.time
    trial.cause = event.cause
    trial.message = event.message
    lost = event.cause == LOST_WORKER
    _spend(state, trial, 3 if lost else 1 if event.status == BROKEN else 2, event.usage)
    if event.cause in PERHAPS_ITS_FAULT:
        trial.losses += 1
    return True


def _set(state: ExperimentState, event: ev.SetStatus) -> bool:
    trial = state._find(event.number)
    if (
        trial is None
        or trial.status in (RESERVED, event.status)
        or event.attempt != trial.attempt
        or event.status not in SETTABLE
        or (trial.status == BROKEN and not state.fits)
    ):
        return False
    if trial is state._best or trial is state._measure:
        state._best_left = True
    if trial.status == COMPLETED:
        state.completions.remove(trial.number)
        state.undone += 1
    state._move(trial, event.status)
    # Without a worker no late result is taken; see _complete.
    trial.worker = trial.start_time = trial.end_time = trial.results = None
    trial.cause = CANCELLED if event.status == BROKEN else None
    trial.message = "set to broken by hand" if event.status == BROKEN else None
    trial.losses = 0
    return True


def _exhaust(state: ExperimentState, event: ev.ExhaustSpace) -> bool:
    if event.number != len(state.trials):
        return False
    state.exhausted = True
    return True


def _limits(state: ExperimentState, event: ev.ChangeLimits) -> bool:
    state.max_trials = event.max_trials
    state.max_broken = event.max_broken
    return True


def _stop(state: ExperimentState, event: ev.StopExperiment) -> bool:
    state.stopped = event.reason
    return True


def _resume(state: ExperimentState, event: ev.ResumeExperiment) -> bool:
    state.stopped = None
    return True


def _launched(state: ExperimentState, event: ev.LaunchJobs) -> bool:
    state.jobs.append(event)
    return True


def _leave(state: ExperimentState, event: ev.LeaveWorker) -> bool:
    state.departures.append(event)
    return True


def _learn(state: ExperimentState, event: ev.LearnTrials) -> bool:
    parts, count = state.sources.get(event.source, (0, 0))
    if event.part != parts:  # somebody else was as fast
        return False
    state.sources[event.source] = (parts + 1, count + len(event.trials))
    (state.half_learned.add if event.more else state.half_learned.discard)(event.source)
    for params, results in event.trials:
        trial = Trial(-1 - len(state.learned), params, event.time, COMPLETED, results=results)
        state.learned.append(trial)
    # It comes before whatever an algorithm has learned so far.
    state.undone += 1
    return True


def _refuse(state: ExperimentState, event: ev.Event) -> bool:
    return False


_RULES: dict[type[Any], Callable[[ExperimentState, Any], bool]] = {
    ev.CreateExperiment: _refuse,
    ev.RegisterTrial: _register,
    ev.ReserveTrial: _reserve,
    ev.CompleteTrial: _complete,
    ev.ReleaseTrial: _release,
    ev.ChangeLimits: _limits,
    ev.StopExperiment: _stop,
    ev.ResumeExperiment: _resume,
    ev.ExhaustSpace: _exhaust,
    ev.LaunchJobs: _launched,
    ev.LeaveWorker: _leave,
    ev.LearnTrials: _learn,
    ev.SetStatus: _set,
    ev.RemoveExperiment: _refuse,
}


IMPORTED = "imported"
"""Where the configuration of an imported experiment tells of its origin: a mapping, with the number
of its trials as ``trials``."""


def fidelity_of(configuration: Mapping[str, Any]) -> str | None:
    """Return the name of the dimension of a recorded space that is a fidelity, if there is one."""
    space = configuration.get("space")
    priors = space.items() if isinstance(space, Mapping) else ()
    return next((name for name, prior in priors if str(prior).startswith("fidelity(")), None)


def lacks_run(configuration: Mapping[str, Any]) -> bool:
    """Return whether an experiment of this configuration has nothing to run: it was imported, or
    made by a Python program, which passes its function itself."""
    runs = configuration.get("function") or configuration.get("command")
    return not runs


CATALOGUE = 0
"""The experiment number under which experiments are created."""


class Experiments(dict[int, ExperimentState]):
    """Experiments by their number. One that was removed is named when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: dict[int, str] = {}

    def __missing__(self, number: int) -> NoReturn:
        if number not in self.removed:
            raise KeyError(number)
        raise NoConfigurationError(
            f"the experiment {self.removed[number]} was removed from the database",
            "'orion-hpc submit CONFIG' makes a new one.",
        )


class State:
    """Everything a database holds: the experiments, by the number of their creation from 1.

    Parameters
    ----------
    follows : callable, default everything
        Told an experiment, says whether its trials are to be replayed. The others are known by
        name only; their frames needn't be unpickled.
    """

    def __init__(self, follows: Callable[[ExperimentState], bool] = lambda experiment: True):
        self.experiments = Experiments()
        self.followed: set[int] = {CATALOGUE}
        self._follows = follows
        self._counters: defaultdict[int, dict[str, int]] = defaultdict(dict)
        # Nothing bounds how many experiments a file creates, and each asks for its own name.
        self._numbers: dict[tuple[str, int], int] = {}

    def find(self, name: str, version: int | None = None) -> ExperimentState | None:
        """Return the experiment of this name and version (None: its highest), or None."""
        if version is not None:
            number = self._numbers.get((name, version))
            return None if number is None else self.experiments[number]
        found = [one for one in self.experiments.values() if one.name == name]
        return max(found, key=lambda experiment: experiment.version, default=None)

    def apply(
        self, number: int, writer: str, counter: int, events: Iterable[ev.Event]
    ) -> Sequence[bool]:
        """Replay one transaction on experiment ``number``; return what was accepted.

        A transaction whose counter isn't above its writer's last one is a repeat of one that got
        into the journal though its writer was told otherwise: it changes nothing.
        """
        counters = self._counters[number]
        if counter <= counters.get(writer, -1):
            return [False for _ in events]
        counters[writer] = counter
        experiment = self.experiments.get(number)
        if experiment is not None:
            return [_RULES[type(event)](experiment, event) for event in events]
        return [number == CATALOGUE and self._catalogue(event) for event in events]

    def seen(self, number: int, writer: str) -> int:
        """Return the counter of the last transaction of ``writer`` that was replayed, or -1."""
        return self._counters[number].get(writer, -1)

    def _catalogue(self, event: ev.Event) -> bool:
        if isinstance(event, ev.CreateExperiment):
            return self._create(event)
        return isinstance(event, ev.RemoveExperiment) and self._remove(event)

    def _remove(self, event: ev.RemoveExperiment) -> bool:
        # It is still followed: who writes of it must meet its own transaction on reading.
        removed = self.experiments.pop(event.number, None)
        if removed is None:
            return False
        del self._numbers[removed.name, removed.version]
        self.experiments.removed[event.number] = removed.title
        return True

    def _create(self, event: ev.CreateExperiment) -> bool:
        found = self.find(event.name, event.version)
        if found is not None:
            if not found.is_bare or lacks_run(event.configuration):
                return False
            old, searched = found.configuration, (IMPORTED, "space", "algorithm")
            kept = {key: old[key] for key in searched if key in old}
            found.configuration = {**event.configuration, **kept}
            found._fidelity, found._best_left = fidelity_of(found.configuration), True
            return True
        number = len(self.experiments) + len(self.experiments.removed) + 1
        experiment = ExperimentState(
            number=number,
            name=event.name,
            version=event.version,
            configuration=event.configuration,
            create_time=event.time,
            max_trials=event.configuration["max_trials"],
            max_broken=event.configuration["max_broken"],
        )
        self.experiments[number] = experiment
        self._numbers[event.name, event.version] = number
        if self._follows(experiment):
            self.followed.add(number)
        return True
