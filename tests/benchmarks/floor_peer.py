"""The floor under durable writes by one writer at a time: lock, append 200 bytes, sync, unlock."""

from __future__ import annotations

import fcntl
import os
import time

from tests.benchmarks.processes import Body, race

_RECORD = b"x" * 199 + b"\n"


def run(folder: str, trials: int, processes: int) -> dict:
    """Append ``trials`` records with so many processes; return what it took."""
    path = os.path.join(folder, "floor")

    def prepare(index: int) -> Body:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        data = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        share = trials // processes + (index < trials % processes)

        def body() -> float:
            for _ in range(share):
                fcntl.flock(lock, fcntl.LOCK_EX)
                os.write(data, _RECORD)
                os.fdatasync(data)
                fcntl.flock(lock, fcntl.LOCK_UN)
            return time.monotonic()

        return body

    result = race(processes, prepare)
    seconds = max(result.results) - result.start
    lacking = trials * len(_RECORD) - os.path.getsize(path)
    return {
        "trials": trials,
        "seconds": seconds,
        "per_second": trials / seconds,
        "user_us": 1e6 * sum(share.user for share in result.shares) / trials,
        "system_us": 1e6 * sum(share.system for share in result.shares) / trials,
        "switches": sum(share.switches for share in result.shares) / trials,
        "problems": [f"{lacking} bytes are missing"] if lacking else [],
    }
