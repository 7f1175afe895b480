"""The benchmarks of the storage and the workers: ``python -m tests.benchmarks.storage --help``.

Each row measures ours and its peer in the same run and in turn, since machines are noisy: what
counts is the median of the ratios of the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from tests.benchmarks import apart, busy, growth, imports, opening, throughput, workers
from tests.benchmarks.report import Line, as_json, machine, table
from tests.benchmarks.sizes import FULL, QUICK, SMALLEST, Sizes
from tests.rigs.glusterfs import GlusterFS, missing_for_glusterfs

ROWS: dict[str, Callable[[str, Sizes], list[Line]]] = {
    "trials": throughput.trials,
    "floor": throughput.floor,
    "tmpfs": throughput.tmpfs,
    "growth": growth.growth,
    "workers": workers.workers,
    "opening": opening.opening,
    "imports": imports.imports,
    "busy": busy.busy,
}
MOUNTS_ROW = "glusterfs"
PROFILES = {"trials": throughput.PROCESSES, "workers": 256}
"""Rows that can be profiled, and with how many processes."""


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the JSON; return the exit code."""
    options = _parser().parse_args(words)
    size = "smallest" if options.smallest else "quick" if options.quick else "full"
    sizes = {"smallest": SMALLEST, "quick": QUICK, "full": FULL}[size]
    if options.profile:
        print(profile(options.folder, options.profile, sizes, options.processes))
        return 0
    started, about = time.time(), machine(options.folder)
    lines: list[Line] = []
    for row in options.rows:
        print(f"measuring {row} …", file=sys.stderr, flush=True)
        if row != MOUNTS_ROW:
            lines += ROWS[row](options.folder, sizes)
        elif options.mounts:
            lines += throughput.glusterfs(options.mounts, sizes)
        elif lacking := missing_for_glusterfs():
            print(f"glusterfs needs --mounts A B here: {lacking}", file=sys.stderr)
        else:
            with GlusterFS() as two:
                lines += throughput.glusterfs([str(mount) for mount in two.mounts], sizes)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(table(lines))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(as_json(lines, about, size, started), file, indent=1)
    return 1 if any(line.problems for line in lines) else 0


def profile(folder: str, row: str, sizes: Sizes, processes: int | None) -> str:
    """Return where one of the workers of a row spends its time, the main thread's only."""
    with throughput.fresh(folder) as new:
        found = apart.call(
            "ours:run",
            folders=[new],
            trials=sizes.worker_trials,
            processes=processes or PROFILES[row],
            profile=True,
        )
    text: str = found.pop("profile")
    return f"{json.dumps(found)}\n{text}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.storage", description=__doc__)
    names = [*ROWS, MOUNTS_ROW]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW",
                        help=f"any of {', '.join(names)}; all by default")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer trials and rounds")
    parser.add_argument("--smallest", action="store_true",
                        help="hardly any: shows that it runs, measures nothing")  # fmt: skip
    parser.add_argument("--folder", default=tempfile.gettempdir(), type=os.path.realpath,
                        help="where to write, on the file system to be measured")  # fmt: skip
    parser.add_argument("--mounts", nargs=2, metavar=("A", "B"),
                        help="two mounts of a GlusterFS volume, for glusterfs")  # fmt: skip
    parser.add_argument("--json", metavar="OUT", help="write everything that was measured there")
    parser.add_argument("--profile", choices=PROFILES, metavar="ROW",
                        help="profile a worker of this row (trials, workers) instead")  # fmt: skip
    parser.add_argument("--processes", type=int, help="with --profile: so many, not the row's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
