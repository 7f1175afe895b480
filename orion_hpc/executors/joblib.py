"""The executor on joblib's processes (loky), and joblib's settings inside a trial.

The only importer of joblib. Every slot is a pool of one process, so that a process's death is one
trial's and no other's. How many CPUs a process may use is worked out in ``limits``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent import futures as cf
from contextlib import suppress
from typing import Any, TypeVar

from orion_hpc.executors import limits
from orion_hpc.executors.base import ProcessDied, check_backend, check_executor
from orion_hpc.executors.forks import ForkSlot
from orion_hpc.executors.slots import Slot, SlotExecutor
from orion_hpc.executors.threads import ThreadSlot
from orion_hpc.executors.trial_process import become_inner, become_trial, exit_status
from orion_hpc.sharedfs.processes import VMSTAT, OomWatch, kill_group, kill_tree

A = TypeVar("A")
R = TypeVar("R")

_SAFE_PATH = "PYTHONSAFEPATH"
"""loky starts its processes with ``python -m``, which would take a ``queue.py`` in the working
directory for Python's own (Python 3.11)."""


BACKENDS = ("loky", "multiprocessing", "threading")
"""Of joblib's words for where functions run. ``loky`` starts fresh processes."""


def import_joblib() -> None:
    """Import joblib with all that its objects need to be unpickled.

    Raises
    ------
    ImportError
        joblib isn't installed: another cluster's workers may lack it.
    """
    import joblib  # noqa: F401
    from joblib.externals import loky  # noqa: F401


class JoblibExecutor(SlotExecutor):
    """Runs each function in one of ``n_workers`` processes, each with its share of ``cpus``.

    Processes start with the first function and are used again, except after a death. Functions are
    passed as joblib does it: by name, or by value (cloudpickle) where a name doesn't do.

    Parameters
    ----------
    n_workers, cpus : int
    backend : {"loky", "multiprocessing", "threading"}
        Fresh processes, forks of this one, or threads of this one, which share its memory and its
        interpreter's lock, and whose death is this process's.
    vmstat : str
        Where the kernel's count of out-of-memory kills is read.

    Raises
    ------
    ConfigurationError
        There is no such backend.
    """

    def __init__(
        self, n_workers: int, cpus: int, backend: str = "loky", vmstat: str = VMSTAT
    ) -> None:
        check_executor("joblib", n_workers)
        check_backend("joblib", backend, BACKENDS)
        import joblib  # noqa: F401  # a broken installation shows now, and not with the first trial

        share = limits.cpus_per_trial(cpus, n_workers)
        self.shares_memory = backend == "threading"
        kinds: dict[str, Callable[[], Slot]] = {
            "loky": lambda: _Slot(share, OomWatch(vmstat)),
            "multiprocessing": lambda: ForkSlot(share, OomWatch(vmstat), _call),
            "threading": lambda: ThreadSlot(share, _call),
        }
        super().__init__(n_workers, kinds[backend])


class _Slot:
    """One process at a time; a new one after a death. loky's pools are only touched under the lock:

    two threads in ``shutdown`` of one pool trip over each other.
    """

    def __init__(self, cpus: int, memory: OomWatch) -> None:
        self._cpus = cpus
        self._memory = memory
        self._pool: Any = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self, function: Callable[[A], R], argument: A) -> R:
        """Return what ``function`` returns in this slot's process; called by one thread at a time.

        Raises
        ------
        ProcessDied
        """
        kills = self._memory.mark()
        dead: list[Any] = []
        with self._lock:
            pool, future = self._submit(function, argument)
            # Called by the pool's own thread, before it forgets the processes that it had.
            future.add_done_callback(lambda _: dead.extend(pool._processes.values()))
        try:
            result: R = future.result()
            return result
        except Exception as error:
            # A BrokenProcessPool may also be the function's own: its inner pool's.
            broken = pool._flags.broken is error
            if not broken and not self._closed:
                raise
            with self._lock:
                self._drop(pool)
            if broken and not isinstance(error, _terminated()) and not self._closed:
                raise  # what was sent or returned can't be unpickled: the message says so
            for process in dead:
                kill_group(process.pid)
            status = exit_status(dead[0]) if dead else None
            raise ProcessDied.of(status, self._memory.risen(kills)) from None

    def _submit(self, function: Callable[[A], R], argument: A) -> tuple[Any, cf.Future[R]]:
        if self._closed:
            raise cf.CancelledError("the executor is closed")
        if self._pool is not None and self._pool._flags.broken is not None:
            self._drop(self._pool)  # its process died while it was idle: that is no trial's death
        if self._pool is None:
            self._pool = _start_pool(self._cpus)
        return self._pool, self._pool.submit(_call, function, argument, self._cpus)

    def _drop(self, pool: Any) -> None:
        if self._pool is pool:
            self._pool = None
            pool.shutdown(wait=True)

    def close(self, kill: bool) -> None:
        """End the process, with all its descendants if ``kill``; no other is started."""
        with self._lock:
            self._closed = True
            if self._pool is None:
                return
            if kill:
                for process in tuple(self._pool._processes.values()):
                    kill_tree(process.pid)
                    kill_group(process.pid)
            self._pool.shutdown(wait=True, kill_workers=kill)
            self._pool = None


