"""The benchmark on real kernel NFS: ``python -m tests.benchmarks.nfs --help``.

Ours against Optuna's journal with each of its two locks, on the same mounts of the same run and in
turn: two clients with four processes each, whose trials do nothing. See `tests.rigs.nfs`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from tests.benchmarks import nfs_worker, optuna_peer
from tests.benchmarks.report import Line, Target, as_json, compared, machine, table
from tests.rigs.nfs.guest import Guest, Job
from tests.rigs.nfs.rig import VERSIONS, NfsRig, missing_for_nfs
from tests.rigs.waiting import wait_until

PROCESSES = 4
"""On each of the two clients."""

PEERS = {"symlink": "Optuna's journal, symlink lock", "open": "Optuna's journal, open lock"}
_LONGEST = 900.0
_NUMBERS = itertools.count()


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write the JSON; return the exit code."""
    options = _parser().parse_args(words)
    if lacking := missing_for_nfs():
        print(f"there is no NFS to be had here: {lacking}", file=sys.stderr)
        return 1
    started, about = time.time(), {**machine(tempfile.gettempdir()), "file_system": "nfs"}
    lines = []
    with NfsRig() as rig:
        for version in options.versions:
            print(f"measuring version {version} …", file=sys.stderr, flush=True)
            lines += measure(rig, version, options.trials, options.optuna_trials, options.rounds)
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(table(lines))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(as_json(lines, about, "full", started), file, indent=1)
    return 1 if any(line.problems for line in lines) else 0


def measure(
    rig: NfsRig,
    version: str,
    trials: int,
    optuna_trials: int,
    rounds: int,
    peers: Sequence[str] = tuple(PEERS),
) -> list[Line]:
    """Measure ours, one peer, ours, the other peer, …; return a line for each peer."""
    peers = peers if optuna_peer.available() else []
    pairs: dict[str, list[dict[str, Any]]] = {peer: [] for peer in peers or ["none"]}
    for _ in range(rounds):
        for peer, found in pairs.items():
            one = {"ours": _run(rig, version, "ours", trials), "peer": None}
            if peer in PEERS:
                one["peer"] = _run(rig, version, peer, optuna_trials)
            found.append(one)
    what = f"no-op trials, NFS {version}, 2 clients with {PROCESSES} processes each"
    target = Target("ratio", 5, True)
    return [
        compared("nfs", what, found, target, PEERS.get(peer, "Optuna isn't installed"))
        for peer, found in pairs.items()
    ]


def _run(rig: NfsRig, version: str, kind: str, trials: int) -> dict[str, Any]:
    """Complete so many trials; return what it took, from the start to the last one's end."""
    shared = rig.folder(version)
    everybody = 2 * PROCESSES
    _call(rig.c1, "make", kind=kind, folder=shared.path, trials=trials).wait()
    shares = [trials // everybody + (index < trials % everybody) for index in range(everybody)]
    places = [client.share / f"run-{next(_NUMBERS)}" for client in rig.clients]
    jobs = []
    for index, (client, place) in enumerate(zip(rig.clients, places, strict=True)):
        place.mkdir()
        jobs.append(_call(
            client, "run", kind=kind, folder=shared.path, share=f"/run/share/{place.name}",
            first=index * PROCESSES, count=PROCESSES, shares=shares,
        ))  # fmt: skip

    def ready() -> bool:
        return sum(len(list(place.glob("ready-*"))) for place in places) == everybody

    wait_until(ready, 120, "all to be ready")
    for place in places:
        (place / "go").touch()
    told = [json.loads(job.wait(_LONGEST).splitlines()[-1]) for job in jobs]
    results = [one for client in told for one in client["results"]]
    journal = rig.fetch(f"{shared.served}/{nfs_worker.JOURNALS[kind]}", "journal")
    seconds = max(client["seconds"] for client in told)
    return {
        "trials": trials,
        "seconds": seconds,
        "per_second": trials / seconds,
        "user_us": 1e6 * sum(client["user"] for client in told) / trials,
        "system_us": 1e6 * sum(client["system"] for client in told) / trials,
        "problems": nfs_worker.problems(kind, results, journal, trials),
    }


def _call(client: Guest, function: str, **arguments: Any) -> Job:
    return client.python("tests.benchmarks.nfs_worker", function, json.dumps(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.nfs", description=__doc__)
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=["4.2", "3"],
                        metavar="VERSION", help=f"any of {', '.join(VERSIONS)}")  # fmt: skip
    parser.add_argument("--trials", type=int, default=800, help="of ours, in each run")
    parser.add_argument("--optuna-trials", type=int, default=160, help="of Optuna's")
    parser.add_argument("--rounds", type=int, default=3, help="pairs for each of the peers")
    parser.add_argument("--json", metavar="OUT", help="write everything that was measured there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
