"""Removes an experiment: from the database by an event, and then its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from orion_hpc.errors import NoConfigurationError, StorageError
from orion_hpc.experiments.active_workers import refuse_if_alive
from orion_hpc.experiments.lookup import read_experiments, the_one
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE, ExperimentState, State
from orion_hpc.sharedfs import layout, removal

_KEPT = 50
"""Characters of a folder's name that are kept while it is removed: four bytes each fit."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed: ``folder`` is None if there was none; ``notes`` are for the user."""

    title: str
    trials: int
    folder: str | None
    notes: list[str]


def find_experiment(storage: str, name: str | None, version: int | None) -> ExperimentState:
    """Return the one experiment of this name and version; raise if there are several.

    Raises
    ------
    NoConfigurationError, StorageError
    """
    found = read_experiments(storage, name, version)
    if len(found) > 1:
        titles = ", ".join(one.title for one in found)
        missing = "--version" if name is not None and version is None else "--name and --version"
        raise NoConfigurationError(
            f"there are several experiments in {storage}: {titles}", f"Say which with {missing}."
        )
    return the_one(found, storage, name, version)


def remove(storage: str, experiment: ExperimentState) -> Removed:
    """Remove ``experiment``, as :func:`find_experiment` returned it, and its folder.

    Raises
    ------
    WorkersAlive
        A worker may be at work on it. Nothing was changed.
    StorageError
        The database can't be written.
    """
    database = PickledDB(storage, lambda one: one.number == experiment.number)
    mover = _Mover(database.path, experiment)

    def plan(state: State) -> Sequence[ev.Event]:
        # The lock is held, so no reservation is made meanwhile: a worker gives its first sign of
        # life before its first reservation, and one that starts later finds the experiment gone.
        refuse_if_alive(database.path, f"{experiment.title} can't be removed", experiment.title)
        if experiment.number not in state.experiments:
            return []
        mover.set_aside()
        return [ev.RemoveExperiment(experiment.number, time.time())]

    try:
        refuse_if_alive(database.path, f"{experiment.title} can't be removed", experiment.title)
        state = database.transact(CATALOGUE, plan)
    except BaseException:
        mover.put_back()
        raise
    finally:
        database.close()
    if experiment.number in state.experiments:
        mover.put_back()
        raise StorageError(f"{experiment.title} is still in {storage}", "Try again.")
    notes = mover.remove()
    if place := experiment.configuration.get("working_dir"):
        first = layout.trial_folders(database.path, experiment.title, place)(0)
        notes.append(f"The trials' own directories are left alone: {os.path.dirname(first)}")
    return Removed(experiment.title, len(experiment.trials), mover.removed, notes)


class _Mover:
    """Removes an experiment's folder in two steps: the rename frees its name at once, so that a new
    experiment of the same name gets a folder of its own."""

    def __init__(self, database: str, experiment: ExperimentState) -> None:
        folder = layout.experiment_folder(database, experiment.title)
        self._parent, self._name = os.path.split(folder)
        self._aside = f"{self._name[:_KEPT]}.removed-{os.urandom(4).hex()}"
        self._is_aside = False
        self.removed: str | None = None
        self._notes: list[str] = []

    @property
    def _path(self) -> str:
        return os.path.join(self._parent, self._name)

    def set_aside(self) -> None:
        try:
            self._is_aside = removal.set_aside(self._parent, self._name, self._aside)
        except OSError as error:
            self._notes.append(f"{self._path} is left alone: {error.strerror or error}.")

    def put_back(self) -> None:
        if self._is_aside:
            removal.set_aside(self._parent, self._aside, self._name)
            self._is_aside = False

    def remove(self) -> list[str]:
        """Remove the folder that was set aside; return notes for the user."""
        if self._is_aside:
            try:
                removal.remove_folder(self._parent, self._aside)
                self.removed = self._path
            except (OSError, RecursionError) as error:
                where = os.path.join(self._parent, self._aside)
                self._notes.append(f"Not all of {where} could be removed: {error}.")
        return self._notes