def _start_pool(cpus: int) -> Any:
    from joblib.externals.loky import ProcessPoolExecutor

    _start_trackers()
    # A process that has grown by 300 MB leaves after its trial, which is welcome; where the next
    # trial has been sent meanwhile loky starts another one and warns of it.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    return ProcessPoolExecutor(
        max_workers=1,
        timeout=None,
        env={**limits.environment(cpus, os.environ), _SAFE_PATH: "1"},
        initializer=_prepare_trial,
        initargs=(os.getpid(), cpus, os.environ.get(_SAFE_PATH)),
    )


def _start_trackers() -> None:
    """Start the resource trackers, which all processes below share, so that they do their work.

    They remove the semaphores and folders that a killed trial left. loky's would tell of it on
    stderr; and of the signals that Slurm sends to all of a job's processes they ignore only two.
    """
    from multiprocessing import resource_tracker as standard

    from joblib.externals.loky.backend import resource_tracker as lokys

    before = os.environ.get("PYTHONWARNINGS")
    off = f"ignore::UserWarning:{lokys.__name__}"
    os.environ["PYTHONWARNINGS"] = f"{before},{off}" if before else off
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1, signal.SIGUSR2))
    try:
        lokys.ensure_running()
        standard.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _terminated() -> type[Exception]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    terminated: type[Exception] = TerminatedWorkerError
    return terminated


# What follows runs in a trial's process.


def _prepare_trial(worker: int, cpus: int, safe_path: str | None) -> None:
    os.environ.pop(_SAFE_PATH, None)  # it was for this process's start alone
    if safe_path is not None:
        os.environ[_SAFE_PATH] = safe_path
    become_trial(worker)
    _register_backend(cpus)


def _register_backend(cpus: int) -> None:
    """Make joblib's processes share the trial's CPUs, whatever the machine says it has."""
    from joblib import register_parallel_backend
    from joblib._parallel_backends import LokyBackend

    class TrialBackend(LokyBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int | None) -> int:
            # joblib would never count more CPUs than the machine has, nor PYTHON_CPU_COUNT's.
            if n_jobs is not None and n_jobs < 0:
                n_jobs = max(1, cpus + 1 + n_jobs)
            effective: int = super().effective_n_jobs(n_jobs)
            return effective

        def configure(self, *args: Any, **options: Any) -> Any:
            if "initializer" not in self.backend_kwargs and "initializer" not in options:
                options |= {"initializer": become_inner, "initargs": (os.getpid(),)}
            return super().configure(*args, **options)

        def _prepare_worker_env(self, n_jobs: int) -> dict[str, str]:
            # joblib lets the trial's own OMP_NUM_THREADS win: n_jobs times as many as it has CPUs.
            env: dict[str, str] = super()._prepare_worker_env(n_jobs)
            share = limits.environment(max(1, cpus // n_jobs), os.environ)
            if self.inner_max_num_threads is not None:
                share = {name: text for name, text in share.items() if name not in limits.THREADS}
            return env | share

    register_parallel_backend("loky", TrialBackend)


def _call(function: Callable[[A], R], argument: A, cpus: int) -> R:
    """Run ``function`` where ``joblib.Parallel()`` without ``n_jobs`` means the trial's CPUs."""
    from joblib import parallel_config

    try:
        # No backend is named: so ``prefer="threads"`` of a library (scikit-learn's forests) counts.
        with parallel_config(n_jobs=cpus):
            return function(argument)
    finally:
        # A process that dies later takes what it has buffered with it. The function may have closed
        # or replaced either, and a worker without a terminal has none.
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
