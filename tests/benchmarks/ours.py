"""Ours: the worker loop as a job runs it, in processes that start together.

Runs in an interpreter of its own (see :mod:`tests.benchmarks.apart`), so that it holds what a
worker's process holds and nothing else.
"""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from orion_hpc.journal.base import Plan
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.state import State
from orion_hpc.worker.job import run_worker
from orion_hpc.worker.job_spec import JobSpec
from orion_hpc.worker.shutdown import StopNotice
from tests.benchmarks import experiment
from tests.benchmarks.processes import Body, Race, race

_LINES = 25
"""Of a profile."""


class Timed(PickledDB):
    """Notes when each transaction began and ended."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.times: list[tuple[float, float]] = []

    def transact(self, number: int, plan: Plan) -> State:
        begin = time.monotonic()
        state = super().transact(number, plan)
        self.times.append((begin, time.monotonic()))
        return state


def run(folders: Sequence[str], trials: int, processes: int, profile: bool = False) -> dict:
    """Complete ``trials`` with so many workers; return what it took.

    Parameters
    ----------
    folders : sequence of str
        One folder by the names it has on several mounts; the workers use them in turn.
    profile : bool
        Whether to profile one of the workers, which slows it down.
    """
    with tempfile.TemporaryDirectory() as functions:
        experiment.write_function(functions)
        paths = [os.path.join(folder, "db.pkl") for folder in folders]
        experiment.create(paths[0], functions, trials)
        result = race(processes, lambda index: worker(paths[index % len(paths)], profile, index))
        storage = PickledDB(paths[0])
        wrong = problems(result.results, storage.refresh(), trials)
        storage.close()
    return {**_measures(result, trials), "problems": wrong}


def worker(path: str, profile: bool, index: int) -> Body:
    """Return the loop of worker number `index`, which is prepared here."""
    storage = Timed(path)
    found = storage.refresh().find(experiment.NAME)
    assert found is not None
    job = JobSpec(storage=path, name=experiment.NAME, version=1, cpus=1, **_WORKER)

    def body() -> dict[str, Any]:
        summary = run_worker(storage, found, job, StopNotice())
        calls = sys.modules[experiment.MODULE].CALLS if experiment.MODULE in sys.modules else []
        return {"completed": summary.completed, "lost": summary.lost, "calls": calls,
                "times": storage.times}  # fmt: skip

    return _profiled(body) if profile and index == 0 else body


_WORKER: dict[str, Any] = {
    "n_workers": 1,
    "executor": "single",
    "heartbeat": 60.0,
    "idle_timeout": 60.0,
}


def _measures(result: Race, trials: int) -> dict[str, Any]:
    times = [pair for one in result.results for pair in one["times"]]
    # Until the last trial is recorded: then a worker may sleep on before it sees that all is done.
    seconds = max(end for _, end in times) - result.start
    waits = sorted(end - begin for begin, end in times)
    profiles = [one["profile"] for one in result.results if "profile" in one]
    return {
        "trials": trials,
        "seconds": seconds,
        "per_second": trials / seconds,
        "user_us": 1e6 * sum(share.user for share in result.shares) / trials,
        "system_us": 1e6 * sum(share.system for share in result.shares) / trials,
        "switches": sum(share.switches for share in result.shares) / trials,
        "p50_ms": 1e3 * statistics.median(waits),
        "p99_ms": 1e3 * waits[int(0.99 * (len(waits) - 1))],
        "most_by_one": max(one["completed"] for one in result.results),
        "fewest_by_one": min(one["completed"] for one in result.results),
        **({"profile": profiles[0]} if profiles else {}),
    }


def problems(results: Sequence[dict[str, Any]], state: State, trials: int) -> list[str]:
    """Return what went wrong: trials that were lost, doubled, or run and not recorded."""
    recorded = Counter(experiment.points(state))
    called = Counter(tuple(point) for one in results for point in one["calls"])
    told = sum(one["completed"] for one in results)
    attempts = max(trial.attempt for trial in state.experiments[experiment.NUMBER].trials)
    doubled = sum(count > 1 for count in recorded.values())
    checks = {
        f"{doubled} points are doubled": not doubled,
        f"{recorded.total()} trials are completed": recorded.total() == trials,
        f"{told} were acknowledged": told == trials,
        f"{sum((called - recorded).values())} were run too often": not called - recorded,
        f"{sum((recorded - called).values())} were never run": not recorded - called,
        f"a trial took {attempts} attempts": attempts == 1,
        "reservations were lost": not any(one["lost"] for one in results),
    }
    return [text for text, good in checks.items() if not good]


def _profiled(body: Callable[[], dict[str, Any]]) -> Body:
    def run() -> dict[str, Any]:
        profiler = cProfile.Profile()
        result = profiler.runcall(body)
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(_LINES)
        return {**result, "profile": text.getvalue()}

    return run
