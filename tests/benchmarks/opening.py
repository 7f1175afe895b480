"""Row ``opening``: how long it takes to open a database of many trials, and how much memory."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

from tests.benchmarks import apart, optuna_peer
from tests.benchmarks.report import Line, Target
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.throughput import MISSING, OPTUNA, fresh


def opening(folder: str, sizes: Sizes) -> list[Line]:
    """A fresh process each time; Optuna opens its own journal."""
    with fresh(folder) as new:
        ours, theirs = os.path.join(new, "db.pkl"), os.path.join(new, "optuna.journal")
        apart.call("opening:fill", path=ours, trials=sizes.opened)
        if optuna_peer.available():
            apart.call("opening:fill_optuna", path=theirs, trials=sizes.opened_by_optuna)
        pairs = [
            {
                "ours": apart.call("opening:open_ours", path=ours, trials=sizes.opened),
                "peer": apart.call(
                    "opening:open_optuna", path=theirs, trials=sizes.opened_by_optuna
                )
                if optuna_peer.available()
                else None,
            }
            for _ in range(sizes.rounds)
        ]
    peer_name = MISSING
    if optuna_peer.available():
        peer_name = OPTUNA
        if sizes.opened_by_optuna != sizes.opened:
            peer_name += f" of {sizes.opened_by_optuna:,}"
    what = f"opening a database of {sizes.opened:,} trials"
    return [
        _line(what, pairs, "seconds", "s", Target("ours", 1, False, "s"), peer_name),
        _line(f"{what}, memory", pairs, "peak_mb", "MB", Target("ours", 150, False, "MB"),
              peer_name),
    ]  # fmt: skip


def _line(
    what: str, pairs: Sequence[dict[str, Any]], key: str, unit: str, target: Target, name: str
) -> Line:
    peers = [pair["peer"][key] for pair in pairs if pair["peer"]]
    same = [
        pair["ours"][key] / pair["peer"][key]
        for pair in pairs
        if pair["peer"] and pair["peer"]["trials"] == pair["ours"]["trials"]
    ]
    return Line(
        row="opening",
        what=what,
        ours=statistics.median(pair["ours"][key] for pair in pairs),
        unit=unit,
        target=target,
        peer=statistics.median(peers) if peers else None,
        peer_name=name,
        ratio=statistics.median(same) if same else None,
        note=f"{pairs[0]['ours']['bytes'] / 1e6:.1f} MB on disk; "
        f"{pairs[-1]['ours']['before_mb']:.0f} MB before it is opened"
        if unit == "MB"
        else "",
        runs=list(pairs),
    )


def fill(path: str, trials: int) -> None:
    """Make our database."""
    from tests.benchmarks import experiment

    experiment.fill(path, trials)


def fill_optuna(path: str, trials: int) -> None:
    """Make Optuna's journal."""
    optuna_peer.fill(path, trials)


def open_ours(path: str, trials: int) -> dict[str, Any]:
    """Open our database as a worker does; the imports aren't counted."""
    import orion_hpc.worker.job  # noqa: F401
    from orion_hpc.journal.pickleddb import PickledDB
    from orion_hpc.model.trial_record import COMPLETED

    before = peak_mb()
    start = time.perf_counter()
    state = PickledDB(path).refresh()
    seconds = time.perf_counter() - start
    found = state.experiments[1].count(COMPLETED)
    return _measures(path, seconds, before, found, trials)


def open_optuna(path: str, trials: int) -> dict[str, Any]:
    """Open Optuna's journal; the imports aren't counted."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    before = peak_mb()
    start = time.perf_counter()
    storage = JournalStorage(JournalFileBackend(path))
    seconds = time.perf_counter() - start
    (study,) = storage.get_all_studies()
    state = (optuna.trial.TrialState.COMPLETE,)
    found = len(storage.get_all_trials(study._study_id, deepcopy=False, states=state))
    return _measures(path, seconds, before, found, trials)


def _measures(path: str, seconds: float, before: float, found: int, trials: int) -> dict[str, Any]:
    if found != trials:
        raise RuntimeError(f"{path} was to hold {trials} completed trials and holds {found}")
    size = os.path.getsize(path)
    return {"trials": trials, "seconds": seconds, "peak_mb": peak_mb(), "before_mb": before,
            "bytes": size}  # fmt: skip


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB of a million bytes.

    Not ``ru_maxrss``: a process inherits that of the one that started it.
    """
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6
