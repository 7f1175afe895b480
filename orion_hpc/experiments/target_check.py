"""Checks the function or command of an experiment, and its executor, before a job is submitted."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.executors.base import check_executor
from orion_hpc.worker.function import check_signature, load_function
from orion_hpc.worker.script import check_placeholders


def check_target(spec: ExperimentSpec) -> None:
    """Raise the errors that would otherwise only occur in a job; write nothing.

    Raises
    ------
    ConfigurationError
        The function can't be imported or doesn't accept the hyperparameters, a placeholder of the
        command is unknown, or the executor isn't available.
    """
    check_executor(spec.worker.executor, spec.worker.n_workers)
    if spec.command is not None:
        check_placeholders(spec.command, list(spec.space))
    elif spec.function is not None:
        with _no_bytecode():
            function = load_function(spec.directory, spec.function)
        check_signature(function, spec.space.arguments, spec.kwargs, spec.trial_arg)


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Import without writing ``__pycache__`` into the user's directory."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
