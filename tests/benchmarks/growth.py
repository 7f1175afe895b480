"""Row ``growth``: what a transaction costs in a database that holds many trials already."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from orion_hpc.journal.pickleddb import PickledDB
from tests.benchmarks import apart, experiment
from tests.benchmarks.processes import Together
from tests.benchmarks.report import Line, Target
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.throughput import fresh


def growth(folder: str, sizes: Sizes) -> list[Line]:
    """The cost at each size against that at the smallest."""
    with fresh(folder) as new:
        blocks = apart.call(
            "growth:run",
            folder=new,
            trials=sizes.growth,
            transactions=sizes.growth_transactions,
            block=sizes.growth_block,
        )
    return [
        _line(
            f"a transaction with {size:,} trials, {word}",
            [block[kind][index] for block in blocks],
            [block[kind][0] for block in blocks],
            f"{sizes.growth[0]:,} trials",
            Target("ratio", 1.2, False)
            if index == len(sizes.growth) - 1 and kind == "wall"
            else None,
            blocks if index == len(sizes.growth) - 1 and kind == "wall" else [],
        )
        for kind, word in (("wall", "durable"), ("cpu", "CPU only"))
        for index, size in enumerate(sizes.growth)
        if index
    ]


def _line(
    what: str,
    ours: Sequence[float],
    peers: Sequence[float],
    peer_name: str,
    target: Target | None,
    runs: list[dict[str, Any]],
) -> Line:
    ratios = [one / other for one, other in zip(ours, peers, strict=True)]
    return Line(
        row="growth",
        what=what,
        ours=1e6 * statistics.median(ours),
        unit="µs",
        target=target,
        peer=1e6 * statistics.median(peers),
        peer_name=peer_name,
        ratio=statistics.median(ratios),
        runs=runs,
    )


def run(folder: str, trials: Sequence[int], transactions: int, block: int) -> list[dict[str, Any]]:
    """Return, for each round, the seconds of a transaction at each of the sizes.

    Each size has a process of its own, which holds its trials and nothing else; they take turns
    in blocks of transactions, so that whatever else the machine does hits all of them.
    """
    paths = _databases(folder, trials)

    def work(index: int, pipe: Connection, go: int) -> None:
        storage = PickledDB(paths[index])
        storage.refresh()
        stepper = experiment.Stepper(storage, f"measured:1:c0ffee.{index}")
        stepper.step()
        pipe.send(("ready", None))
        while pipe.recv():
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(block):
                stepper.step()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            pipe.send(("done", (wall / block, cpu / block)))

    rounds = []
    with Together(len(trials), work) as together:
        for index in range(len(trials)):
            together.receive(index)
        for _ in range(transactions // block):
            costs = []
            for index, pipe in enumerate(together.pipes):
                pipe.send(True)
                costs.append(together.receive(index))
            rounds.append({"wall": [one[0] for one in costs], "cpu": [one[1] for one in costs]})
        for pipe in together.pipes:
            pipe.send(False)
    return rounds


def _databases(folder: str, trials: Sequence[int]) -> list[str]:
    """Make a database of each size: the largest is filled and copied on its way there."""
    largest = os.path.join(folder, "largest.pkl")
    copies = {size: os.path.join(folder, f"{size}.pkl") for size in trials}
    steps = {size + experiment.WORKERS - 1: size for size in trials}

    def copy(step: int) -> None:
        if step in steps:
            shutil.copyfile(largest, copies[steps[step]])

    experiment.fill(largest, max(trials), copy)
    return [copies[size] for size in trials]
