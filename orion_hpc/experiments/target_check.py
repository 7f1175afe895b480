"""Checks what trials run, where they write, and their executor, before a job is submitted."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.errors import ConfigurationError
from orion_hpc.executors.base import check_executor
from orion_hpc.experiments.command_check import check_command
from orion_hpc.worker.function import check_signature, load_function
from orion_hpc.worker.script import check_placeholders


def check_target(spec: ExperimentSpec, same_path: bool = True) -> None:
    """Raise the errors that would otherwise only occur in a job; write nothing.

    ``same_path``: whether jobs have the PATH of this process.

    Raises
    ------
    ConfigurationError
        The function can't be imported or doesn't accept the hyperparameters, a placeholder of the
        command is unknown, its program or script can't be run, the trials' directories can't be
        created, or the executor isn't available.
    """
    if spec.working_dir is not None:
        _check_folder(spec.working_dir)
    check_executor(spec.worker.executor, spec.worker.n_workers)
    if spec.command is not None:
        check_placeholders(spec.command, list(spec.space))
        check_command(spec.command, spec.directory, same_path)
    elif spec.function is not None:
        with _no_bytecode():
            function = load_function(spec.directory, spec.function)
        check_signature(function, spec.space.arguments, spec.kwargs, spec.trial_arg)


def _check_folder(path: str) -> None:
    """Raise ConfigurationError unless folders can be created in ``path``."""
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise ConfigurationError(
            f"working_dir is {path!r}; {there} isn't a directory", "Give another one."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        missing = "" if there == path else "it doesn't exist, and "
        raise ConfigurationError(
            f"working_dir is {path!r}; {missing}you may not write to {there}",
            "Give a directory of yours that all nodes see.",
        )


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Import without writing ``__pycache__`` into the user's directory."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
