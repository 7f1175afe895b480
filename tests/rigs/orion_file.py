"""Makes database files as Oríon's PickledDB writes them, without Oríon."""

from __future__ import annotations

import contextlib
import datetime
import pickle
import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

MODULE = "orion.core.io.database.ephemeraldb"
TIME = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456)

ASSETS = Path(__file__).parent.parent / "assets"
GENUINE = ASSETS / "orion-0.2.7.pkl"
STATUSES = ASSETS / "orion-0.2.7-statuses.pkl"

EXPERIMENT = {
    "_id": 1,
    "name": "old",
    "version": 1,
    "space.x": "uniform(0, 1)",
    "algorithm.random.seed": 7,
    "max_trials": 10,
    "max_broken": 3,
    "metadata.user": "ada",
    "metadata.datetime": TIME,
}


@contextlib.contextmanager
def stand_ins() -> Iterator[types.ModuleType]:
    """Put a module in the place of Oríon's, so that pickle finds classes of these names there."""
    module = types.ModuleType(MODULE)
    for name in ("EphemeralDB", "EphemeralCollection", "EphemeralDocument"):
        setattr(module, name, type(name, (), {"__module__": MODULE}))
    levels = MODULE.split(".")
    packages = {
        ".".join(levels[:n]): types.ModuleType(levels[n - 1]) for n in range(1, len(levels))
    }
    with mock.patch.dict(sys.modules, {**packages, MODULE: module}):
        yield module


def trial(number: int, **changes: Any) -> dict[str, Any]:
    """Return a document of a completed trial of :data:`EXPERIMENT`."""
    later = datetime.timedelta(seconds=number)
    return {
        "_id": number + 1,
        "experiment": 1,
        "id": f"{number:032x}",
        "status": "completed",
        "params": [{"name": "x", "type": "real", "value": number / 100}],
        "results": [{"name": "loss", "type": "objective", "value": number / 10}],
        "submit_time": TIME + later,
        "start_time": TIME + later,
        "end_time": TIME + 2 * later,
        "worker": None,
        **changes,
    }


def make(
    experiments: list[Any] | None = None, trials: list[Any] | None = None, protocol: int = 4
) -> bytes:
    """Return a file with these documents; by default one experiment without trials."""
    with stand_ins() as module:

        def made(name: str, **state: Any) -> Any:
            record = getattr(module, name)()
            record.__dict__.update(state)
            return record

        def collection(documents: list[Any]) -> Any:
            made_ones = [made("EphemeralDocument", _data=data) for data in documents]
            indexes = {"_id_": (("_id",), {(1,), (2,)})}
            return made("EphemeralCollection", _documents=made_ones, _indexes=indexes)

        collections = defaultdict(module.EphemeralCollection)
        collections["experiments"] = collection(
            [EXPERIMENT] if experiments is None else experiments
        )
        collections["trials"] = collection(trials or [])
        return pickle.dumps(made("EphemeralDB", host=None, _db=collections), protocol)
