"""Registers trials at points that the user gives; workers run them before suggested ones."""

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
    """The result of :func:`insert`.

    Attributes
    ----------
    built : Built
    numbers, known : list of int
        The numbers of the new trials, and of trials that existed at these points.
    """

    built: Built
    numbers: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)


def insert(
    spec: ExperimentSpec, place: Place, points: Sequence[Params], limit: int | None = None
) -> Insertion:
    """Register a trial at each point, all or none; create the experiment if it doesn't exist.

    An existing experiment keeps its limits except for ``limit``. A stopped one stays stopped.

    Parameters
    ----------
    spec : ExperimentSpec
    place : Place
    points : sequence of dict
        Points of the space, by flat name.
    limit : int, optional
        The new ``max_trials``.

    Raises
    ------
    BrokenExperiment, CompletedExperiment
        The experiment accepts no further trial, or not so many below ``max_trials``. Nothing was
        inserted.
    ReservationRaceCondition
        Other workers registered trials first on every try.
    ConfigurationError, ExperimentConflict, StorageError
        Nothing was written.
    """
    wanted = {params_key(point): point for point in points}
    if len(wanted) > MOST or not fits(_registrations(0, list(wanted.values()), 0.0)):
        raise ConfigurationError(
            f"{len(wanted):,} points are too many for one transaction",
            f"Insert at most {MOST:,} at once, fewer if they are long. Nothing was inserted.",
        )
    check_target(spec, same_path=False)  # which PATH jobs will have is known when they start
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
        # In one transaction, so that no worker sees the experiment open in between.
        stop = ev.StopExperiment(state.stopped, now)
        return [*events, ev.ResumeExperiment(now), *registrations, stop]

    for _ in range(_TRIES):
        old = built.experiment.max_trials
        state = storage.transact(number, decide).experiments[number]
        if limit is not None and state.max_trials != old:
            built.changes.append(f"max_trials: {old} -> {state.max_trials}")
        # A worker that read an older journal may have registered a trial of the same number first.
        if all(map(state.has, wanted.values())):
            break
    else:
        raise ReservationRaceCondition(
            f"other workers registered trials of {state.title} first, {_TRIES} times in a row",
            "Insert the points again; those that exist aren't added twice.",
        )
    done = Insertion(built)
    for trial in state.trials:
        if params_key(trial.params) in wanted:
            (done.numbers if trial.number >= before else done.known).append(trial.number)
    return done


def _registrations(first: int, points: Sequence[Params], now: float) -> list[ev.Event]:
    return [ev.RegisterTrial(number, point, now) for number, point in enumerate(points, first)]


def _refusal(state: ExperimentState, count: int, most: int | None) -> OrionHpcError | None:
    """Return the error if ``count`` further trials exceed a limit, else None.

    ``most`` is ``max_trials``.
    """
    if state.exhausted:
        return CompletedExperiment(
            f"experiment {state.title} accepts no further trial: {exhaustion(state)}",
            f"Insert into the next version, with --version {state.version + 1}. Nothing was "
            "inserted.",
        )
    if state.is_broken:
        broken = state.count(BROKEN)
        return BrokenExperiment(
            f"experiment {state.title} is closed by {broken} broken trials (max_broken is "
            f"{state.max_broken})",
            f"Fix the cause, submit with --max-broken {broken + 3}, then insert. Nothing was "
            "inserted.",
        )
    taken = len(state.trials) - state.count(BROKEN)
    room = math.inf if most is None else max(0, most - taken)
    if count <= room:
        return None
    return CompletedExperiment(
        f"experiment {state.title} has room for {room} further trials, not for {count}: "
        f"max_trials is {most}",
        "Raise it with --max-trials, or insert fewer. Nothing was inserted.",
    )
