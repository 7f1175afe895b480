"""Checks what an experiment runs before any job does: the function or command, and the executor."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from orion_hpc.config.settings import Settings
from orion_hpc.executors.base import check_executor
from orion_hpc.worker.function import check_signature, load_function
from orion_hpc.worker.script import check_placeholders


def check_settings(settings: Settings) -> None:
    """Find what would only come to light in a job: nothing is written.

    Raises
    ------
    ConfigurationError
        The function can't be imported or doesn't take the hyperparameters, a placeholder of the
        command is unknown, or the executor isn't there.
    """
    space = settings.parsed_space()
    check_executor(settings.worker.executor, settings.worker.n_workers)
    if settings.command is not None:
        check_placeholders(settings.command, list(space))
    elif settings.function is not None:
        with _no_bytecode():
            function = load_function(str(settings.directory), settings.function)
        check_signature(function, space.arguments, settings.kwargs, settings.trial_arg)


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """A check leaves nothing in the user's directory, not even ``__pycache__``."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
