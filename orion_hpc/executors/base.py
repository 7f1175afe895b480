"""The protocol of executors, which run a worker's trials, and their errors.

A third party registers one as an entry point of ``orion_hpc.executors``. What executors run is left
to :mod:`orion_hpc.worker`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from orion_hpc.errors import ConfigurationError, OrionHpcError, did_you_mean
from orion_hpc.model.trial_record import KILLED, OUT_OF_MEMORY
from orion_hpc.plugins import load

A = TypeVar("A")
R = TypeVar("R")

BUILTIN = {
    "single": "orion_hpc.executors.single:SingleExecutor",
    "joblib": "orion_hpc.executors.joblib:JoblibExecutor",
    "dask": "orion_hpc.executors.dask:DaskExecutor",
    "poolexecutor": "orion_hpc.executors.pool:PoolExecutor",
}

_ORIONS = {"singleexecutor": "single"}
"""Oríon's names that differ. Like Oríon's, the names of these executors have no case."""


class Executor(Protocol):
    """Runs functions, up to ``n_workers`` at once.

    Constructed as ``(n_workers, cpus, **options)``. The options are the executor's own; a wrong one
    raises ConfigurationError.

    Attributes
    ----------
    n_workers : int
        How many functions run at once; further ones wait.
    in_process : bool
        Whether functions run in the thread that submits them.
    shares_memory : bool, optional
        Whether functions run in this process, so that nothing is pickled. False if it is missing.

    Examples
    --------
    >>> from orion_hpc.executors.base import make_executor
    >>> executor = make_executor("poolexecutor", n_workers=2, cpus=2, backend="thread")
    >>> futures = {executor.submit(abs, number) for number in (-1, -2)}
    >>> executor.wait(futures, timeout=None) <= futures
    True
    >>> sorted(future.result() for future in futures)
    [1, 2]
    >>> executor.close()
    """

    n_workers: int
    in_process: bool

    def submit(self, function: Callable[[A], R], argument: A) -> Future[R]:
        """Run ``function(argument)`` as soon as fewer than ``n_workers`` functions run.

        Returns
        -------
        concurrent.futures.Future
            Its exception is the function's own, :class:`ProcessDied` or :class:`ExecutorLost`.

        Raises
        ------
        RuntimeError
            The executor is closed.
        """

    def wait(self, futures: Collection[Future[Any]], timeout: float | None) -> set[Future[Any]]:
        """Wait until one of ``futures`` is done; return all that are.

        Parameters
        ----------
        futures : collection of Future
        timeout : float or None
            Seconds after which to return an empty set; None: no limit.
        """

    def close(self, kill: bool = False) -> None:
        """Wait for all functions that were submitted, and end all processes.

        Parameters
        ----------
        kill : bool, default False
            Instead of waiting, cancel functions that haven't started, and kill those that run with
            their child processes.
        """


class ProcessDied(OrionHpcError):
    """The process in which a function ran ended before the function returned.

    Parameters
    ----------
    message : str
    cause : str
        ``KILLED`` or ``OUT_OF_MEMORY`` of :mod:`orion_hpc.model.trial_record`.
    exit_status : int or None
        The exit code, or the negative number of the signal that killed it; None if unknown.

    Examples
    --------
    >>> from orion_hpc.executors.base import ProcessDied
    >>> print(ProcessDied.of(-11, oom_killed=False))
    the trial's process died with SIGSEGV
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
        """Return the error for a process that ended with ``exit_status``.

        Parameters
        ----------
        exit_status : int or None
            As in the class.
        oom_killed : bool
            Whether the kernel's out-of-memory killer killed processes at that time.
        """
        if exit_status == -signal.SIGKILL and oom_killed:
            message = "the trial's process was killed by the kernel: out of memory"
            return cls(message, OUT_OF_MEMORY, exit_status)
        return cls(f"the trial's process {death_notice(exit_status)}", KILLED, exit_status)


class ExecutorLost(OrionHpcError):
    """The executor can't run functions any more, because its cluster is gone for example.

    No trial is at fault.
    """


def death_notice(exit_status: int | None) -> str:
    """Return an exit status in words: ``'died with SIGSEGV'``, ``'exited with code 3'``."""
    if exit_status is None:
        return "died"
    if exit_status >= 0:
        return f"exited with code {exit_status}"
    try:
        return f"died with {signal.Signals(-exit_status).name}"
    except ValueError:  # a real-time signal
        return f"died with signal {-exit_status}"


def check_executor(name: str, n_workers: int, options: Collection[str] = ()) -> None:
    """Check the name and the arguments of an executor, without starting it.

    Parameters
    ----------
    name : str
    n_workers : int
        How many functions it would run at once.
    options : collection of str
        The names of its options.

    Raises
    ------
    ConfigurationError
        There is no executor of that name, it can't run ``n_workers`` at once, or it lacks an
        option.
    """
    _check_options(name, _find(name), options)
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


def _find(name: str) -> Any:
    """Return the executor of that name; raise ConfigurationError if there is none."""
    lower = name.lower() if isinstance(name, str) else name
    known = _ORIONS.get(lower, lower)
    return load("executor", known if known in BUILTIN else name, BUILTIN)


def check_backend(
    executor: str, backend: str, known: Collection[str], orions: Mapping[str, str]
) -> str:
    """Return the backend by the name that this package has for it.

    Parameters
    ----------
    executor, backend : str
    known : collection of str
        The executor's backends.
    orions : mapping of str to str
        Of Oríon's names for them, those that differ.

    Raises
    ------
    ConfigurationError
        There is no such backend.
    """
    backend = orions.get(backend, backend)
    if backend not in known:
        raise ConfigurationError(
            f"the executor {executor!r} has no backend {backend!r}{did_you_mean(backend, known)}",
            f"There are: {', '.join(known)}.",
        )
    return backend


def runs_in_process(name: str) -> bool:
    """Return whether the executor runs trials in the worker's own process.

    Raises
    ------
    ConfigurationError
        There is no executor of that name.
    """
    return bool(getattr(_find(name), "in_process", False))


def make_executor(name: str, n_workers: int, cpus: int, **options: Any) -> Executor:
    """Return a new executor.

    Parameters
    ----------
    name : str
        ``joblib``, ``dask``, ``poolexecutor``, ``single``, or a third party's.
    n_workers : int
        How many functions run at once.
    cpus : int
        How many CPUs they share.
    **options
        The executor's own: ``backend`` of ``joblib``, ``address`` of ``dask``, ….

    Raises
    ------
    ConfigurationError
        As :func:`check_executor` does; or a library that it needs isn't installed.

    Examples
    --------
    >>> from orion_hpc.executors.base import make_executor
    >>> executor = make_executor("single", n_workers=1, cpus=1)
    >>> executor.submit(abs, -3).result()
    3
    """
    check_executor(name, n_workers, options)
    executor: Executor = _find(name)(n_workers, cpus, **options)
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
