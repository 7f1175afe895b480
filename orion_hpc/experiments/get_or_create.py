"""Finds the experiment that a specification describes in its storage, or creates it.

There are two steps. :func:`draft` checks the specification against the storage without writing, so
that a batch system can accept or refuse the jobs first. :meth:`Draft.write` then writes it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orion_hpc.algorithms.factory import advice
from orion_hpc.config.experiment_identity import differences, run_changes, search_differences
from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.errors import ExperimentConflict
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.warm_start import Source, learn, to_learn
from orion_hpc.journal.base import Storage
from orion_hpc.model import event as ev
from orion_hpc.model.history import REPLACES, SEARCHED, lacks_run, run_of
from orion_hpc.model.state import CATALOGUE, ExperimentState, State
from orion_hpc.model.trial_record import COMPLETED, RESERVED
from orion_hpc.text import counted
from orion_hpc.worker.placeholders import check_placeholders

_MOST_LISTED = 5
"""Parameters that a note lists."""


@dataclass(frozen=True, slots=True)
class Built:
    """The experiment that was found or created, and sentences on what was done.

    Attributes
    ----------
    experiment : ExperimentState
    created : bool
        Whether it was created now.
    changes : list of str
        What changed: the limits, and what the trials run.
    kept : list of str
        Settings that differ from those of the creation but can't change.
    released : int
        Number of trials taken from lost workers.
    learned : list of str
        What was copied now from another experiment.
    advice : list of str
        Advice on a new experiment, also the algorithm's; on a changed function or command.
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
        old = None if before is None else before.configuration
        # The seed is drawn once and recorded, so that every worker draws the same points.
        recorded = spec.configuration(seed=int.from_bytes(os.urandom(4), "big"))
        if before is None or _changes_run(before, recorded):
            state = storage.transact(CATALOGUE, lambda state: self._creation(state, recorded, now))
        else:
            state = storage.refresh()
        experiment = self._find(state)
        assert experiment is not None
        created = before is None and experiment.create_time == now
        limits = ev.ChangeLimits(*spec.limits(experiment), now)
        changes = [] if old is None else run_changes(old, experiment.configuration)
        advised = self._advice if created else []
        if changes:
            advised = _run_advice(experiment, state)
        changed = [
            f"{key}: {getattr(experiment, key)} -> {getattr(limits, key)}"
            for key in ("max_trials", "max_broken")
            if getattr(limits, key) != getattr(experiment, key)
        ]
        if changed:
            storage.transact(experiment.number, lambda state: [limits])
        return Built(
            experiment,
            created,
            [*changes, *changed],
            _kept(experiment.configuration, recorded),
            learned=learn(storage, experiment.number, self._source, now),
            advice=advised,
        )

    def _find(self, state: State) -> ExperimentState | None:
        """Return the experiment that was found before, or now the one that was wanted."""
        version = self.spec.version if self.found is None else self.found.version
        return state.find(self.spec.name, version)

    def _creation(self, state: State, recorded: dict[str, Any], now: float) -> list[ev.Event]:
        """Return the event that creates the experiment or changes what it runs, if any."""
        spec, found = self.spec, self._find(state)
        if found is None:
            version = spec.version or 1 if self.found is None else self.found.version
            return [ev.CreateExperiment(spec.name, version, recorded, now)]
        if self.found is None:
            # Another process created it in between. With the same settings it is the same one.
            _check(found, state, spec, raced=True)
        if _changes_run(found, recorded):
            old = found.configuration
            kept = {key: old[key] for key in SEARCHED if key in old}
            if not found.is_bare:
                kept[REPLACES] = run_of(old)
            return [ev.CreateExperiment(spec.name, found.version, {**recorded, **kept}, now)]
        return []


