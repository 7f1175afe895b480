"""Finds the experiment that a specification describes in its storage, or makes it.

In two steps: a :class:`Draft` is checked against the storage without writing, so that jobs may be
submitted, or refused, before anything is written; then it is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from orion_hpc.algorithms.factory import advice
from orion_hpc.config.experiment_identity import differences
from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.errors import ExperimentConflict
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.warm_start import Source, learn, to_learn
from orion_hpc.journal.base import Storage
from orion_hpc.model import event as ev
from orion_hpc.model.history import lacks_run
from orion_hpc.model.state import CATALOGUE, ExperimentState, State

Comparison: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]
"""Returns what makes the wanted configuration another experiment than the recorded one."""


@dataclass(frozen=True, slots=True)
class Built:
    """The experiment as it was found or made, and sentences on what was done.

    ``changes`` are the limits that were set anew, ``kept`` settings that differ now and yet stay as
    the experiment was created with, ``learned`` what was learned now from another experiment.
    ``released`` counts the trials taken from lost workers. ``advice`` is the algorithm's on a new
    experiment.
    """

    experiment: ExperimentState
    created: bool
    changes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    released: int = 0
    learned: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Draft:
    """An experiment that was checked against its storage, and isn't written yet.

    Attributes
    ----------
    spec : ExperimentSpec
    found : ExperimentState or None
        The experiment in the storage, if it is there.
    """

    spec: ExperimentSpec
    found: ExperimentState | None
    _place: Place
    _storage: Storage | None
    _compare: Comparison
    _as_it_is: bool
    _source: Source | None
    _advice: list[str]

    def close(self) -> None:
        """Close the storage, if nothing is to be written."""
        if self._storage is not None:
            self._storage.close()

    def write(self, now: float) -> tuple[Storage, Built]:
        """Write the experiment, or its new limits; return the storage, open, with what was done.

        Parameters
        ----------
        now : float
            Seconds since the epoch.

        Raises
        ------
        ExperimentConflict
            Another process has just created one of this name and version with other settings;
            nothing was written.
        StorageError
            The storage can't be written.
        """
        storage = self._storage or self._place.create(self.spec)
        try:
            if self.found is not None and self._as_it_is:
                return storage, Built(self.found, False)
            return storage, self._written(storage, now)
        except BaseException:
            storage.close()
            raise

    def _written(self, storage: Storage, now: float) -> Built:
        spec, before = self.spec, self.found
        # Drawn here and recorded, so that every worker draws the same points.
        recorded = spec.configuration(seed=int.from_bytes(os.urandom(4), "big"))
        if before is None or _gets_run(before, recorded):
            state = storage.transact(CATALOGUE, lambda state: self._creation(state, recorded, now))
            experiment = state.find(spec.name, spec.version)
        else:
            experiment = storage.refresh().find(spec.name, before.version)
        assert experiment is not None
        created = before is None and experiment.create_time == now
        limits = ev.ChangeLimits(*spec.limits(experiment), now)
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
            learned=learn(storage, experiment.number, self._source, now),
            advice=self._advice if created else [],
        )

    def _creation(self, state: State, recorded: dict[str, Any], now: float) -> list[ev.Event]:
        """Return the event that creates the experiment, or gives one what its trials run."""
        spec = self.spec
        found = state.find(spec.name, spec.version)
        if found is None:
            return [ev.CreateExperiment(spec.name, spec.version or 1, recorded, now)]
        if self.found is None:
            # Another process was faster; if it has the same settings, its experiment is ours.
            _check(found, state, spec, self._compare)
        if _gets_run(found, recorded):
            return [ev.CreateExperiment(spec.name, found.version, recorded, now)]
        return []


def draft(
    spec: ExperimentSpec,
    place: Place,
    compare: Comparison = differences,
    storage: Storage | None = None,
    as_it_is: bool = False,
) -> Draft:
    """Look for the experiment in its storage and check it; write nothing.

    Parameters
    ----------
    spec : ExperimentSpec
    place : Place
        Where the experiment is, or will be.
    compare : callable, default every difference that makes another experiment
    storage : Storage, optional
        That of ``place``, if it is open already.
    as_it_is : bool, default False
        Whether an experiment that is there keeps its limits, and learns from no other one.

    Raises
    ------
    ExperimentConflict
        There is one of this name and version with other settings, or in part.
    ConfigurationError
        The algorithm can't search the space, or there is nothing to learn from where
        ``warm_start`` says.
    StorageError
        The storage can't be read.
    """
    storage = storage or place.open_if_there(lambda one: one.name == spec.name)
    try:
        found = None
        if storage is not None:
            state = storage.refresh()
            found = state.find(spec.name, spec.version)
            if found is not None:
                _check(found, state, spec, compare)
        source = to_learn(spec, found, place) if found is None or not as_it_is else None
        # Makes the algorithm: one that can't search this space leaves nothing written.
        advised = _advice(spec, source) if found is None else []
    except BaseException:
        if storage is not None:
            storage.close()
        raise
    return Draft(spec, found, place, storage, compare, as_it_is, source, advised)


def get_or_create(
    spec: ExperimentSpec, place: Place, now: float, compare: Comparison = differences
) -> tuple[Storage, Built]:
    """Return the open storage, and the experiment that is found there or made.

    Raises
    ------
    ExperimentConflict, ConfigurationError, StorageError
        As :func:`draft` and :meth:`Draft.write` do; nothing was written.
    """
    return draft(spec, place, compare).write(now)


def _gets_run(found: ExperimentState, recorded: Mapping[str, Any]) -> bool:
    """Whether the experiment was imported, or made by a program, and now learns what trials run."""
    return found.is_bare and not lacks_run(recorded)


def _advice(spec: ExperimentSpec, source: Source | None) -> list[str]:
    learns_from = None if source is None else source.title
    return advice(spec.algorithm, spec.space, spec.max_trials, learns_from)


def _kept(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that stays as it was when the experiment was created."""
    return [
        f"{key} stays {recorded[key]!r}, as the experiment was created with"
        for key in ("max_attempts", "working_dir")
        if recorded[key] != wanted[key]
    ]


def _check(
    experiment: ExperimentState, state: State, spec: ExperimentSpec, compare: Comparison
) -> None:
    """Raise ExperimentConflict unless this is the experiment of ``spec``, and all of it."""
    if experiment.to_import:
        raise ExperimentConflict(
            f"experiment {experiment.name!r} version {experiment.version} was imported in part: "
            f"{experiment.to_import} trials are missing",
            "Run the same 'orion-hpc db import' again; it goes on from there.",
        )
    unlike = compare(experiment.configuration, spec.configuration())
    if unlike:
        highest = state.find(experiment.name)
        assert highest is not None
        raise ExperimentConflict(
            f"experiment {experiment.name!r} version {experiment.version} exists with other "
            "settings:\n" + "\n".join(f"  {line}" for line in unlike),
            f"Choose another name with --name, or the next version with "
            f"--version {highest.version + 1}.",
        )
