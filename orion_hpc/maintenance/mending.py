"""Infers the events in a damaged part of the journal from the transactions behind it. Pure.

Replay refuses an event that doesn't fit: if the registration of trial 7 is lost, that of trial 8
and all later events of it are refused, too. So before a transaction that can only have been written
because earlier events had been accepted, such events are inserted. They are ordinary events under
the ordinary rules of :mod:`orion_hpc.model.state`; replay of the mended journal needs no special
case. The inferences, with t the latest known attempt of trial n:

==============================================  ================================================
what is there                                   what must have been before
==============================================  ================================================
a transaction of experiment k                   k experiments were created
a creation, and its writer uses k next          k - 1 experiments were created before it; one of
                                                the same name was removed
register n, exhaust n                           trials 0 to n - 1 were registered
any event of trial n                            it was registered
complete or release n, attempt a > t            attempt a was reserved, those before it had ended
reserve n, attempt a > t                        attempt a - 1 had ended
set n, attempt a >= t                           attempt a had ended
==============================================  ================================================

A trial whose registration is lost gets the parameters that its algorithm suggests for this number,
if the algorithm also suggests those of the trials that aren't lost; then it is run again, or has
the result from behind the damage. Otherwise its parameters are unknown: it keeps a result, and
without one it is broken. An experiment whose creation is lost is called ``lost-NUMBER`` and has
nothing to run.

The end of an attempt that was lost is not inferred: the trial stays reserved by a worker that is
gone, from which another worker takes it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from orion_hpc.model import event as ev
from orion_hpc.model.history import IMPORTED
from orion_hpc.model.state import CATALOGUE, ExperimentState, State
from orion_hpc.model.trial_record import (
    BROKEN,
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    KILLED,
    RESERVED,
    Params,
    TrialRecord,
    params_key,
)

Derive: TypeAlias = Callable[[ExperimentState, int], Params | None]
"""Returns the parameters that the experiment's algorithm suggests for a trial; None: unknown."""

LOST = "lost in a damaged part of the database"
UNKNOWN = "unknown"
"""The worker of an attempt whose reservation is lost."""

_LEAST_BYTES = 16
"""No event is shorter: this many bytes of damage explain one missing event."""

_MOST_EVENTS = 100
_ENOUGH_PROOFS = 32
_NO_LIMIT = 1 << 62

_OfTrial: TypeAlias = ev.ReserveTrial | ev.CompleteTrial | ev.ReleaseTrial | ev.SetStatus


class Mend(NamedTuple):
    """A transaction to be inserted."""

    number: int
    writer: str
    counter: int
    events: Sequence[ev.Event]


@dataclass(slots=True)
class Mends:
    """What was inserted: experiments by number; trials by their experiment's number.

    Attributes
    ----------
    again, unknown : dict
        Trials that were registered again, with their parameters and without.
    attempts : dict
        Trials with an inserted reservation, or the end of one.
    raised : dict
        Experiments whose ``max_broken`` was raised (from, to) for trials that the damage broke.
    """

    experiments: list[int] = field(default_factory=list)
    again: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    unknown: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    attempts: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    raised: dict[int, tuple[int, int]] = field(default_factory=dict)


