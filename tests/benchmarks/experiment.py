"""The experiment that is measured: random search over four reals with a function that does nothing.

Makes its database, and databases that hold many trials of it already.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.journal.base import Storage
from orion_hpc.journal.database_file import DatabaseFile
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, ExperimentState, State
from orion_hpc.model.trial_record import COMPLETED, Results, TrialRecord
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.mounts import CACHED
from orion_hpc.worker import plan
from orion_hpc.worker.task import Outcome

NAME = "benchmark"
NUMBER = 1
SEED = 1
PRIORS = {f"x{index}": "uniform(-1, 1)" for index in range(4)}

MODULE = "noop_of_benchmark"
_FUNCTION = """\
CALLS = []


def main(**params):
    CALLS.append(tuple(params.values()))
    return 0.0
"""
"""The user's function. It notes its calls, so that every run can be checked."""

WORKERS = 8
"""By so many workers, in turn, were the trials of a filled database run."""


def write_function(folder: str) -> None:
    """Put the user's module there."""
    with open(os.path.join(folder, f"{MODULE}.py"), "w", encoding="utf-8") as file:
        file.write(_FUNCTION)


def create(path: str, function_folder: str, max_trials: int | None) -> None:
    """Make a database with the experiment in it."""
    configuration = {
        "space": dict(Space.parse(PRIORS).configuration),
        "algorithm": {"random": {"seed": SEED}},
        "function": f"{MODULE}:main",
        "command": None,
        "kwargs": {},
        "trial_arg": None,
        "path": function_folder,
        "max_trials": max_trials,
        "max_broken": 3,
        "max_attempts": 3,
        "working_dir": None,
        "worker": {"n_workers": 1, "executor": "single", "heartbeat": 60.0, "idle_timeout": 60.0},
    }
    storage = PickledDB.create(path)
    storage.transact(
        CATALOGUE, lambda state: [ev.CreateExperiment(NAME, 1, configuration, time.time())]
    )
    storage.close()
    # Jobs find most of their folders made; to make them isn't what is measured.
    layout.make_folder(layout.workers_folder(path, f"{NAME}-v1"))


class Stepper:
    """Makes a worker's transactions one by one: complete a trial, register and reserve the next."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._algorithm = make_algorithm({"random": {"seed": SEED}}, Space.parse(PRIORS))
        self._rng = random.Random(name)
        self._held: TrialRecord | None = None

    def step(self) -> None:
        """Make one transaction."""
        outcome = Outcome(COMPLETED, self._results())

        def decide(state: State) -> list[ev.Event]:
            now = time.time()
            seen: ExperimentState = state.experiments[NUMBER]
            held = self._held
            return [
                *([plan.ending(held, held.attempt, outcome, now)] if held else []),
                *plan.reservations(seen, self._algorithm, SEED, self._name, 1, now),
            ]

        state = self._storage.transact(NUMBER, decide).experiments[NUMBER]
        self._held = plan.held(state, self._name, ())[0]

    def _results(self) -> Results:
        return [{"name": "objective", "type": "objective", "value": self._rng.random()}]


class _Unsynced(DatabaseFile):
    """Doesn't wait for the disk: nothing is measured while a database is filled."""

    def sync(self) -> None:
        pass


def fill(path: str, trials: int, progress: Callable[[int], Any] = lambda done: None) -> None:
    """Make a database with ``trials`` completed trials, one transaction each, as workers leave it.

    A further trial for each of a few workers is still reserved.
    """
    create(path, os.path.dirname(path), None)
    storage = PickledDB(path, file=_Unsynced(path, CACHED))
    names = [f"host-{index}.cluster:1234{index}:c0ffee.123456{index}" for index in range(WORKERS)]
    steppers = [Stepper(storage, name) for name in names]
    for step in range(trials + WORKERS):
        steppers[step % WORKERS].step()
        progress(step)
    storage.close()


def points(state: State) -> list[tuple[Any, ...]]:
    """Return the points of the completed trials."""
    experiment = state.experiments[NUMBER]
    return [tuple(trial.params.values()) for trial in experiment.having(COMPLETED)]
