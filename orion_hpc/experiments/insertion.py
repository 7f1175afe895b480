"""Adds points that a user wants to be tried, before those that the algorithm suggests."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.errors import (
    BrokenExperiment,
    CompletedExperiment,
    ConfigurationError,
    OrionHpcError,
    ReservationRaceCondition,
)
from orion_hpc.experiments.batches import MOST, fits
from orion_hpc.experiments.get_or_create import Built, draft
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.summary import exhaustion
from orion_hpc.experiments.target_check import check_target
from orion_hpc.journal.base import Storage
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.model.trial_record import BROKEN, Params, params_key

_TRIES = 10


@dataclass(slots=True)
class Insertion:
    """What became of the points: the numbers of the new trials, and of those that were there."""

    built: Built
    numbers: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)


def insert(
    spec: ExperimentSpec, place: Place, points: Sequence[Params], limit: int | None = None
) -> Insertion:
    """Register a trial at each point, all or none; the experiment is made if it isn't there.

    The limits of one that is there stay as they are, but for ``limit``. One that was stopped stays
    so.

    Parameters
    ----------
    spec : ExperimentSpec
    place : Place
    points : sequence of dict
        Of the space, by flat name.
    limit : int, optional
        The new ``max_trials``.

    Raises
    ------
    BrokenExperiment, CompletedExperiment
        It takes no further trial, or ``max_trials`` leaves no room for so many. Nothing was
        inserted.
    ReservationRaceCondition
        Others were faster each time.
    ConfigurationError, ExperimentConflict, StorageError
        Nothing was written.
    """
    wanted = {params_key(point): point for point in points}
    if len(wanted) > MOST or not fits(_registrations(0, list(wanted.values()), 0.0)):
        raise ConfigurationError(
            f"{len(wanted):,} points are too many for one transaction",
            f"Insert at most {MOST:,} at once, fewer if they are long; nothing was inserted.",
        )
    check_target(spec)
    storage, built = draft(spec, place, as_it_is=True).write(time.time())
    try:
        return _insert(storage, built, wanted, limit)
    finally:
        storage.close()


def _insert(
    storage: Storage, built: Built, wanted: dict[str, Params], limit: int | None
) -> Insertion:
    number = built.experiment.number
    before = len(storage.refresh().experiments[number].trials)

    def decide(database: State) -> list[ev.Event]:
        state, now = database.experiments[number], time.time()
        fresh = [point for point in wanted.values() if not state.has(point)]
        most = state.max_trials if limit is None else limit
        events: list[ev.Event] = []
        if most != state.max_trials:
            events.append(ev.ChangeLimits(most, state.max_broken, now))
        if not fresh:
            return events
        if (refusal := _refusal(state, len(fresh), most)) is not None:
            raise refusal
        registrations = _registrations(len(state.trials), fresh, now)
        if state.stopped is None:
            return [*events, *registrations]
        # One transaction: nobody sees it open in between.
        stop = ev.StopExperiment(state.stopped, now)
        return [*events, ev.ResumeExperiment(now), *registrations, stop]

    for _ in range(_TRIES):
        old = built.experiment.max_trials
        state = storage.transact(number, decide).experiments[number]
        if limit is not None and state.max_trials != old:
            built.changes.append(f"max_trials: {old} -> {state.max_trials}")
        # A worker that read an older journal may have got the number first.
        if all(map(state.has, wanted.values())):
            break
    else:
        raise ReservationRaceCondition(
            f"other workers were faster to register trials of {state.title}, {_TRIES} times",
            "Insert the points again; those that are there aren't added twice.",
        )
    done = Insertion(built)
    for trial in state.trials:
        if params_key(trial.params) in wanted:
            (done.numbers if trial.number >= before else done.known).append(trial.number)
    return done


def _registrations(first: int, points: Sequence[Params], now: float) -> list[ev.Event]:
    return [ev.RegisterTrial(number, point, now) for number, point in enumerate(points, first)]


def _refusal(state: ExperimentState, count: int, most: int | None) -> OrionHpcError | None:
    """Return why so many further trials aren't taken where ``max_trials`` is ``most``, or None."""
    if state.exhausted:
        return CompletedExperiment(
            f"experiment {state.title} takes no further trial: {exhaustion(state)}",
            f"Insert into the next version, with --version {state.version + 1}; nothing was "
            "inserted.",
        )
    if state.is_broken:
        broken = state.count(BROKEN)
        return BrokenExperiment(
            f"experiment {state.title} is closed by {broken} broken trials (max_broken is "
            f"{state.max_broken})",
            f"Mend the cause, submit with --max-broken {broken + 3}, then insert; nothing was "
            "inserted.",
        )
    taken = len(state.trials) - state.count(BROKEN)
    room = math.inf if most is None else max(0, most - taken)
    if count <= room:
        return None
    return CompletedExperiment(
        f"experiment {state.title} has room for {room} further trials, not for {count}: "
        f"max_trials is {most}",
        "Raise it with --max-trials, or insert fewer; nothing was inserted.",
    )
