"""The executor on joblib's processes (loky), and joblib's settings inside a trial.

The only importer of joblib. Every slot is a pool of one process, so that the death of a process
ends one trial only. Limits on CPUs are computed in ``limits``.
"""

from __future__ import annotations

import multiprocessing
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
from orion_hpc.sharedfs.process_control import VMSTAT, OomWatch, kill_group, kill_tree

A = TypeVar("A")
R = TypeVar("R")

_SAFE_PATH = "PYTHONSAFEPATH"
"""loky starts its processes with ``python -m``, which would import a ``queue.py`` in the working
directory instead of Python's own. This variable prevents that (Python 3.11)."""

BACKENDS = ("loky", "multiprocessing", "threading")
"""joblib's names for where functions run. ``loky`` starts fresh processes."""


def import_joblib() -> None:
    """Import joblib with all modules that unpickling its objects needs.

    Raises
    ------
    ImportError
        joblib isn't installed, as may be so on the workers of a user's cluster.
    """
    import joblib  # noqa: F401
    from joblib.externals import loky  # noqa: F401


class JoblibExecutor(SlotExecutor):
    """Runs each function in one of ``n_workers`` processes, each with its share of ``cpus``.

    Processes start when they are first needed, and are reused until they die. Functions are passed
    as joblib does it: by name if possible, otherwise by value (cloudpickle).

    Parameters
    ----------
    n_workers, cpus : int
        As of :func:`orion_hpc.executors.base.make_executor`.
    backend : {"loky", "multiprocessing", "threading"}
        Fresh processes, forks of this process, or threads of this process. Threads share its memory
        and the interpreter's lock, and a crash ends all of them.
    vmstat : str
        The file with the kernel's count of out-of-memory kills.

    Raises
    ------
    ConfigurationError
        There is no such backend.
    """

    def __init__(
        self, n_workers: int, cpus: int, backend: str = "loky", vmstat: str = VMSTAT
    ) -> None:
        check_executor("joblib", n_workers)
        backend = check_backend("joblib", backend, BACKENDS, {"multiprocess": "multiprocessing"})
        import joblib  # noqa: F401  # so that a broken installation fails now, not at the first trial

        share = limits.cpus_per_trial(cpus, n_workers)
        self.shares_memory = backend == "threading"
        kinds: dict[str, Callable[[], Slot]] = {
            "loky": lambda: LokySlot(share, OomWatch(vmstat)),
            "multiprocessing": lambda: ForkSlot(share, OomWatch(vmstat), _call),
            "threading": lambda: ThreadSlot(share, _call),
        }
        super().__init__(n_workers, kinds[backend])


class LokySlot:
    """Runs one function at a time in a process of loky, which is replaced if it dies.

    loky's pool is used under the lock only, as ``shutdown`` of a pool isn't thread-safe.
    """

    def __init__(self, cpus: int, memory: OomWatch) -> None:
        self._cpus = cpus
        self._memory = memory
        self._pool: Any = None
        self._lock = threading.Lock()
        self._closed = False

    def run(self, function: Callable[[A], R], argument: A) -> R:
        """Return ``function(argument)``, run in this slot's process, for one thread at a time.

        Raises
        ------
        ProcessDied
            The process ended before the function returned.
        """
        kills = self._memory.mark()
        dead: list[Any] = []
        with self._lock:
            pool, future = self._submit(function, argument)
            # The pool's own thread calls this before it drops its list of processes.
            future.add_done_callback(lambda _: dead.extend(pool._processes.values()))
        try:
            result: R = future.result()
            return result
        except Exception as error:
            # The function itself may raise BrokenProcessPool, if its own inner pool broke.
            broken = pool._flags.broken is error
            if not broken and not self._closed:
                raise
            with self._lock:
                self._drop(pool)
            if broken and not isinstance(error, _terminated()) and not self._closed:
                raise  # the argument or the result can't be unpickled, as the message says
            for process in dead:
                kill_group(process.pid)
            status = exit_status(dead[0]) if dead else None
            raise ProcessDied.of(status, self._memory.risen(kills)) from None

    def _submit(self, function: Callable[[A], R], argument: A) -> tuple[Any, cf.Future[R]]:
        if self._closed:
            raise cf.CancelledError("the executor is closed")
        if self._pool is not None and self._pool._flags.broken is not None:
            self._drop(self._pool)  # the process died while it was idle, so no trial is lost
        if self._pool is None:
            self._pool = _start_pool(self._cpus)
        return self._pool, self._pool.submit(_call, function, argument, self._cpus)

    def _drop(self, pool: Any) -> None:
        if self._pool is pool:
            self._pool = None
            pool.shutdown(wait=True)

    def close(self, kill: bool) -> None:
        """End the process, and if ``kill``, all its descendants; start no further one."""
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
    # loky ends a process that has grown by 300 MB after its trial, which is fine. If the next trial
    # was already sent to it, loky starts another process and warns.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
    return ProcessPoolExecutor(
        max_workers=1,
        timeout=None,
        env={**limits.environment(cpus, os.environ), _SAFE_PATH: "1"},
        initializer=_prepare_trial,
        initargs=(os.getpid(), cpus, os.environ.get(_SAFE_PATH)),
    )


