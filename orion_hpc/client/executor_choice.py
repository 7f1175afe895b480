"""The executor that a client runs trials with: chosen by name and options, or given as an object.

How executors work is described in :mod:`orion_hpc.executors.base`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, NoReturn

from orion_hpc.client.arguments import check_count
from orion_hpc.errors import ConfigurationError
from orion_hpc.executors.base import Executor, check_executor, make_executor, runs_in_process
from orion_hpc.worker.job import available_cpus
from orion_hpc.worker.portable import pack, unpack

log = logging.getLogger(__name__)

_PROTOCOL = ("submit", "wait", "close", "n_workers", "in_process")
"""The attributes of every executor."""


@dataclass(frozen=True, slots=True)
class AsyncResult:
    """What a function that was submitted returned."""

    future: Future[Any]
    value: Any


@dataclass(frozen=True, slots=True)
class AsyncException:
    """What a function that was submitted raised; :attr:`value` raises it."""

    future: Future[Any]
    exception: BaseException

    @property
    def value(self) -> NoReturn:
        """Raise the exception."""
        raise self.exception


class ExecutorChoice:
    """An executor that is created when trials are run.

    Parameters
    ----------
    executor : str or Executor
        A name, or an object with the methods of :class:`orion_hpc.executors.base.Executor`. The
        caller closes such an object; but a run that is interrupted closes it too, to end what
        runs there.
    n_workers : int, optional
        How many processes an executor chosen by name may use. Trials that run at once share them:
        with 10 processes and 2 trials, each trial has 5 for its inner tasks. -1 or None: the CPUs
        of this job or machine.
    **options
        The options of an executor chosen by name.

    Raises
    ------
    ConfigurationError
        There is no executor of that name, or it lacks an option.
    """

    def __init__(
        self, executor: str | Executor, n_workers: int | None = None, **options: Any
    ) -> None:
        self.options: Mapping[str, Any] = options
        self._given: Executor | None = None
        self._kept: Executor | None = None
        self._own: Executor | None = None
        self._lock = threading.Lock()
        if isinstance(executor, str):
            self.name = executor
            self.requested = None if n_workers in (None, -1) else n_workers
            check_executor(executor, 1 if self.requested is None else self.requested, options)
        elif n_workers is not None or options:
            raise ConfigurationError(
                "n_workers and options are for an executor that is chosen by its name",
                "Make the executor with them, and pass it alone.",
            )
        elif all(hasattr(executor, name) for name in _PROTOCOL):
            self._given = executor
            self.name = type(executor).__name__
            self.requested = executor.n_workers
        else:
            raise ConfigurationError(
                f"{executor!r:.100} isn't an executor",
                "Give a name, such as 'joblib', or an object like those in orion_hpc.executors.",
            )

    @property
    def is_given(self) -> bool:
        """Whether the caller gave an object."""
        return self._given is not None

    @property
    def n_workers(self) -> int:
        """How many processes the executor may use."""
        if self.requested is not None:
            return self.requested
        return 1 if runs_in_process(self.name) else available_cpus(os.environ)

    def trials_at_once(self, n_workers: int | None, default: int) -> int:
        """Return how many trials run at once.

        Parameters
        ----------
        n_workers : int, optional
            What the caller of ``workon`` wants; -1: as many as the executor has processes.
        default : int
            Used if neither the caller nor the executor gives a number.

        Raises
        ------
        ConfigurationError
            ``n_workers`` is no such number.
        """
        check_count("n_workers", None if n_workers == -1 else n_workers, least=1)
        if n_workers is None:
            return self.requested or default
        wanted = self.n_workers if n_workers == -1 else n_workers
        if self.requested is not None and wanted > self.requested:
            log.warning(
                "n_workers=%d of workon is more than the executor's %d, which is taken instead",
                wanted, self.requested,
            )  # fmt: skip
            return self.requested
        return wanted

    def take(self, trials: int) -> Executor:
        """Return an executor for so many trials at once.

        Only the caller uses it, unless it is one that was given. :meth:`give_back` must follow.
        """
        if self._given is not None:
            return self._given
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None:
            if kept.n_workers == trials:
                return kept
            kept.close()
        return self._make(trials)

    def give_back(self, executor: Executor, keep: bool) -> None:
        """Keep the executor for the next run, or kill its processes and what they run."""
        if executor is self._given:
            return
        with self._lock:
            if keep and self._kept is None:
                self._kept = executor
                return
        executor.close(kill=not keep)

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Run ``function(*args, **kwargs)`` beside the trials, as Oríon's executors do.

        Returns
        -------
        concurrent.futures.Future
        """
        with self._lock:
            own = self._own = self._own or self._given or self._make(self.n_workers)
        here = own.in_process or getattr(own, "shares_memory", False)
        return own.submit(_call, (function if here else pack(function), args, kwargs))

    def wait(self, futures: Iterable[Future[Any]]) -> list[Any]:
        """Return what the functions returned, in the order of ``futures``.

        If one of them raised an exception, it is raised here.
        """
        return [future.result() for future in futures]

    def async_get(
        self, futures: list[Future[Any]], timeout: float | None = None
    ) -> list[AsyncResult | AsyncException]:
        """Return what has ended, and take it out of ``futures``.

        Parameters
        ----------
        futures : list of Future
        timeout : float, optional
            Seconds to wait for the first of them, by default without an end.
        """
        done = wait(futures, timeout, return_when=FIRST_COMPLETED).done
        ended = [future for future in futures if future in done]
        futures[:] = [future for future in futures if future not in done]
        return [_outcome(future) for future in ended]

    def close(self) -> None:
        """End the processes of the executors that are kept."""
        with self._lock:
            kept, self._kept = self._kept, None
            own, self._own = self._own, None
        for one in (kept, own):
            if one is not None and one is not self._given:
                one.close()

    def __enter__(self) -> ExecutorChoice:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _make(self, trials: int) -> Executor:
        return make_executor(self.name, trials, max(self.n_workers, trials), **self.options)

    def __repr__(self) -> str:
        return f"<executor {self.name!r}, n_workers={self.n_workers}>"


def _call(call: tuple[Callable[..., Any] | bytes, tuple[Any, ...], dict[str, Any]]) -> Any:
    function, args, kwargs = call
    return (unpack(function) if isinstance(function, bytes) else function)(*args, **kwargs)


def _outcome(future: Future[Any]) -> AsyncResult | AsyncException:
    error = future.exception()
    if error is None:
        return AsyncResult(future, future.result())
    return AsyncException(future, error)