def draft(
    spec: ExperimentSpec,
    place: Place,
    storage: Storage | None = None,
    as_it_is: bool = False,
) -> Draft:
    """Look up the experiment in its storage and check it; write nothing.

    Parameters
    ----------
    spec : ExperimentSpec
    place : Place
        The location of the experiment.
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
                _check(found, state, spec)
        source = to_learn(spec, found, place) if found is None or not as_it_is else None
        # This constructs the algorithm: if it can't search the space, nothing is written.
        advised = _advice(spec, source) if found is None else []
    except BaseException:
        if storage is not None:
            storage.close()
        raise
    return Draft(spec, found, place, storage, as_it_is, source, advised)


def _changes_run(found: ExperimentState, recorded: Mapping[str, Any]) -> bool:
    """Return whether ``recorded`` changes the function or command, or adds the missing one.

    It is missing if the experiment was imported or a Python program created it.
    """
    adds = found.is_bare and not lacks_run(recorded)
    return adds or bool(run_changes(found.configuration, recorded))


def _run_advice(experiment: ExperimentState, state: State) -> list[str]:
    """Return a line on trials that ran, or run, what was recorded before the change."""
    lines = []
    if done := experiment.count(COMPLETED):
        lines.append(
            f"{counted(done, 'trial')} completed before this change. If their results can't be "
            f"compared with new ones, use --version {_next_version(experiment.name, state)}"
        )
    if experiment.count(RESERVED):
        lines.append("workers that run now aren't affected by this change")
    return lines


def _next_version(name: str, state: State) -> int:
    highest = state.find(name)
    return 1 if highest is None else highest.version + 1


def _advice(spec: ExperimentSpec, source: Source | None) -> list[str]:
    learns_from = None if source is None else source.title
    lines = [
        *spec.algorithm_notes,
        *advice(spec.algorithm, spec.space, spec.max_trials, learns_from),
    ]
    if spec.max_trials is None and math.isinf(spec.space.cardinality):
        lines.append(
            "max_trials isn't given: the search goes on until its algorithm has no further point, "
            "or until 'orion-hpc cancel CONFIG'"
        )
    if spec.command is not None and (unused := check_placeholders(spec.command, [*spec.space])):
        braces = ", ".join(f"{{{name}}}" for name in unused[:_MOST_LISTED])
        more = ", …" if len(unused) > _MOST_LISTED else ""
        lines.append(
            f"the command has no {braces}{more}: a script finds all parameters in ORION_HPC_PARAMS"
        )
    return lines


def _kept(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that can't change after the experiment's creation."""
    return [
        f"{key} stays {recorded[key]!r}, as set when the experiment was created"
        for key in ("max_attempts", "working_dir")
        if recorded[key] != wanted[key]
    ]


def _check(
    experiment: ExperimentState, state: State, spec: ExperimentSpec, raced: bool = False
) -> None:
    """Raise ExperimentConflict unless this is the experiment of ``spec``, completely imported.

    ``raced``: another process has just created it, so it must run the same, too.
    """
    name, version = experiment.name, experiment.version
    if experiment.to_import:
        raise ExperimentConflict(
            f"experiment {name!r} version {version} was imported only in part: "
            f"{experiment.to_import} trials are missing",
            "Run the same import again; it continues from there.",
        )
    wanted = spec.configuration()
    older = _same_version(experiment, state, wanted)
    # Without a version, the file of an older one mustn't change what the highest one runs.
    must_run_the_same = raced or (older is not None and spec.version is None)
    compare = differences if must_run_the_same else search_differences
    found = compare(experiment.configuration, wanted)
    if not found:
        return
    following = _next_version(name, state)
    hint = f"Choose another name with --name, or the next version with --version {following}."
    if older is not None:
        hint = (
            f"These are the settings of version {older}: continue it with --version {older}. For a "
            f"new experiment choose another --name, or --version {following}."
        )
    raise ExperimentConflict(
        f"experiment {name!r} version {version} exists with other settings:\n"
        + "\n".join(f"  {line}" for line in found),
        hint,
    )


def _same_version(
    experiment: ExperimentState, state: State, wanted: Mapping[str, Any]
) -> int | None:
    """Return the highest other version of the experiment with the wanted settings, if any."""
    return max(
        (
            one.version
            for one in state.experiments.values()
            if one.name == experiment.name
            and one.version != experiment.version
            and not differences(one.configuration, wanted)
        ),
        default=None,
    )