_starting_trackers = threading.Lock()
"""Held while the environment is changed: each slot starts its process in a thread of its own."""


def _start_trackers() -> None:
    """Start the resource trackers, which all child processes share, with suitable settings.

    They remove the semaphores and folders that a killed trial left. loky's tracker would warn of
    that on stderr. And of the signals that Slurm sends to all processes of a job, trackers ignore
    only two, so the others are blocked.
    """
    from multiprocessing import resource_tracker as standard

    from joblib.externals.loky.backend import resource_tracker as lokys

    off = f"ignore::UserWarning:{lokys.__name__}"
    with _starting_trackers:
        before = os.environ.get("PYTHONWARNINGS")
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


# The functions below run in a trial's process.


def _prepare_trial(worker: int, cpus: int, safe_path: str | None) -> None:
    os.environ.pop(_SAFE_PATH, None)  # it was set for the start of this process only
    if safe_path is not None:
        os.environ[_SAFE_PATH] = safe_path
    _restore_start_method()
    become_trial(worker)
    _register_backend(cpus)


def _prepare_inner(trial: int) -> None:
    _restore_start_method()
    become_inner(trial)


def _restore_start_method() -> None:
    """Let multiprocessing start processes by Python's own default.

    In loky's processes it is loky's, with which the user's processes, and those of PyTorch's
    loaders, fail to start.
    """
    multiprocessing.set_start_method(None, force=True)


def _register_backend(cpus: int) -> None:
    """Limit joblib's inner processes to the trial's CPUs, however many the machine has."""
    from joblib import register_parallel_backend
    from joblib._parallel_backends import LokyBackend

    class TrialBackend(LokyBackend):  # type: ignore[misc]
        def effective_n_jobs(self, n_jobs: int | None) -> int:
            # joblib would limit n_jobs to the machine's CPUs, and ignore PYTHON_CPU_COUNT.
            if n_jobs is not None and n_jobs < 0:
                n_jobs = max(1, cpus + 1 + n_jobs)
            effective: int = super().effective_n_jobs(n_jobs)
            return effective

        def configure(self, *args: Any, **options: Any) -> Any:
            if "initializer" not in self.backend_kwargs and "initializer" not in options:
                options |= {"initializer": _prepare_inner, "initargs": (os.getpid(),)}
            return super().configure(*args, **options)

        def _prepare_worker_env(self, n_jobs: int) -> dict[str, str]:
            # joblib would pass the trial's OMP_NUM_THREADS on to each of n_jobs processes, which
            # together would start n_jobs times as many threads as the trial has CPUs.
            env: dict[str, str] = super()._prepare_worker_env(n_jobs)
            share = limits.environment(max(1, cpus // n_jobs), os.environ)
            if self.inner_max_num_threads is not None:
                share = {name: text for name, text in share.items() if name not in limits.THREADS}
            return env | share

    register_parallel_backend("loky", TrialBackend)


def _call(function: Callable[[A], R], argument: A, cpus: int) -> R:
    """Run ``function`` so that ``joblib.Parallel()`` without ``n_jobs`` uses the trial's CPUs."""
    from joblib import parallel_config

    try:
        # Without a backend, so that ``prefer="threads"`` of scikit-learn's forests has its effect.
        with parallel_config(n_jobs=cpus):
            return function(argument)
    finally:
        # If the process dies later, buffered output would be lost. The function may have closed or
        # replaced a stream, and a worker without a terminal has none.
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