class Mender:
    """Replays a damaged journal and returns the transactions to be inserted.

    Parameters
    ----------
    writer : str
        The writer's name for inserted transactions, used for nothing else.
    made : mapping
        Writer and counter of a transaction that creates an experiment -> the number that its writer
        uses next.
    samples : mapping
        Some registrations of each experiment, from anywhere in the journal: the algorithm is
        trusted if it suggests them again.
    derive : callable, optional
    """

    def __init__(
        self,
        writer: str,
        made: Mapping[tuple[str, int], int],
        samples: Mapping[int, Sequence[ev.RegisterTrial]],
        derive: Derive = lambda experiment, number: None,
    ) -> None:
        self.state = State()
        self.mends = Mends()
        self._writer = writer
        self._counter = 0
        self._made = made
        self._samples = samples
        self._derive = derive
        self._damaged = False
        self._missing = 0
        self._proofs: defaultdict[int, Counter[bool]] = defaultdict(Counter)
        self._refused: dict[tuple[int, int], ev.RegisterTrial] = {}

    def lose(self, count: int) -> None:
        """Record that so many bytes are lost here."""
        self._damaged = True
        self._missing += -(-count // _LEAST_BYTES)

    def take(
        self, number: int, writer: str, counter: int, events: Sequence[ev.Event]
    ) -> list[Mend]:
        """Replay a transaction; return what must be inserted before it."""
        mends: list[Mend] = []
        if counter > self.state.seen(number, writer):
            if number == CATALOGUE:
                mends += self._before_creation(self._made.get((writer, counter)), events)
            else:
                mends += self._experiments(number, _time(events))
                experiment = self.state.experiments.get(number)
                if experiment is not None:
                    for event in events:
                        self._prove(experiment, event)
                    if self._missing > 0:
                        mends += self._before(experiment, events)
        accepted = self.state.apply(number, writer, counter, events)
        for event, good in zip(events, accepted, strict=True):
            # An event that was accepted thanks to a lost one, such as a limit, may be needed again.
            self._missing += 2 * (self._damaged and not good)
            if isinstance(event, ev.RegisterTrial) and not good:
                self._refused[number, event.number] = event
        return mends

    def finish(self) -> list[Mend]:
        """Return what must be inserted at the end: trials that can't be run become broken."""
        mends: list[Mend] = []
        for experiment in list(self.state.experiments.values()):
            lost = [
                trial
                for number in self.mends.unknown.get(experiment.number, ())
                if (trial := experiment.trials[number]).status not in (COMPLETED, BROKEN)
            ]
            if not lost:
                continue
            before = experiment.max_broken
            events = [event for trial in lost for event in _break(trial)]
            mends += self._put(experiment.number, _lifted(experiment, events))
            if before < _NO_LIMIT:
                self.mends.raised[experiment.number] = before, before + len(lost)
                time = experiment.create_time
                limits = ev.ChangeLimits(experiment.max_trials, before + len(lost), time)
                mends += self._put(experiment.number, [limits])
        return mends

    # -- experiments -----------------------------------------------------------------------------

    @property
    def _count(self) -> int:
        return len(self.state.experiments) + len(self.state.experiments.removed)

    def _before_creation(self, spoken_of: int | None, events: Sequence[ev.Event]) -> list[Mend]:
        made = next((one for one in events if isinstance(one, ev.CreateExperiment)), None)
        if made is None or spoken_of is None:
            return []
        mends = self._experiments(spoken_of - 1, made.time)
        there = self.state.find(made.name, made.version)
        if there is not None and spoken_of == self._count + 1 and self._spend(1):
            mends += self._put(CATALOGUE, [ev.RemoveExperiment(there.number, made.time)])
        return mends

    def _experiments(self, number: int, time: float) -> list[Mend]:
        """Create the missing experiments up to ``number``."""
        lacking = range(self._count + 1, number + 1)
        if not lacking or not self._spend(len(lacking)):
            return []
        events = []
        for one in lacking:
            name, version = f"lost-{one}", 1
            while self.state.find(name, version) is not None:
                version += 1
            events.append(ev.CreateExperiment(name, version, dict(_NOTHING_TO_RUN), time))
            self.mends.experiments.append(one)
        return self._put(CATALOGUE, events)

    # -- trials ----------------------------------------------------------------------------------

    def _prove(self, experiment: ExperimentState, event: ev.Event) -> None:
        """Record whether the algorithm suggests what was registered."""
        if not isinstance(event, ev.RegisterTrial) or event.id is not None:
            return
        proofs = self._proofs[experiment.number]
        if proofs.total() < _ENOUGH_PROOFS and event.number >= len(experiment.trials):
            params = self._derive(experiment, event.number)
            same = params is not None and params_key(params) == params_key(event.params)
            proofs[same] += 1

    def _is_proved(self, experiment: ExperimentState) -> bool:
        """Return whether the algorithm's suggestions can be trusted."""
        proofs = self._proofs[experiment.number]
        if not proofs:
            for event in self._samples.get(experiment.number, ()):
                self._prove(experiment, event)
        # An algorithm that avoids known points may differ while some of them are lost.
        return proofs[True] > proofs[False]

    def _before(self, experiment: ExperimentState, events: Sequence[ev.Event]) -> list[Mend]:
        own: set[int] = set()
        mends: list[Mend] = []
        for event in events:
            if isinstance(event, ev.RegisterTrial | ev.ExhaustSpace):
                mends += self._register_up_to(experiment, event.number - len(own), event.time)
                own.add(event.number)
            elif isinstance(event, _OfTrial) and event.number not in own:
                own_before = event.number + 1
                mends += self._register_up_to(experiment, own_before, event.time)
                if event.number < len(experiment.trials):
                    trial = experiment.trials[event.number]
                    mends += self._attempts(experiment, trial, event)
        return mends

    def _register_up_to(
        self, experiment: ExperimentState, number: int, time: float | None
    ) -> list[Mend]:
        """Register the missing trials below ``number``."""
        lacking = range(len(experiment.trials), number)
        if not lacking or not self._spend(len(lacking)):
            return []
        mends = []
        for one in lacking:
            event, known = self._registration(experiment, one, time)
            mends += self._put(experiment.number, _lifted(experiment, [event]))
            if len(experiment.trials) != one + 1:
                break  # after the space was exhausted there are no more
            registered = self.mends.again if known else self.mends.unknown
            registered[experiment.number].append(one)
        return mends

    def _registration(
        self, experiment: ExperimentState, number: int, time: float | None
    ) -> tuple[ev.RegisterTrial, bool]:
        time = experiment.create_time if time is None else time
        refused = self._refused.get((experiment.number, number))
        if refused is not None:
            return refused._replace(worker=None), True
        imported = experiment.configuration.get(IMPORTED, {"trials": 0})
        if number >= imported["trials"] and self._is_proved(experiment):
            params = self._derive(experiment, number)
            if params is not None and not experiment.has(params):
                return ev.RegisterTrial(number, params, time), True
        return ev.RegisterTrial(number, {}, time, f"lost-{number}"), False

    def _attempts(
        self, experiment: ExperimentState, trial: TrialRecord, event: _OfTrial
    ) -> list[Mend]:
        """Insert the attempts that must have been before ``event``."""
        if isinstance(event, ev.ReserveTrial | ev.SetStatus):
            attempt = event.attempt - isinstance(event, ev.ReserveTrial)
            if attempt < trial.attempt or (attempt == trial.attempt and trial.status != RESERVED):
                return []
        else:
            attempt = event.attempt
            if attempt <= trial.attempt:
                return []
        if not self._spend(max(1, attempt - trial.attempt)):
            return []
        time = event.time if event.time is not None else experiment.create_time
        ended = isinstance(event, ev.ReserveTrial | ev.SetStatus)
        steps = list(_steps(trial, attempt, ended, time))
        self.mends.attempts[experiment.number].append(trial.number)
        return self._put(experiment.number, _lifted(experiment, steps))

    # -- insertion -------------------------------------------------------------------------------

    def _spend(self, count: int) -> bool:
        """Return whether the lost bytes explain so many more events; if so, count them as found."""
        if count > self._missing:
            return False
        self._missing -= count
        return True

    def _put(self, number: int, events: Sequence[ev.Event]) -> list[Mend]:
        mends = []
        for start in range(0, len(events), _MOST_EVENTS):
            mend = Mend(number, self._writer, self._counter, events[start : start + _MOST_EVENTS])
            self._counter += 1
            self.state.apply(*mend)
            mends.append(mend)
        return mends


_NOTHING_TO_RUN = {
    "max_trials": None,
    "max_broken": _NO_LIMIT,
    "max_attempts": 3,
    "working_dir": None,
    "space": {},
    "algorithm": {"random": {"seed": 0}},
    "function": None,
    "command": None,
    IMPORTED: {"trials": 0},
}
"""The configuration of an experiment whose own is lost."""


def _steps(trial: TrialRecord, attempt: int, ended: bool, time: float) -> Iterator[ev.Event]:
    """Yield the events up to the trial's ``attempt``, and to its end if it ``ended``."""
    number = trial.number

    def release(last: int) -> ev.Event:
        return ev.ReleaseTrial(number, last, INTERRUPTED, KILLED, LOST, time)

    if trial.status == RESERVED:
        yield release(trial.attempt)
    elif trial.status in (COMPLETED, BROKEN):
        yield ev.SetStatus(number, trial.attempt, INTERRUPTED, time)
    for one in range(trial.attempt + 1, attempt + 1):
        yield ev.ReserveTrial(number, one, UNKNOWN, time)
        if ended or one < attempt:
            yield release(one)


def _break(trial: TrialRecord) -> Iterator[ev.Event]:
    time, attempt = trial.submit_time, trial.attempt
    if trial.status != RESERVED:
        attempt += 1
        yield ev.ReserveTrial(trial.number, attempt, UNKNOWN, time)
    yield ev.ReleaseTrial(trial.number, attempt, BROKEN, CANCELLED, LOST, time)


def _lifted(experiment: ExperimentState, events: Sequence[ev.Event]) -> list[ev.Event]:
    """Return ``events`` with others around them that lift the limits and set them again."""
    time = experiment.create_time
    opened: list[ev.Event] = [ev.ChangeLimits(None, _NO_LIMIT, time)]
    closed: list[ev.Event] = [ev.ChangeLimits(experiment.max_trials, experiment.max_broken, time)]
    if experiment.stopped is not None:
        opened.append(ev.ResumeExperiment(time))
        closed.append(ev.StopExperiment(experiment.stopped, time))
    return [*opened, *events, *closed]


def _time(events: Sequence[ev.Event]) -> float:
    """Return the first time in the events."""
    return next((one.time for one in events if one.time is not None), 0.0)
