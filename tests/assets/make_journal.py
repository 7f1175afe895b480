"""Writes a database of today's format: ``python -m tests.assets.make_journal FOLDER``.

It holds every kind of event and of frame. Beside it goes a JSON file with the state that it is
replayed to. A new format gets a pair of its own; those of before stay as they are.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from orion_hpc.journal import creation, framing
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE, State
from orion_hpc.model.trial_record import (
    BROKEN,
    INTERRUPTED,
    LOST_WORKER,
    NEW,
    USER_ERROR,
)

CONFIGURATION = {
    "space": {"x": "uniform(0, 1)", "epochs": "fidelity(1, 9, base=3)"},
    "algorithm": {"asha": {"seed": 3}},
    "function": "quick:main",
    "max_trials": 8,
    "max_broken": 3,
}
ONE, TWO = "n1:17:abc.1", "n2:18:abc.1"


def transactions() -> list[tuple[int, str, list[ev.Event]]]:
    """Return all transactions: experiment, writer, events."""
    results = [
        {"name": "loss", "type": "objective", "value": 1.5},
        {"name": "size", "type": "constraint", "value": -0.5},
        {"name": "seconds", "type": "statistic", "value": 2.0},
    ]
    point = {"x": 0.5, "epochs": 1}
    return [
        (CATALOGUE, "a", [ev.CreateExperiment("e", 1, CONFIGURATION, 1.0)]),
        (CATALOGUE, "a", [ev.CreateExperiment("e", 2, {**CONFIGURATION, "max_trials": None}, 2.0)]),
        (1, "a", [ev.LaunchJobs("slurm", ("7_0", "7_1"), "/logs", 3.0, "c0ffee", "d" * 64, "/s")]),
        (1, "b", [ev.LearnTrials("f-v1", 0, ((point, results),), 4.0, True)]),
        (1, "b", [ev.LearnTrials("f-v1", 1, (({"x": 0.125, "epochs": 9}, results),), 4.0)]),
        (1, "a", [ev.RegisterTrial(0, {"x": 0.25, "epochs": 1}, 5.0, worker=ONE)]),
        (1, "b", [ev.RegisterTrial(1, point, 5.5, id="f" * 32), ev.ReserveTrial(1, 1, TWO, 6.0)]),
        (1, "a", [ev.CompleteTrial(0, 1, results, 7.0, (1.25, 1 << 20))]),
        (1, "a", [ev.RegisterTrial(2, {"x": 0.25, "epochs": 3}, 7.0, worker=ONE, parent=0)]),
        (1, "b", [ev.ReleaseTrial(1, 1, BROKEN, USER_ERROR, "it raised", 8.0, (0.5, 2 << 20))]),
        (1, "b", [ev.ReleaseTrial(2, 1, INTERRUPTED, LOST_WORKER, "", 9.0)]),
        (1, "b", [ev.ReserveTrial(2, 2, TWO, 10.0), ev.ChangeLimits(9, 4, 10.0)]),
        (1, "a", [ev.StopExperiment("cancelled", 11.0), ev.ResumeExperiment(12.0)]),
        (1, "a", [ev.SetStatus(1, 1, NEW, 13.0), ev.LeaveWorker(ONE, 3.0, 14.0, 2, 1, 1 << 30,
                                                                3600.0, 1 << 28)]),
        (2, "b", [ev.RegisterTrial(0, point, 15.0), ev.ExhaustSpace(1, 16.0)]),
        (CATALOGUE, "a", [ev.CreateExperiment("gone", 1, CONFIGURATION, 17.0)]),
        (CATALOGUE, "a", [ev.RemoveExperiment(3, 18.0)]),
        (1, "b", [ev.CompleteTrial(2, 2, results, 19.0)]),
    ]  # fmt: skip


def make(path: Path) -> None:
    """Write the database; between two transactions one was cut short, another destroyed."""
    creation.create_with(str(path), {"lock": "lease", "id": "0" * 32, "write_ahead": True})
    writers: dict[str, PickledDB] = {}
    names = {"a": "a", "b": "b"}
    for count, (number, name, events) in enumerate(transactions()):
        if count == 6:  # cut short in the midst of a write
            with path.open("ab") as file:
                file.write(framing.encode_frame(1, b"torn")[:-3])
        if count == 10:  # a late write of another host: those who were at work have gone
            data = path.read_bytes()
            header = framing.decode_header(data)
            assert header is not None
            last = list(framing.frames(data[header.end :], header.end))[-1]
            path.write_bytes(data[: last.start] + bytes(last.end - last.start))
            names, writers = {"a": "c", "b": "d"}, {}
        if names[name] not in writers:
            writers[names[name]] = PickledDB(str(path))
            writers[names[name]]._writer.name = names[name]
        writers[names[name]].transact(number, lambda state, events=events: events)


def state_of(state: State) -> dict[str, Any]:
    """Return all that the journal told, as JSON has it."""
    return {
        "experiments": {number: _plain(one) for number, one in state.experiments.items()},
        "removed": state.experiments.removed,
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        names = [one.name for one in fields(value) if one.repr and not one.name.startswith("_")]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        ordered = {key: _plain(one) for key, one in value.items()}
        return (
            list(ordered) if ordered and all(one is None for one in ordered.values()) else ordered
        )
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value


def main(folder: str) -> None:
    """Write both files, named after the format."""
    path = Path(folder) / f"journal-{framing.VERSION}.pkl"
    make(path)
    state = PickledDB(str(path)).refresh()
    text = json.dumps(state_of(state), indent=1, sort_keys=True)
    path.with_suffix(".json").write_text(text + "\n")
    print(os.fspath(path))


if __name__ == "__main__":
    main(sys.argv[1])
