"""Adds points that a user wants to be tried, before those that the algorithm suggests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from orion_hpc.client.building import Built, build
from orion_hpc.client.submission import check_settings
from orion_hpc.config.settings import Settings
from orion_hpc.errors import CompletedExperiment
from orion_hpc.model import event as ev
from orion_hpc.model.state import State
from orion_hpc.model.trial import Params, params_key
from orion_hpc.storage.pickleddb import PickledDB


@dataclass(slots=True)
class Insertion:
    """What became of the points: the numbers of the new trials, and of those that were there."""

    built: Built
    numbers: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)


def insert(settings: Settings, points: Sequence[Params]) -> Insertion:
    """Register a trial at each point, all or none; the experiment is made if it isn't there.

    Parameters
    ----------
    settings : Settings
    points : sequence of dict
        Of the space, by flat name.

    Raises
    ------
    CompletedExperiment
        ``max_trials`` leaves no room for so many.
    ConfigurationError, ExperimentConflict, StorageError
        Nothing was written.
    """
    check_settings(settings)
    storage = PickledDB.create(
        settings.storage,
        lambda one: one.name == settings.name,
        settings.lock,
        settings.allow_group,
    )
    built = build(storage, settings, time.time())
    done = Insertion(built)

    def decide(database: State) -> list[ev.Event]:
        state, now = database.experiments[built.experiment.number], time.time()
        fresh = {params_key(point): point for point in points if not state.has(point)}
        most = state.max_trials
        if most is not None and len(fresh) > state.room:
            raise CompletedExperiment(
                f"experiment {state.title} has room for {int(state.room)} further trials, not for "
                f"{len(fresh)}: max_trials is {most}",
                "Raise it with --max-trials, or insert fewer; nothing was inserted.",
            )
        return [
            ev.RegisterTrial(number, point, now)
            for number, point in enumerate(fresh.values(), len(state.trials))
        ]

    before = len(storage.refresh().experiments[built.experiment.number].trials)
    state = storage.transact(built.experiment.number, decide)
    experiment = state.experiments[built.experiment.number]
    keys = {params_key(point) for point in points}
    for trial in experiment.trials:
        if params_key(trial.params) in keys:
            (done.numbers if trial.number >= before else done.known).append(trial.number)
    return done
