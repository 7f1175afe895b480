"""What a worker decides to write into the journal. Pure: state in, events out.

Runs inside the storage's transaction, so what it sees is the journal's end; whether its events won
is read from the state afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from orion_hpc.algorithms.base import (
    WAIT,
    Algorithm,
    Branch,
    Suggestion,
    Wanted,
    always_wanted,
    draw_generator,
)
from orion_hpc.model import event as ev
from orion_hpc.model import wire
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import (
    BROKEN,
    COMPLETED,
    INTERRUPTED,
    LOST_WORKER,
    NEW,
    PERHAPS_ITS_FAULT,
    RESERVED,
    SUSPENDED,
    USER_ERROR,
    WORKER_SUSPENDED,
    Results,
    TrialRecord,
)
from orion_hpc.worker.task import Outcome


class Proposal(NamedTuple):
    """What an algorithm suggested outside the lock, when ``number`` trials were registered."""

    number: int
    suggestion: Suggestion


class Loss(NamedTuple):
    """Workers that are gone, or that are suspended and have to hand on their trials.

    ``kept`` are results that they saved and couldn't record, by number and attempt; ``causes`` says
    why some of the workers are gone.
    """

    workers: Collection[str] = ()
    kept: Mapping[tuple[int, int], Results] = {}
    causes: Mapping[str, str] = {}


def waiting(state: ExperimentState) -> int:
    """Return how many registered trials wait to be reserved."""
    return state.count(INTERRUPTED) + state.count(SUSPENDED) + state.count(NEW)


def something_to_reserve(state: ExperimentState) -> bool:
    """Return whether a transaction may yield a trial."""
    return state.places >= 1 and not state.is_done and (waiting(state) > 0 or state.room >= 1)


def propose(
    state: ExperimentState, algorithm: Algorithm, seed: int, worker: str, slots: int
) -> Proposal | None:
    """Ask an algorithm that learns, outside the lock, if ``slots`` reservations take a new point.

    One that doesn't learn always has a point, and is asked under the lock only.
    """
    asked = algorithm.learns or not algorithm.cheap
    if not asked or state.is_done or waiting(state) >= slots or state.room < 1:
        return None
    number = len(state.trials)
    # Workers that propose at once from one state mustn't propose the same; one that is alone
    # proposes what follows from the seed.
    others = any(trial.worker != worker for trial in state.having(RESERVED))
    name = worker if others and not algorithm.cheap else ""
    return Proposal(number, algorithm.suggest(state, number, draw_generator(seed, number, name)))


def must_wait(state: ExperimentState, proposal: Proposal | None) -> bool:
    """Return whether there is nothing to reserve before a trial ends."""
    return proposal is not None and proposal.suggestion is WAIT and waiting(state) == 0


def reservations(
    state: ExperimentState,
    algorithm: Algorithm,
    seed: int,
    worker: str,
    slots: int,
    now: float,
    proposal: Proposal | None = None,
) -> list[ev.Event]:
    """Return events that reserve up to ``slots`` trials: interrupted, registered, then new ones.

    Of an algorithm that learns, one new trial at a time: it must know of one to suggest the next.
    """
    if state.is_done:
        return []
    slots = int(min(slots, state.places))
    events: list[ev.Event] = []
    registered = [
        trial for status in (INTERRUPTED, SUSPENDED, NEW) for trial in state.having(status)[:slots]
    ]
    for trial in registered[:slots]:
        events.append(ev.ReserveTrial(trial.number, trial.attempt + 1, worker, now))
    number = len(state.trials)
    for _ in range(int(min(slots - len(events), state.room))):
        found: Suggestion = WAIT
        if algorithm.cheap:
            found = algorithm.suggest(state, number, draw_generator(seed, number))
        elif proposal is not None and (proposal.suggestion or proposal.number == number):
            # A point that was computed for an earlier number is as good, if it is still new and
            # wanted.
            found, proposal = proposal.suggestion, None
            wanted: Wanted = getattr(algorithm, "wants", always_wanted)
            if found is not None and found is not WAIT and not wanted(state, found):
                break
        if found is None:
            events.append(ev.ExhaustSpace(number, now))
            break
        if found is WAIT:
            break
        params, parent = found if isinstance(found, Branch) else (found, None)
        if not algorithm.cheap and state.has(params):
            break
        events.append(ev.RegisterTrial(number, params, now, worker=worker, parent=parent))
        number += 1
        if algorithm.learns:
            break
    return events


def held(state: ExperimentState, worker: str, running: Collection[int]) -> list[TrialRecord]:
    """Return the trials that ``worker`` holds and doesn't run yet.

    Not just those that it reserved last: an append that was reported as failed may be in the
    journal all the same.
    """
    return [
        trial
        for trial in state.having(RESERVED)
        if trial.worker == worker and trial.number not in running
    ]


def may_end(state: ExperimentState, trial: TrialRecord, attempt: int, worker: str) -> bool:
    """Return whether ``worker`` may end its attempt: it is the latest, and its own.

    Another one's attempt has the same number where a late write of another host destroyed what gave
    this worker the trial. A result of other parameters must not be recorded.
    """
    if trial.number >= len(state.trials):
        return False
    now = state.trials[trial.number]
    return (now.params, now.attempt, now.worker) == (trial.params, attempt, worker)


def losses(
    state: ExperimentState,
    loss: Loss,
    max_attempts: int,
    now: float,
) -> list[ev.Event]:
    """Return events that end the attempts of lost workers.

    Saved results are recorded. Any other trial is released; one that lost its worker
    ``max_attempts`` times is broken: it may be what kills them. A worker whose job was preempted,
    say, or is suspended, isn't counted.
    """
    events: list[ev.Event] = []
    for trial in state.having(RESERVED):
        if trial.worker is not None and trial.worker in loss.workers:
            results = loss.kept.get((trial.number, trial.attempt))
            if results is not None:
                events.append(ev.CompleteTrial(trial.number, trial.attempt, results, now))
                continue
            cause = loss.causes.get(trial.worker, LOST_WORKER)
            what = "suspended" if cause == WORKER_SUSPENDED else "gone"
            status, message = INTERRUPTED, f"worker {trial.worker} is {what}"
            if cause in PERHAPS_ITS_FAULT and trial.losses + 1 >= max_attempts:
                status = BROKEN
                message += f"; it was the trial's loss number {trial.losses + 1}"
            events.append(ev.ReleaseTrial(trial.number, trial.attempt, status, cause, message, now))
    return events


def writable(outcome: Outcome) -> Outcome:
    """Return the outcome if the journal takes it, else one that says that it doesn't."""
    try:
        wire.decode(wire.encode(ending(_ANY, 1, outcome, 0.0)))
    except ValueError as error:
        return Outcome(BROKEN, cause=USER_ERROR, message=f"its end can't be recorded: {error!a}")
    return outcome


_ANY = TrialRecord(0, {}, 0.0)


def ending(trial: TrialRecord, attempt: int, outcome: Outcome, now: float) -> ev.Event:
    """Return the event that records how an attempt ended."""
    if outcome.status == COMPLETED and outcome.results is not None:
        return ev.CompleteTrial(trial.number, attempt, outcome.results, now, outcome.usage)
    message = "\n".join(part for part in (outcome.message, outcome.detail) if part)
    return ev.ReleaseTrial(
        trial.number,
        attempt,
        outcome.status,
        outcome.cause or USER_ERROR,
        message,
        now,
        outcome.usage,
    )
