"""One client's share of a run on NFS, as `tests.benchmarks.nfs` starts it in a guest.

Its processes begin together with those of the other client: each tells that it is ready, and goes
when a file says so. What it prints is JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orion_hpc.journal.pickleddb import PickledDB
from tests.benchmarks import experiment, optuna_peer, ours
from tests.benchmarks.processes import Body, race
from tests.rigs.waiting import wait_until

JOURNALS = {"ours": "db.pkl", "symlink": "optuna.journal", "open": "optuna.journal"}
"""The file's name, by what works on it: ours, or Optuna's journal with one of its two locks."""


def make(kind: str, folder: str, trials: int) -> None:
    """Make the experiment or the study."""
    path = os.path.join(folder, JOURNALS[kind])
    if kind == "ours":
        experiment.write_function(folder)
        experiment.create(path, folder, trials)
    else:
        optuna_peer.make(path, kind)


def run(kind: str, folder: str, share: str, first: int, count: int, shares: list[int]) -> Any:
    """Have `count` processes work, the first of which is number `first` of all; return what each
    found and the seconds until the last was done. `shares` are the trials of each of Optuna's."""
    path = os.path.join(folder, JOURNALS[kind])

    def prepare(index: int) -> Body:
        number = first + index
        if kind == "ours":
            body = ours.worker(path, False, number)
        else:
            body = optuna_peer.worker(path, number, shares[number], lock=kind)

        def in_time() -> dict[str, Any]:
            (Path(share) / f"ready-{number}").touch()
            wait_until((Path(share) / "go").exists, 300, "the start")
            begin = time.monotonic()
            result = body()
            return {**result, "begin": begin}

        return in_time

    found = race(count, prepare)
    begin = min(one["begin"] for one in found.results)
    ends = [_end(one) for one in found.results]
    return {
        "results": found.results,
        "seconds": max(ends) - begin,
        "user": sum(share.user for share in found.shares),
        "system": sum(share.system for share in found.shares),
    }


def _end(result: dict[str, Any]) -> float:
    """When a process had recorded its last; then one of ours may sleep on before it sees that."""
    if "end" in result:
        return float(result["end"])
    return max(float(end) for _, end in result["times"])


def problems(kind: str, results: list[dict[str, Any]], journal: Path, trials: int) -> list[str]:
    """What was lost or doubled, by a copy of the server's file."""
    if kind == "ours":
        storage = PickledDB(str(journal))
        found = ours.problems(results, storage.refresh(), trials)
        storage.close()
        return found
    return optuna_peer.problems(results, str(journal))


FUNCTIONS: dict[str, Callable[..., Any]] = {"make": make, "run": run}

if __name__ == "__main__":
    print(json.dumps(FUNCTIONS[sys.argv[1]](**json.loads(sys.argv[2]))))
