"""Makes databases as workers leave them, without running any, and damages them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orion_hpc.algorithms.base import draw_generator
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.journal import framing
from orion_hpc.journal.heartbeat import Heartbeat
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, ExperimentState
from orion_hpc.model.trial_record import RESERVED
from orion_hpc.sharedfs import layout
from orion_hpc.worker import plan

SEED = 3


def configuration(**changes: Any) -> dict[str, Any]:
    """Return what a database keeps of an experiment."""
    return {
        "space": {"x": "uniform(0, 1)", "kind": "choices(['a', 'b'])"},
        "algorithm": {"random": {"seed": SEED}},
        "function": "quick:main",
        "command": None,
        "kwargs": {},
        "trial_arg": None,
        "path": "/nowhere",
        "max_trials": 8,
        "max_broken": 3,
        "max_attempts": 3,
        "working_dir": None,
        "worker": {"n_workers": 1, "executor": "single", "heartbeat": 60.0, "idle_timeout": 60.0},
        **changes,
    }


def create(
    path: Path | str, name: str = "e", version: int = 1, lock: str | None = None, **changes: Any
) -> PickledDB:
    """Make an experiment in the database, which is made too if need be."""
    storage = PickledDB.create(str(path), lock=lock)
    event = ev.CreateExperiment(name, version, configuration(**changes), 1.0)
    number = max(storage.transact(CATALOGUE, lambda state: [event]).experiments)
    launched = ev.LaunchJobs("local", ("1",), "/logs", 2.0)
    storage.transact(number, lambda state: [launched])
    return storage


def result(number: int) -> list[dict[str, Any]]:
    """Return what trial ``number`` finds."""
    return [{"name": "objective", "type": "objective", "value": number + 0.5}]


def work(storage: PickledDB, turns: int, number: int = 1, worker: str = "w") -> ExperimentState:
    """Complete the trial that is held and reserve the next, so many times."""
    algorithm = None

    def turn(state: Any) -> list[ev.Event]:
        nonlocal algorithm
        experiment = state.experiments[number]
        if algorithm is None:
            options = experiment.configuration
            algorithm = make_algorithm(options["algorithm"], Space.parse(options["space"]))
        held = [trial for trial in experiment.having(RESERVED) if trial.worker == worker]
        ends: list[ev.Event] = [
            ev.CompleteTrial(trial.number, trial.attempt, result(trial.number), 5.0)
            for trial in held
        ]
        return [*ends, *plan.reservations(experiment, algorithm, SEED, worker, 1, 4.0)]

    for _ in range(turns):
        storage.transact(number, turn)
    return storage.state.experiments[number]


def frames(path: Path) -> list[framing.Frame]:
    """Return the frames of a sound file."""
    data = path.read_bytes()
    decoded = framing.decode_header(data)
    assert decoded is not None
    return list(framing.frames(data[decoded[1] :], decoded[1]))


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Turn one bit of the file over."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def give_sign(
    path: Path, title: str, worker: str, about: dict[str, Any] | None = None
) -> Heartbeat:
    """Leave a worker's sign of life beside a database, as of just now."""
    folder = layout.workers_folder(str(path), title)
    heartbeat = Heartbeat(folder, worker, 60.0, about or {"job": ""})
    heartbeat._write()
    return heartbeat


def algorithm_gives(number: int, **changes: Any) -> dict[str, Any] | None:
    """Return the parameters of trial ``number`` of a random search."""
    options = configuration(**changes)
    algorithm = make_algorithm(options["algorithm"], Space.parse(options["space"]))
    blank = ExperimentState(1, "e", 1, {}, 0.0, None, 1)
    return algorithm.suggest(blank, number, draw_generator(SEED, number))
