"""The executor on dask: a local cluster, one that is already running, or one of Slurm jobs.

The only importer of dask, distributed and dask_jobqueue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent import futures as cf
from typing import Any, TypeVar

from orion_hpc.errors import ConfigurationError
from orion_hpc.executors import limits
from orion_hpc.executors.base import ExecutorLost, ProcessDied, check_executor
from orion_hpc.executors.joblib import import_joblib
from orion_hpc.executors.main_module import check_guarded
from orion_hpc.executors.trial_process import leave_terminal
from orion_hpc.plugins import install_command
from orion_hpc.sharedfs.process_control import kill_tree

A = TypeVar("A")
R = TypeVar("R")

_LEFT = (*limits.THREADS, "PYTHONHASHSEED", "__DASK_PARENT_PID")
"""Variables that dask sets in the environment of the process that starts a cluster."""

_WORKER = "Dask Worker process"
"""What the names of the processes begin with that dask's nannies start."""

_START_TIMEOUT = 60.0
_CLOSE_TIMEOUT = 10.0


class DaskExecutor:
    """Runs each function as a task of a dask cluster.

    Parameters
    ----------
    n_workers : int
        How many functions run at once.
    cpus : int
        How many dask workers the cluster has, each with one thread. A function that starts tasks
        itself (``joblib.parallel_backend("dask")``) shares them with the other functions.
    address : str, optional
        The address of a running scheduler. ``cpus`` has no effect then, and the cluster isn't
        closed.
    cluster : optional
        A cluster object of dask, which isn't closed; or ``{"slurm": options}`` for a cluster of
        Slurm jobs, which ends with this executor. The options are those of
        ``dask_jobqueue.SLURMCluster``.
    client : optional
        A ``distributed.Client``, which isn't closed.

    Raises
    ------
    ConfigurationError
        dask isn't installed, there is no such cluster, or the scheduler doesn't answer.
    """

    in_process = False

    def __init__(
        self,
        n_workers: int,
        cpus: int,
        address: str | None = None,
        cluster: Any = None,
        client: Any = None,
    ) -> None:
        check_executor("dask", n_workers)
        if sum(given is not None for given in (address, cluster, client)) > 1:
            raise ConfigurationError(
                "the executor 'dask' is given more than one of address, cluster and client",
                "Keep one of them.",
            )
        self.n_workers = n_workers
        self._lock = threading.Lock()
        self._waiting: deque[tuple[cf.Future[Any], Any, Any]] = deque()
        self._running: dict[cf.Future[Any], Any] = {}
        self._closed = False
        self._with = contextlib.ExitStack()
        self._own: Any = None
        self._others = _workers()
        if client is not None:
            self._client = client
            self._prepare()
            return
        try:
            import distributed
        except ImportError as error:
            raise ConfigurationError(
                "the executor 'dask' needs dask and distributed, which aren't installed",
                f"Install them with: {install_command('dask')}",
            ) from error
        if isinstance(cluster, Mapping):
            self._own = cluster = _named_cluster(cluster, max(cpus, n_workers))
        elif address is None and cluster is None:
            check_guarded("dask")
            # dask also sets these variables here when it starts a worker's process.
            self._with.enter_context(_restored(_LEFT))
            with _restored(_LEFT):
                os.environ.update(_limits())  # dask takes its own settings only where none are
                self._own = cluster = _local_cluster(max(cpus, n_workers))
        try:
            self._client = distributed.Client(
                address or cluster, timeout=_START_TIMEOUT, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            self._close_own()
            raise ConfigurationError(
                f"the dask scheduler {address or cluster} doesn't answer: {error}",
                "Is it running, and is its version of distributed the same as here?",
            ) from error
        self._with.callback(self._close_own)
        self._with.callback(self._client.close, timeout=_CLOSE_TIMEOUT)
        self._prepare()

    def submit(self, function: Callable[[A], R], argument: A) -> cf.Future[R]:
        future: cf.Future[R] = cf.Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the executor is closed")
            self._waiting.append((future, function, argument))
        self._start()
        return future

    def wait(
        self, futures: Collection[cf.Future[Any]], timeout: float | None
    ) -> set[cf.Future[Any]]:
        return cf.wait(futures, timeout, return_when=cf.FIRST_COMPLETED).done

    def close(self, kill: bool = False) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            waiting, running = list(self._waiting), list(self._running)
            if kill:
                self._waiting.clear()
        if kill:
            for future, *_ in waiting:
                future.cancel()
            self._kill()
            for future in running:
                _set(future, error=cf.CancelledError("the executor is closed"))
        else:
            cf.wait([*(future for future, *_ in waiting), *running])
        self._with.close()

    def _start(self) -> None:
        """Submit tasks to dask while fewer than ``n_workers`` are running."""
        while True:
            with self._lock:
                if len(self._running) >= self.n_workers or not self._waiting:
                    return
                future, function, argument = self._waiting.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                words: tuple[Any, ...] = (function, argument)
                if self._own is None:
                    words = (_once, f"orion-hpc-{uuid.uuid4().hex}", *words)
                try:
                    task = self._client.submit(*words, pure=False, retries=0)
                except Exception as lost:
                    _set(future, error=_cluster_lost(str(lost) or type(lost).__name__))
                    continue
                self._running[future] = task
            task.add_done_callback(lambda task, future=future: self._end(future, task))

    def _end(self, future: cf.Future[Any], task: Any) -> None:
        with self._lock:
            self._running.pop(future, None)
        try:
            error = task.exception() if task.status == "error" else None
            if task.status == "finished":
                _set(future, task.result())
            elif error is not None:
                _set(future, error=_own_error(error))
            else:
                _set(future, error=_cluster_lost(f"a trial was {task.status}"))
        except Exception as lost:
            _set(future, error=_cluster_lost(str(lost) or type(lost).__name__))
        self._start()

    def _kill(self) -> None:
        tasks = list(self._running.values())
        if self._own is None:
            # The running functions can't be killed without killing tasks of other users.
            with contextlib.suppress(Exception):
                self._client.cancel(tasks, force=True)
            return
        for nanny in tuple(getattr(self._own, "workers", {}).values()):
            nanny.auto_restart = False
            if (pid := getattr(nanny, "pid", None)) is not None:
                kill_tree(pid)

    def _prepare(self) -> None:
        """Set the workers up, including those that join later."""
        plugin = _worker_plugin(ours=self._own is not None)
        self._client.register_plugin(plugin)
        if self._own is None:
            self._with.callback(self._forget, plugin.name)

    def _forget(self, plugin: str) -> None:
        with contextlib.suppress(Exception):  # the cluster may be gone
            self._client.unregister_worker_plugin(plugin)

    def _close_own(self) -> None:
        if self._own is not None:
            with contextlib.suppress(Exception):
                self._own.close(timeout=_CLOSE_TIMEOUT)
            self._own = None
            _kill_workers(self._others)


def _workers() -> set[int]:
    """Return the process ids of the workers of all local clusters that this process started."""
    children = multiprocessing.active_children()
    return {one.pid for one in children if one.pid and one.name.startswith(_WORKER)}


def _kill_workers(others: set[int]) -> None:
    """Kill the workers that outlived their cluster, ``others`` aside.

    One that its nanny was just starting isn't among those to be killed, and the cluster's end
    doesn't wait for it. As it isn't daemonic, Python would wait for it at its own end.
    """
    for pid in _workers() - others:
        kill_tree(pid)


def _worker_plugin(ours: bool) -> Any:
    """Return the plugin that sets a worker's process up for trials.

    It imports joblib before any task runs. Otherwise a function that starts tasks on dask may
    import joblib in its thread while the thread that reads messages unpickles joblib's objects. As
    joblib has circular imports, one of the threads may see a partly imported module, and the worker
    loses its task.
    """
    from distributed import WorkerPlugin

    class Prepared(WorkerPlugin):
        name = f"orion-hpc-{uuid.uuid4().hex}"

        def setup(self, worker: Any) -> None:
            if ours:
                leave_terminal()
            with contextlib.suppress(ImportError):
                import_joblib()

    return Prepared()


def _set(future: cf.Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    with contextlib.suppress(cf.InvalidStateError):
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _cluster_lost(why: str) -> ExecutorLost:
    return ExecutorLost(
        f"the dask cluster is gone: {why}",
        "Its trials are released. Start the cluster again, and run the same program again.",
    )


def _once(token: str, function: Callable[[A], R], argument: A) -> R:
    """Run the function, unless it was started before; then raise ProcessDied.

    A user's own cluster restarts a task whose process died, as often as its scheduler is set to.
    """
    from distributed import Variable, get_client

    begun = Variable(token, client=get_client())
    try:
        begun.get(timeout=0.01)
    except asyncio.TimeoutError:
        begun.set(True)
    else:
        raise ProcessDied.of(None, oom_killed=False)
    try:
        return function(argument)
    finally:
        begun.delete()


def _own_error(error: BaseException) -> BaseException:
    """Return the error; ProcessDied instead of dask's error for a worker's death."""
    if type(error).__name__ == "KilledWorker":
        return ProcessDied.of(None, oom_killed=False)
    return error


def _local_cluster(n_workers: int) -> Any:
    import dask
    import distributed

    settings = {
        # Whether a trial whose process died runs again is decided by our worker, not by dask.
        "distributed.scheduler.allowed-failures": 0,
        # A job that was suspended with all its processes resumes with workers that were silent for
        # more than dask's limit of five minutes. The nannies report the death of a worker.
        "distributed.scheduler.worker-ttl": None,
        # A daemonic process couldn't start an inner pool.
        "distributed.worker.daemon": False,
        "distributed.nanny.pre-spawn-environ": _limits(),
        "distributed.comm.timeouts.connect": _START_TIMEOUT,
    }
    with dask.config.set(settings):
        return distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            # Without a dashboard there is still an HTTP server, on the dashboard's port 8787 unless
            # another one is named: two tasks of an array may run on one node.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        )


def _limits() -> dict[str, str]:
    """Return the variables that limit a worker's libraries to one thread."""
    found = limits.environment(1, os.environ)
    return {name: text for name, text in found.items() if name in limits.THREADS}


@contextlib.contextmanager
def _restored(names: Collection[str]) -> Iterator[None]:
    """Restore variables of the environment at the end of the block."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text


def _named_cluster(named: Mapping[str, Any], n_workers: int) -> Any:
    if list(named) != ["slurm"] or not isinstance(named["slurm"], Mapping):
        raise ConfigurationError(
            f"the executor 'dask' knows no cluster {dict(named)!r:.100}",
            "Write {'slurm': {'cores': 1, 'memory': '2GB', …}}, with SLURMCluster's options.",
        )
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError as error:
        raise ConfigurationError(
            "a dask cluster of Slurm jobs needs dask-jobqueue, which isn't installed",
            f"Install it with: {install_command('slurm-dask')}",
        ) from error
    try:
        cluster = SLURMCluster(**named["slurm"])
        cluster.scale(n_workers)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the options of the dask cluster are wrong: {error}",
            "They are those of dask_jobqueue.SLURMCluster.",
        ) from error
    return cluster
