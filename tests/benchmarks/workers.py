"""Row ``workers``: throughput and the time of a reservation with few and with many processes."""

from __future__ import annotations

import statistics
from typing import Any

from tests.benchmarks import apart
from tests.benchmarks.report import Line, Target
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.throughput import PROCESSES, fresh


def workers(folder: str, sizes: Sizes) -> list[Line]:
    """All counts of processes in turn, several times."""
    rounds = []
    for _ in range(sizes.worker_rounds):
        one = {}
        for count in sizes.workers:
            with fresh(folder) as new:
                one[count] = apart.call(
                    "ours:run", folders=[new], trials=sizes.worker_trials, processes=count
                )
        rounds.append(one)
    base = PROCESSES if PROCESSES in sizes.workers else sizes.workers[0]
    return [_line(count, base, rounds, max(sizes.workers)) for count in sizes.workers]


def _line(count: int, base: int, rounds: list[dict[int, dict[str, Any]]], most: int) -> Line:
    runs = [one[count] for one in rounds]
    against = count != base
    ratios = [one[count]["per_second"] / one[base]["per_second"] for one in rounds]
    p50, p99, user, system = (
        statistics.median(run[key] for run in runs)
        for key in ("p50_ms", "p99_ms", "user_us", "system_us")
    )
    return Line(
        row="workers",
        what=f"{count} process{'es' if count > 1 else ''}",
        ours=statistics.median(run["per_second"] for run in runs),
        unit="trials/s",
        target=Target("ratio", 0.5, True) if count == most and against else None,
        peer=statistics.median(one[base]["per_second"] for one in rounds) if against else None,
        peer_name=f"with {base}" if against else "",
        ratio=statistics.median(ratios) if against else None,
        note=f"a reservation takes p50 {p50:.2f} ms, p99 {p99:.2f} ms; "
        f"{user:.0f} + {system:.0f} µs of CPU a trial (user + system, all processes); one of them "
        f"completed {runs[-1]['fewest_by_one']} to {runs[-1]['most_by_one']} trials",
        problems=[text for run in runs for text in run["problems"]],
        runs=runs,
    )
