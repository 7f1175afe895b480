"""Which executor a client runs trials with: chosen by name and options, or given."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from orion_hpc.errors import ConfigurationError
from orion_hpc.executors.base import Executor, check_executor, make_executor, runs_in_process
from orion_hpc.worker.job import available_cpus


class ExecutorChoice:
    """An executor that is made when trials are to be run.

    Parameters
    ----------
    executor : str or Executor
        A name, or an object that has the methods of :class:`orion_hpc.executors.base.Executor`,
        which stays the caller's to close; but a run that is interrupted ends what runs there by
        closing it.
    n_workers : int, optional
        Of a named one: the processes that it may use. Trials that run at once share them, so that
        with 10 of them and 2 trials each trial has 5 for its own inner tasks. -1 or None: the CPUs
        of this job or machine.
    **options
        Of a named one: its own.

    Raises
    ------
    ConfigurationError
        There is no executor of that name.
    """

    def __init__(
        self, executor: str | Executor, n_workers: int | None = None, **options: Any
    ) -> None:
        self.options: Mapping[str, Any] = options
        self._given: Executor | None = None
        self._kept: Executor | None = None
        self._lock = threading.Lock()
        if isinstance(executor, str):
            self.name = executor
            self.asked = None if n_workers in (None, -1) else n_workers
            check_executor(executor, 1 if self.asked is None else self.asked, options)
        elif n_workers is not None or options:
            raise ConfigurationError(
                "n_workers and options are for an executor that is chosen by its name",
                "Make the executor with them, and pass it alone.",
            )
        elif all(hasattr(executor, name) for name in ("submit", "wait", "close", "n_workers")):
            self._given = executor
            self.name = type(executor).__name__
            self.asked = executor.n_workers
        else:
            raise ConfigurationError(
                f"{executor!r:.100} isn't an executor",
                "Give a name, such as 'joblib', or an object like those in orion_hpc.executors.",
            )

    @property
    def is_given(self) -> bool:
        """Whether it is an object of the caller's."""
        return self._given is not None

    @property
    def n_workers(self) -> int:
        """How many processes it may use."""
        if self.asked is not None:
            return self.asked
        return 1 if runs_in_process(self.name) else available_cpus(os.environ)

    def take(self, trials: int) -> Executor:
        """Return an executor for so many trials at once; nobody else has it, but for a given one.

        :meth:`give_back` has to follow.
        """
        if self._given is not None:
            return self._given
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None:
            if kept.n_workers == trials:
                return kept
            kept.close()
        return make_executor(self.name, trials, max(self.n_workers, trials), **self.options)

    def give_back(self, executor: Executor, keep: bool) -> None:
        """Keep the executor for the next time, or end its processes and what they run."""
        if executor is self._given:
            return
        with self._lock:
            if keep and self._kept is None:
                self._kept = executor
                return
        executor.close(kill=not keep)

    def close(self) -> None:
        """End the processes of the one that is kept."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def __repr__(self) -> str:
        return f"<executor {self.name!r}, n_workers={self.n_workers}>"
