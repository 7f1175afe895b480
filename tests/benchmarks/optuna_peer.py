"""The peer: Optuna's journal in a file, with its default lock and random sampling.

Runs in an interpreter of its own (see :mod:`tests.benchmarks.apart`). Nothing else imports Optuna.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.benchmarks.processes import Body, race

DEFAULT_LOCK = "symlink"
"""Of the journal's two; the other one is ``open``."""

_STUDY = "benchmark"
_PATTERN = 16
"""Trials that Optuna itself writes into a filled journal; the others are copies with new numbers
and values."""


def available() -> bool:
    """Return whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


def version() -> str | None:
    """Return Optuna's version, without importing it."""
    from importlib import metadata

    return metadata.version("optuna") if available() else None


def _storage(path: str, lock: str) -> Any:
    import optuna
    from optuna.storages import JournalStorage, journal

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    locks = {"symlink": journal.JournalFileSymlinkLock, "open": journal.JournalFileOpenLock}
    return JournalStorage(journal.JournalFileBackend(path, locks[lock](path)))


def make(path: str, lock: str = DEFAULT_LOCK) -> None:
    """Make a journal with an empty study."""
    import optuna

    optuna.create_study(storage=_storage(path, lock), study_name=_STUDY)


def _open(path: str, seed: int | None = None, lock: str = DEFAULT_LOCK) -> Any:
    import optuna

    storage = _storage(path, lock)
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return optuna.load_study(storage=storage, study_name=_STUDY, sampler=sampler)


def run(folders: Sequence[str], trials: int, processes: int, optimize: bool = False) -> dict:
    """Complete ``trials`` with so many processes; return what it took.

    Parameters
    ----------
    folders : sequence of str
        One folder by the names it has on several mounts; the processes use them in turn.
    optimize : bool
        Whether to call ``study.optimize``, which is no faster than ``ask`` and ``tell``.
    """
    paths = [os.path.join(folder, "optuna.journal") for folder in folders]
    make(paths[0])

    def prepare(index: int) -> Body:
        share = trials // processes + (index < trials % processes)
        return worker(paths[index % len(paths)], index, share, optimize=optimize)

    result = race(processes, prepare)
    completed = sum(len(one["points"]) for one in result.results)
    seconds = max(one["end"] for one in result.results) - result.start
    return {
        "trials": completed,
        "seconds": seconds,
        "per_second": completed / seconds,
        "user_us": 1e6 * sum(share.user for share in result.shares) / trials,
        "system_us": 1e6 * sum(share.system for share in result.shares) / trials,
        "switches": sum(share.switches for share in result.shares) / trials,
        "problems": problems(result.results, paths[0]),
    }


def problems(results: Sequence[dict[str, Any]], path: str) -> list[str]:
    """Return what went wrong: errors, and trials that were lost or doubled."""
    completed = Counter(tuple(point) for one in results for point in one["points"])
    found = Counter(_completed(path))
    wrong = [one["error"] for one in results if one["error"]]
    if found != completed:
        wrong.append(f"{completed.total()} were told and {found.total()} are in the journal")
    if max(found.values(), default=1) > 1:
        wrong.append("a trial is doubled")
    return wrong


def worker(
    path: str, index: int, share: int, lock: str = DEFAULT_LOCK, optimize: bool = False
) -> Body:
    """Return the loop of process number `index`, for `share` trials, which is prepared here."""
    import optuna

    study = _open(path, index, lock)
    space = {f"x{one}": optuna.distributions.FloatDistribution(-1, 1) for one in range(4)}
    points: list[tuple[float, ...]] = []

    def objective(trial: Any) -> float:
        points.append(tuple(trial.suggest_float(name, -1, 1) for name in space))
        return 0.0

    def ask_and_tell() -> None:
        for _ in range(share):
            trial = study.ask(space)
            study.tell(trial, 0.0)
            points.append(tuple(trial.params.values()))

    def body() -> dict[str, Any]:
        error = ""
        try:
            if optimize:
                study.optimize(objective, n_trials=share)
            else:
                ask_and_tell()
        except Exception as caught:  # on a file system that lies it may well
            error = f"process {index}: {type(caught).__name__}: {caught}"
        return {"points": points, "end": time.monotonic(), "error": error}

    return body


def _completed(path: str) -> Iterator[tuple[float, ...]]:
    from optuna.trial import TrialState

    for trial in _open(path).get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        yield tuple(trial.params.values())


def fill(path: str, trials: int) -> None:
    """Make a journal with ``trials`` completed trials, as Optuna leaves it."""
    pattern = f"{path}.pattern"
    make(pattern)
    with open(pattern, encoding="utf-8") as file:
        head = len(file.readlines())
    worker(pattern, 0, _PATTERN)()
    with open(pattern, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    os.unlink(pattern)
    blocks = _by_trial(lines[head:])
    with open(path, "w", encoding="utf-8") as file:
        for line in lines[:head]:
            file.write(_line(line))
        for number in range(trials):
            for line in blocks[number % _PATTERN]:
                if "trial_id" in line:
                    line["trial_id"] = number
                if "param_value_internal" in line:
                    line["param_value_internal"] = ((number * 7919) % 200_003) / 100_001.5 - 1
                file.write(_line(line))


def _by_trial(lines: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the lines of each trial; its first one doesn't bear its number."""
    blocks: list[list[dict[str, Any]]] = []
    for line in lines:
        if "trial_id" not in line:
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"
