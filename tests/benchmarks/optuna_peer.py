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


def _open(path: str, seed: int | None = None, make: bool = False) -> Any:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(path))
    if make:
        return optuna.create_study(storage=storage, study_name=_STUDY)
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
    _open(paths[0], make=True)
    result = race(processes, lambda index: _worker(paths, index, trials, processes, optimize))
    completed = Counter(point for one in result.results for point in one["points"])
    seconds = max(one["end"] for one in result.results) - result.start
    found = Counter(_completed(paths[0]))
    problems = [one["error"] for one in result.results if one["error"]]
    if found != completed:
        problems.append(f"{completed.total()} were told and {found.total()} are in the journal")
    if max(found.values(), default=1) > 1:
        problems.append("a trial is doubled")
    return {
        "trials": completed.total(),
        "seconds": seconds,
        "per_second": completed.total() / seconds,
        "user_us": 1e6 * sum(share.user for share in result.shares) / trials,
        "system_us": 1e6 * sum(share.system for share in result.shares) / trials,
        "switches": sum(share.switches for share in result.shares) / trials,
        "problems": problems,
    }


def _worker(paths: Sequence[str], index: int, trials: int, processes: int, optimize: bool) -> Body:
    import optuna

    study = _open(paths[index % len(paths)], seed=index)
    space = {f"x{one}": optuna.distributions.FloatDistribution(-1, 1) for one in range(4)}
    share = trials // processes + (index < trials % processes)
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
    _open(pattern, make=True)
    with open(pattern, encoding="utf-8") as file:
        head = len(file.readlines())
    _worker([pattern], 0, _PATTERN, 1, False)()
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
