"""Reserves, records and gives back single trials, for a program that runs them itself."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from orion_hpc.algorithms.base import Algorithm, draw_generator
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.client.session import Session
from orion_hpc.errors import (
    AlreadyReleased,
    BrokenExperiment,
    CompletedExperiment,
    ConfigurationError,
    DuplicateKeyError,
    OrionHpcError,
    ReservationLost,
    ReservationRaceCondition,
    WaitingForTrials,
)
from orion_hpc.experiments.point_parser import point_of
from orion_hpc.model import event as ev
from orion_hpc.model.result import check_results
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import (
    BROKEN,
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    RELEASABLE,
    RESERVED,
    USER_ERROR,
    TrialRecord,
)
from orion_hpc.worker import plan
from orion_hpc.worker.failure import failure
from orion_hpc.worker.runtime import seed_of
from orion_hpc.worker.task import Outcome

log = logging.getLogger(__name__)

_TRIES = 10

Results = float | Sequence[Mapping[str, Any]]


class InvalidStatus(ConfigurationError, ValueError):
    """A trial can't be released to this status."""


class Reservations:
    """The trials of one session.

    Parameters
    ----------
    session : Session
    space : Space
    """

    def __init__(self, session: Session, space: Space) -> None:
        self._session = session
        self._space = space
        self._recovery = session.make_recovery()

    @cached_property
    def _algorithm(self) -> Algorithm:
        # An experiment that was imported may have one that isn't here; it can be read all the same.
        return make_algorithm(self._session.state.configuration["algorithm"], self._space)

    def release_left(self, workers: set[str]) -> None:
        """Release what runs of this client had no time to release, by their workers' names."""
        if not workers:
            return
        names = set(workers)
        loss = self._recovery.own(self._session.refresh(), names)

        def decide(state: ExperimentState) -> list[ev.Event]:
            now = time.time()
            ends = []
            for trial in state.having(RESERVED):
                if trial.worker in names:
                    kept = loss.kept.get((trial.number, trial.attempt))
                    status = INTERRUPTED if kept is None else COMPLETED
                    outcome = Outcome(status, kept, CANCELLED, "the run was cut short")
                    ends.append(plan.ending(trial, trial.attempt, outcome, now))
            return ends

        self._session.transact(decide)
        self._recovery.settle(loss)
        workers -= names

    def suggest(self) -> TrialRecord:
        """Reserve one; see :meth:`ExperimentClient.suggest`."""
        session, algorithm = self._session, self._algorithm
        for _ in range(_TRIES):
            with session.lock:
                session.live()
                state = session.refresh()
                seed = seed_of(state.configuration["algorithm"])
                state = self._release_lost(state)
                proposal = plan.propose(state, algorithm, seed, session.name, 1)
                if plan.must_wait(state, proposal):
                    raise _nothing(state)

                def decide(
                    seen: ExperimentState,
                    proposal: plan.Proposal | None = proposal,
                    seed: int = seed,
                ) -> Sequence[ev.Event]:
                    now = time.time()
                    return plan.reservations(seen, algorithm, seed, session.name, 1, now, proposal)

                if plan.something_to_reserve(state):
                    state = session.transact(decide)
                for trial in plan.held(state, session.name, session.held):
                    session.hold(trial, suggested=True)
                    return trial
            if not plan.something_to_reserve(state):
                raise _nothing(state)
        raise ReservationRaceCondition(
            f"other workers were faster to reserve a trial of {state.title}, {_TRIES} times",
            "Try again.",
        )

    def record_exhaustion(self) -> bool:
        """Return whether the experiment is done; record it if the algorithm has no further point.

        Otherwise the journal says so only after the next reservation, which a program that asks
        before each one doesn't try.
        """
        session = self._session
        with session.lock:
            state = session.refresh()
            if not state.is_open or state.pending() or state.room < 1:
                return state.is_done
            try:
                algorithm = self._algorithm
            except ConfigurationError:  # of an imported experiment
                return state.is_done
            number, seed = len(state.trials), seed_of(state.configuration["algorithm"])
            if not self._may_end(state):
                return False
            if algorithm.suggest(state, number, draw_generator(seed, number)) is not None:
                return False
            return session.transact(lambda seen: [ev.ExhaustSpace(number, time.time())]).is_done

    def _may_end(self, state: ExperimentState) -> bool:
        """Return whether the algorithm may have no further point, without fitting its model."""
        algorithm = self._algorithm
        full = len(state.trials) >= self._space.cardinality
        return algorithm.cheap or full or self._space.fidelity is not None

    def observe(self, trial: TrialRecord, results: Results, name: str) -> TrialRecord:
        """Record results; see :meth:`ExperimentClient.observe`."""
        checked = check_results(results, name=name)
        return self._end(trial, ev.CompleteTrial(trial.number, trial.attempt, checked, time.time()))

    def release(
        self,
        trial: TrialRecord,
        status: str,
        cause: str = CANCELLED,
        message: str = "by the program",
    ) -> TrialRecord:
        """Give one back; see :meth:`ExperimentClient.release`."""
        if status not in RELEASABLE:
            raise InvalidStatus(
                f"a trial can't be released to the status {status!r:.100}",
                f"It can be to {', '.join(sorted(RELEASABLE))}.",
            )
        if status == BROKEN and cause == CANCELLED:
            cause = USER_ERROR
        return self._end(
            trial,
            ev.ReleaseTrial(trial.number, trial.attempt, status, cause, message, time.time()),
        )

    def leave(self, trial: TrialRecord, error: BaseException | None) -> TrialRecord:
        """Give one back that a ``with`` block leaves."""
        if error is None:
            return self.release(trial, INTERRUPTED, message="left without results")
        if not isinstance(error, Exception):
            return self.release(trial, INTERRUPTED, message=f"by {type(error).__name__}")
        found = failure(error)
        message = "\n".join(part for part in (found.message, found.detail) if part)
        return self.release(trial, BROKEN, found.cause, message)

    def release_own(self) -> bool:
        """Release what was suggested to this thread, and return whether there was anything.

        For a run in this thread that would wait for it: while it runs, the thread can't observe
        it. Trials of other threads may be under way; one that was reserved by name was meant.
        """
        session, released = self._session, False
        with session.lock:
            for number in session.suggested_here():
                trial = session.refresh().trials[number]
                with contextlib.suppress(ReservationLost):
                    self.release(trial, INTERRUPTED, message="workon of the same thread runs it")
                    log.warning(
                        "trial %d, reserved by suggest() and not observed, runs now", number
                    )
                    released = True
        return released

    def reserve(self, trial: TrialRecord) -> TrialRecord:
        """Reserve this one; see :meth:`ExperimentClient.reserve`."""
        session = self._session
        with session.lock:
            session.live()
            state = session.refresh()
            now = _same(state, trial)
            if session.holds(now):
                return now
            if now.status == RESERVED:
                raise ReservationLost(
                    f"trial {trial.number} is reserved by {now.worker}",
                    "Take another one, or wait until it is released.",
                )
            event = ev.ReserveTrial(trial.number, now.attempt + 1, session.name, time.time())
            taken = session.transact(lambda seen: [event]).trials[trial.number]
            if (taken.worker, taken.attempt, taken.status) != (
                session.name,
                event.attempt,
                RESERVED,
            ):
                raise _refused(taken, session.refresh())
            session.hold(taken)
            return taken

    def insert(
        self, params: Mapping[str, Any], results: Results | None, reserve: bool
    ) -> TrialRecord:
        """Add one; see :meth:`ExperimentClient.insert`."""
        point = point_of(self._space, params)
        checked = None if results is None else check_results(results)
        session = self._session
        with session.lock:
            if reserve:
                session.live()
            number = -1

            def decide(state: ExperimentState) -> Sequence[ev.Event]:
                nonlocal number
                if state.has(point):
                    raise DuplicateKeyError(
                        f"there is a trial with these hyperparameters in {state.title}: {point}",
                        "fetch_trials() gives it.",
                    )
                if not state.fits or (not state.is_open and (reserve or checked is not None)):
                    raise _no_room(state)
                number, now = len(state.trials), time.time()
                owner = session.name if reserve or checked is not None else None
                events: list[ev.Event] = [ev.RegisterTrial(number, point, now, worker=owner)]
                if checked is not None:
                    events.append(ev.CompleteTrial(number, 1, checked, now))
                return events

            state = session.transact(decide)
            trial = state.trials[number] if number < len(state.trials) else None
            if trial is None or trial.params != point:
                raise _no_room(state)
            if reserve:
                session.hold(trial)
            return trial

    def _release_lost(self, state: ExperimentState) -> ExperimentState:
        """Look for lost workers, from time to time, and take their trials."""
        session = self._session
        if not session.place.is_shared or not self._recovery.is_due(session.interval):
            return state
        loss = self._recovery.look(state, session.name)
        if not loss.workers:
            return state
        most = state.configuration["max_attempts"]
        state = session.transact(lambda seen: plan.losses(seen, loss, most, time.time()))
        self._recovery.settle(loss)
        return state

    def _end(self, trial: TrialRecord, event: ev.CompleteTrial | ev.ReleaseTrial) -> TrialRecord:
        session = self._session
        with session.lock:
            if session.held.get(trial.number) != trial.attempt:
                now = _same(session.refresh(), trial)
                if now.worker == session.name and now.attempt == trial.attempt:
                    raise AlreadyReleased(
                        f"trial {trial.number} was ended by this client before: it is {now.status}"
                    )
                raise _lost(trial, now)
            status = COMPLETED if isinstance(event, ev.CompleteTrial) else event.status
            owner = partial(plan.may_end, trial=trial, attempt=trial.attempt, worker=session.name)
            state = session.transact(lambda seen: [event] if owner(seen) else [])
            del session.held[trial.number]
            now = _same(state, trial)
            if not owner(state) or now.status != status:
                raise _lost(trial, now)
            return now


