"""Finds the experiment that a specification describes in its storage, or creates it.

There are two steps. :func:`draft` checks the specification against the storage without writing, so
that a batch system can accept or refuse the jobs first. :meth:`Draft.write` then writes it.
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
"""Returns the differences that make the wanted configuration another experiment than the recorded
one."""


@dataclass(frozen=True, slots=True)
class Built:
    """The experiment that was found or created, and sentences on what was done.

    Attributes
    ----------
    experiment : ExperimentState
    created : bool
        Whether it was created now.
    changes : list of str
        The limits that changed.
    kept : list of str
        Settings that differ from those of the creation but can't change.
    released : int
        Number of trials taken from lost workers.
    learned : list of str
        What was copied now from another experiment.
    advice : list of str
        The algorithm's advice on a new experiment.
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
    """An experiment that was checked against its storage but not yet written.

    Attributes
    ----------
    spec : ExperimentSpec
    found : ExperimentState or None
        The experiment in the storage, if it exists.
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
        """Close the storage without writing."""
        if self._storage is not None:
            self._storage.close()

    def write(self, now: float) -> tuple[Storage, Built]:
        """Write the experiment, or its new limits; return the open storage and what was done.

        Parameters
        ----------
        now : float
            Seconds since the epoch.

        Raises
        ------
        ExperimentConflict
            Another process has just created an experiment of this name and version with other
            settings. Nothing was written.
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
        # The seed is drawn once and recorded, so that every worker draws the same points.
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
        """Return the event that creates the experiment or adds its function or command, if any."""
        spec = self.spec
        found = state.find(spec.name, spec.version)
        if found is None:
            return [ev.CreateExperiment(spec.name, spec.version or 1, recorded, now)]
        if self.found is None:
            # Another process created it in between. With the same settings it is the same one.
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
    """Look up the experiment in its storage and check it; write nothing.

    Parameters
    ----------
    spec : ExperimentSpec
    place : Place
        The location of the experiment.
    compare : callable, default :func:`~orion_hpc.config.experiment_identity.differences`
        Returns the differences that make another experiment.
    storage : Storage, optional
        The storage of ``place``, if it is already open.
    as_it_is : bool, default False
        Whether an existing experiment keeps its limits and ignores ``warm_start``.

    Raises
    ------
    ExperimentConflict
        An experiment of this name and version has other settings, or was imported only in part.
    ConfigurationError
        The algorithm can't search the space, or ``warm_start`` names no experiment that can be
        learned from.
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
        # This constructs the algorithm: if it can't search the space, nothing is written.
        advised = _advice(spec, source) if found is None else []
    except BaseException:
        if storage is not None:
            storage.close()
        raise
    return Draft(spec, found, place, storage, compare, as_it_is, source, advised)


def _gets_run(found: ExperimentState, recorded: Mapping[str, Any]) -> bool:
    """Return whether ``recorded`` adds the function or command that the experiment lacks.

    It lacks one if it was imported or a Python program created it.
    """
    return found.is_bare and not lacks_run(recorded)


def _advice(spec: ExperimentSpec, source: Source | None) -> list[str]:
    learns_from = None if source is None else source.title
    found = advice(spec.algorithm, spec.space, spec.max_trials, learns_from)
    return [*spec.algorithm_notes, *found]


def _kept(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that can't change after the experiment's creation."""
    return [
        f"{key} stays {recorded[key]!r}, as set when the experiment was created"
        for key in ("max_attempts", "working_dir")
        if recorded[key] != wanted[key]
    ]


def _check(
    experiment: ExperimentState, state: State, spec: ExperimentSpec, compare: Comparison
) -> None:
    """Raise ExperimentConflict unless this is the experiment of ``spec``, completely imported."""
    if experiment.to_import:
        raise ExperimentConflict(
            f"experiment {experiment.name!r} version {experiment.version} was imported only in "
            f"part: {experiment.to_import} trials are missing",
            "Run the same 'orion-hpc db import' again; it continues from there.",
        )
    found = compare(experiment.configuration, spec.configuration())
    if found:
        highest = state.find(experiment.name)
        assert highest is not None
        raise ExperimentConflict(
            f"experiment {experiment.name!r} version {experiment.version} exists with other "
            "settings:\n" + "\n".join(f"  {line}" for line in found),
            f"Choose another name with --name, or the next version with "
            f"--version {highest.version + 1}.",
        )
