"""The seam of executors: what runs a worker's trials, and how a process's death is told.

Which executors there are is looked up by name; what they run is left to :mod:`orion_hpc.worker`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from orion_hpc.errors import ConfigurationError, OrionHpcError, did_you_mean
from orion_hpc.model.trial import KILLED, OUT_OF_MEMORY
from orion_hpc.plugins import load

A = TypeVar("A")
R = TypeVar("R")

BUILTIN = {
    "single": "orion_hpc.executors.single:SingleExecutor",
    "joblib": "orion_hpc.executors.joblib:JoblibExecutor",
    "dask": "orion_hpc.executors.dask:DaskExecutor",
    "poolexecutor": "orion_hpc.executors.pool:PoolExecutor",
}


class Executor(Protocol):
    """Runs functions, up to ``n_workers`` at once.

    Constructed as ``(n_workers, cpus, **options)``; the options are the executor's own, and
    ConfigurationError tells of a wrong one.

    Attributes
    ----------
    n_workers : int
        How many run at once; further ones wait.
    in_process : bool
        Whether functions run in the very thread that submits them.
    shares_memory : bool
        Whether they run in this process, so that nothing needs to be pickled. A class without this
        attribute says no.
    """

    n_workers: int
    in_process: bool

    def submit(self, function: Callable[[A], R], argument: A) -> Future[R]:
        """Run ``function(argument)``.

        The future's exception is the function's own, :class:`ProcessDied` or :class:`ExecutorLost`.
        """

    def wait(self, futures: Collection[Future[Any]], timeout: float | None) -> set[Future[Any]]:
        """Return those that are done, once there is one; none of them after ``timeout`` seconds."""

    def close(self, kill: bool = False) -> None:
        """Wait for all that was submitted and leave no process behind.

        With ``kill`` what waits is cancelled, and what runs is ended with its child processes.
        """


class ProcessDied(OrionHpcError):
    """The process in which a function ran ended before the function did.

    Parameters
    ----------
    message : str
    cause : str
        ``KILLED`` or ``OUT_OF_MEMORY`` of :mod:`orion_hpc.model.trial`.
    exit_status : int or None
        The exit code; the negative number of the signal that ended it; None if unknown.
    """

    def __init__(self, message: str, cause: str = KILLED, exit_status: int | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.exit_status = exit_status

    def __reduce__(self) -> tuple[Any, ...]:
        # The base class would be called with a message and a hint.
        return (type(self), (self.message, self.cause, self.exit_status))

    @classmethod
    def of(cls, exit_status: int | None, oom_killed: bool) -> ProcessDied:
        """Return the error for a process that left with ``exit_status``.

        ``oom_killed``: whether the kernel killed processes for want of memory meanwhile.
        """
        if exit_status == -signal.SIGKILL and oom_killed:
            message = "the trial's process was killed by the kernel: out of memory"
            return cls(message, OUT_OF_MEMORY, exit_status)
        return cls(f"the trial's process {death_notice(exit_status)}", KILLED, exit_status)


class ExecutorLost(OrionHpcError):
    """The executor runs nothing any more: its cluster is gone, say. No trial is at fault."""


def death_notice(exit_status: int | None) -> str:
    """Return the words for an exit status: ``'died with SIGSEGV'``, ``'exited with code 3'``."""
    if exit_status is None:
        return "died"
    if exit_status >= 0:
        return f"exited with code {exit_status}"
    try:
        return f"died with {signal.Signals(-exit_status).name}"
    except ValueError:  # a real-time signal
        return f"died with signal {-exit_status}"


def check_executor(name: str, n_workers: int, options: Collection[str] = ()) -> None:
    """Find out whether there is such an executor, runs so many, and has such options; starts
    nothing.

    Raises
    ------
    ConfigurationError
    """
    _check_options(name, load("executor", name, BUILTIN), options)
    if isinstance(n_workers, bool) or not isinstance(n_workers, int):
        raise ConfigurationError(f"n_workers must be a whole number, not {n_workers!r:.60}")
    if n_workers < 1:
        raise ConfigurationError(f"n_workers must be at least 1, not {n_workers}")
    in_process = runs_in_process(name)
    if n_workers > 1 and in_process:
        raise ConfigurationError(
            f"the executor {name!r} runs one trial at a time, and n_workers is {n_workers}",
            "Use executor: joblib, or n_workers: 1.",
        )


def check_backend(executor: str, backend: str, known: Collection[str]) -> None:
    """Raise ConfigurationError if ``backend`` isn't one of those that the executor has."""
    if backend not in known:
        raise ConfigurationError(
            f"the executor {executor!r} has no backend {backend!r}{did_you_mean(backend, known)}",
            f"There are: {', '.join(known)}.",
        )


def runs_in_process(name: str) -> bool:
    """Return whether the executor runs trials in the worker's own process.

    Raises
    ------
    ConfigurationError
        There is none of that name.
    """
    return bool(getattr(load("executor", name, BUILTIN), "in_process", False))


def make_executor(name: str, n_workers: int, cpus: int, **options: Any) -> Executor:
    """Return a new executor for a worker that has ``cpus`` CPUs.

    ``options`` are the executor's own: ``backend`` of ``joblib``, ``address`` of ``dask``, ….

    Raises
    ------
    ConfigurationError
        There is none of that name, it doesn't run ``n_workers`` at once, or has no such option.
    """
    check_executor(name, n_workers, options)
    executor: Executor = load("executor", name, BUILTIN)(n_workers, cpus, **options)
    return executor


def _check_options(name: str, kind: Callable[..., Any], options: Collection[str]) -> None:
    import inspect

    parameters = inspect.signature(kind).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters][2:]
    for option in options:
        if option not in known:
            raise ConfigurationError(
                f"the executor {name!r} has no option {option!r}{did_you_mean(option, known)}",
                f"It has {', '.join(known)}." if known else "It has none.",
            )