def _same(state: ExperimentState, trial: TrialRecord) -> TrialRecord:
    if trial.number < len(state.trials):
        found = state.trials[trial.number]
        if found.id == trial.id:
            return found
    raise ReservationLost(f"there is no such trial in {state.title}: {trial.params}")


def _nothing(state: ExperimentState) -> OrionHpcError:
    """Return the error that says why there is no trial to reserve."""
    if state.is_done:
        return CompletedExperiment(f"experiment {state.title} is done")
    if state.is_broken:
        return BrokenExperiment(
            f"experiment {state.title} is broken: {state.count(BROKEN)} trials are",
            "Build it with a higher max_broken to go on.",
        )
    if state.stopped is not None:
        return CompletedExperiment(
            f"experiment {state.title} was stopped: {state.stopped}",
            "'orion-hpc resume CONFIG' goes on with it.",
        )
    return WaitingForTrials(
        f"all trials of {state.title} that can be run now are reserved "
        f"({state.count(RESERVED)} of them)",
        "Try again when one of them has ended.",
    )


def _no_room(state: ExperimentState) -> OrionHpcError:
    if state.is_open or not state.fits:
        return CompletedExperiment(
            f"experiment {state.title} has no room for a further trial: max_trials is "
            f"{state.max_trials}",
            "Build it with a higher max_trials.",
        )
    return _nothing(state)


def _refused(now: TrialRecord, state: ExperimentState) -> OrionHpcError:
    if now.status == RESERVED:
        return ReservationLost(f"trial {now.number} was reserved by {now.worker} meanwhile")
    if not state.is_open or state.places < 1:
        return _nothing(state)
    return ReservationLost(f"trial {now.number} is {now.status} and can't be reserved")


def _lost(trial: TrialRecord, now: TrialRecord) -> ReservationLost:
    return ReservationLost(
        f"trial {trial.number} isn't reserved by this client: it is {now.status}, attempt "
        f"{now.attempt}" + (f", by {now.worker}" if now.worker else ""),
        "Nothing was recorded.",
    )
