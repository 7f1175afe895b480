"""The executor on Python's own processes or threads, with Oríon's name.

The slots are in ``forks`` and ``threads``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from orion_hpc.executors import limits
from orion_hpc.executors.base import check_backend, check_executor
from orion_hpc.executors.forks import ForkSlot
from orion_hpc.executors.joblib import LokySlot
from orion_hpc.executors.slots import Slot, SlotExecutor
from orion_hpc.executors.threads import ThreadSlot
from orion_hpc.sharedfs.process_control import VMSTAT, OomWatch

A = TypeVar("A")
R = TypeVar("R")

BACKENDS = ("multiprocess", "thread", "loky")


class PoolExecutor(SlotExecutor):
    """Runs each function in a fork or a thread of this process, or in a fresh process.

    Parameters
    ----------
    n_workers, cpus : int
        As of :func:`orion_hpc.executors.base.make_executor`. joblib inside a function doesn't know
        its share of ``cpus``; with the executor ``joblib`` it does.
    backend : {"multiprocess", "thread", "loky"}
        Forks, threads, or fresh processes as of the executor ``joblib``.

    Raises
    ------
    ConfigurationError
        There is no such backend.
    """

    def __init__(self, n_workers: int, cpus: int, backend: str = "multiprocess") -> None:
        check_executor("poolexecutor", n_workers)
        backend = check_backend("poolexecutor", backend, BACKENDS, {"threading": "thread"})
        share = limits.cpus_per_trial(cpus, n_workers)
        self.shares_memory = backend == "thread"
        kinds: dict[str, Callable[[], Slot]] = {
            "multiprocess": lambda: ForkSlot(share, OomWatch(VMSTAT), _call),
            "thread": lambda: ThreadSlot(share, _call),
            "loky": lambda: LokySlot(share, OomWatch(VMSTAT)),
        }
        super().__init__(n_workers, kinds[backend])


def _call(function: Callable[[A], R], argument: A, cpus: int) -> R:
    return function(argument)
