"""Finds the experiment that settings describe in a database, or makes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orion_hpc.algorithms.factory import advice
from orion_hpc.config.experiment_identity import differences, experiment_configuration
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ExperimentConflict
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.warm_start import Source, learn, to_learn
from orion_hpc.journal.base import Storage
from orion_hpc.model import event as ev
from orion_hpc.model.history import lacks_run
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, ExperimentState, State

Comparison: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]


@dataclass(frozen=True, slots=True)
class Built:
    """The experiment, whether it is new, and lines on what was changed and what wasn't.

    ``changes`` are the limits that were set anew, ``kept`` settings that differ now and yet stay as
    the experiment was created with, ``learned`` what was learned now from another experiment.
    ``released`` counts the trials taken from lost workers. ``advice`` is what there is to say of
    the algorithm in a new experiment.
    """

    experiment: ExperimentState
    created: bool
    changes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    released: int = 0
    learned: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def build(
    storage: Storage,
    settings: Settings,
    now: float,
    compare: Comparison = differences,
    place: Place | None = None,
) -> Built:
    """Return the experiment of ``settings``; one that isn't there is created.

    Parameters
    ----------
    storage : Storage
    settings : Settings
        Without a version: the highest there is, or 1.
    now : float
        Seconds since the epoch.
    compare : callable, default every difference that makes another experiment
        Says what is wrong with the wanted settings, given those that are recorded.
    place : Place, default the file of the settings
        Of which ``storage`` is.

    Raises
    ------
    ExperimentConflict
        There is one of this name and version with other settings; nothing was written.
    ConfigurationError
        There is nothing to learn from where ``warm_start`` says; nothing was written.
    """
    name = str(settings.name)
    # Drawn here and recorded, so that every worker draws the same points.
    recorded = experiment_configuration(settings, seed=int.from_bytes(os.urandom(4), "big"))
    before = check(storage.refresh(), settings, compare)
    source = to_learn(settings, before, place or Place(settings.storage))
    # Makes the algorithm: one that can't search this space leaves nothing written.
    told = _advice(recorded, source) if before is None else []

    def create(state: State) -> list[ev.Event]:
        found = state.find(name, settings.version)
        if found is None:
            return [ev.CreateExperiment(name, settings.version or 1, recorded, now)]
        # One that was imported, or made by a Python program, learns what it runs.
        learns = found.is_bare and not lacks_run(recorded)
        return [ev.CreateExperiment(name, found.version, recorded, now)] if learns else []

    # Somebody else may have been faster, with other settings: then theirs stands.
    lacking = before is None or (before.is_bare and not lacks_run(recorded))
    state = storage.transact(CATALOGUE, create) if lacking else storage.state
    experiment = check(state, settings, compare)
    assert experiment is not None
    created = before is None and experiment.create_time == now
    limits = ev.ChangeLimits(*wanted_limits(settings, experiment), now)
    changes = [
        f"{key}: {getattr(experiment, key)} -> {getattr(limits, key)}"
        for key in ("max_trials", "max_broken")
        if getattr(limits, key) != getattr(experiment, key)
    ]
    if changes:
        storage.transact(experiment.number, lambda state: [limits])
    return Built(
        experiment,
        created,
        changes,
        _kept(experiment.configuration, recorded),
        learned=learn(storage, experiment.number, source, now),
        advice=told if created else [],
    )


def _advice(recorded: Mapping[str, Any], source: Source | None) -> list[str]:
    return advice(
        recorded["algorithm"],
        Space.parse(recorded["space"]),
        recorded["max_trials"],
        None if source is None else source.title,
    )


def _kept(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that stays as it was when the experiment was created."""
    return [
        f"{key} stays {recorded[key]!r}, as the experiment was created with"
        for key in ("max_attempts", "working_dir")
        if recorded[key] != wanted[key]
    ]


def check(
    state: State, settings: Settings, compare: Comparison = differences
) -> ExperimentState | None:
    """Return the experiment of ``settings`` in ``state``, or None.

    Raises
    ------
    ExperimentConflict
        It has other settings, or its import isn't finished.
    """
    experiment = state.find(str(settings.name), settings.version)
    if experiment is None:
        return None
    if experiment.to_import:
        raise ExperimentConflict(
            f"experiment {experiment.name!r} version {experiment.version} was imported in part: "
            f"{experiment.to_import} trials are missing",
            "Run the same 'orion-hpc db import' again; it goes on from there.",
        )
    unlike = compare(experiment.configuration, experiment_configuration(settings))
    if unlike:
        highest = state.find(experiment.name)
        assert highest is not None
        raise ExperimentConflict(
            f"experiment {experiment.name!r} version {experiment.version} exists with other "
            "settings:\n" + "\n".join(f"  {line}" for line in unlike),
            f"Choose another name with --name, or the next version with "
            f"--version {highest.version + 1}.",
        )
    return experiment


def wanted_limits(settings: Settings, experiment: ExperimentState | None) -> tuple[int | None, int]:
    """Return ``max_trials`` and ``max_broken``: what isn't given stays as the experiment has it."""
    limits = settings.max_trials, settings.max_broken
    if experiment is None:
        return limits
    return (
        experiment.max_trials if settings.origin("max_trials") == "defaults" else limits[0],
        experiment.max_broken if settings.origin("max_broken") == "defaults" else limits[1],
    )
