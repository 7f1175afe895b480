"""Row ``busy``: the share of their time that ten workers spend in trials that take a while.

From the start of a worker's first trial to the end of its last one, by the clock of the trials
themselves: what lies between two trials counts, and starting up doesn't.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from typing import Any

from orion_hpc.client import build_experiment
from tests.benchmarks import apart
from tests.benchmarks.processes import race
from tests.benchmarks.report import Line, Target
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.throughput import fresh

WORKERS = 10
_SPACE = {"x": "uniform(0, 1)"}


def busy(folder: str, sizes: Sizes) -> list[Line]:
    """Ten processes with a trial each, and one process with ten trials at once."""
    lines = []
    for way, what in (("single", "10 workers"), ("joblib", "one worker, joblib with 10 processes")):
        with fresh(folder) as new:
            trials, seconds = sizes.busy_trials, sizes.busy_seconds
            run = apart.call("busy:run", folder=new, way=way, trials=trials, seconds=seconds)
        line = Line(
            row="busy",
            what=f"{what}, trials of {sizes.busy_seconds:g} s",
            ours=100 * run["share"],
            unit="%",
            target=Target("ours", 98, True, "%"),
            note=f"{1e3 * run['between']:.1f} ms between two trials",
            problems=run["problems"],
            runs=[run],
        )
        lines.append(line)
    return lines


def run(folder: str, way: str, trials: int, seconds: float) -> dict[str, Any]:
    """Have each of ten workers run so many trials; return the share of its time, and the pauses."""
    path = os.path.join(folder, "db.pkl")
    experiment = build_experiment("busy", space=_SPACE, max_trials=WORKERS * trials, storage=path)

    def sleep(x: float) -> list[dict[str, Any]]:
        begin = time.monotonic()
        time.sleep(seconds)
        told = [begin, time.monotonic(), float(os.getpid())]
        return [
            {"name": "y", "type": "objective", "value": x},
            {"name": "when", "type": "statistic", "value": told},
        ]

    if way == "joblib":
        with experiment.tmp_executor("joblib", n_workers=WORKERS):
            experiment.workon(sleep, n_workers=WORKERS)
    else:
        race(WORKERS, lambda index: lambda: _alone(path, sleep))
    found: dict[float, list[tuple[float, float]]] = {}
    for trial in experiment.fetch_trials_by_status("completed"):
        begin, end, process = trial.statistics[0].value
        found.setdefault(process, []).append((begin, end))
    count = sum(map(len, found.values()))
    wanted = WORKERS * trials
    problems = [] if count == wanted else [f"{count} of {wanted} trials are completed"]
    problems += [] if len(found) == WORKERS else [f"{len(found)} of {WORKERS} processes ran any"]
    spans = [max(end for _, end in times) - min(times)[0] for times in found.values()]
    spent = sum(end - begin for times in found.values() for begin, end in times)
    pauses = [
        later[0] - earlier[1]
        for times in map(sorted, found.values())
        for earlier, later in itertools.pairwise(times)
    ]
    return {
        "share": spent / sum(spans),
        "between": statistics.median(pauses) if pauses else 0.0,
        "problems": problems,
    }


def _alone(path: str, function: Any) -> int:
    experiment = build_experiment("busy", storage=path)
    with experiment.tmp_executor("single"):
        return experiment.workon(function)
