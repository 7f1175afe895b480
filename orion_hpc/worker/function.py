"""Calls the user's function with a trial's hyperparameters, and checks beforehand that it can.

How it is imported is left to ``loading``, the trial as its argument to ``handle``, and its return
value to ``attempt``.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.worker.handle import TrialHandle
from orion_hpc.worker.loading import load_function
from orion_hpc.worker.portable import name_of, unpack
from orion_hpc.worker.task import CallableTarget, FunctionTarget, TrialTask

__all__ = ["TrialHandle", "call_function", "check_signature", "load_function"]

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def call_function(target: FunctionTarget | CallableTarget, task: TrialTask) -> Any:
    """Return what the function returns. The hyperparameters are its own to change."""
    if isinstance(target, FunctionTarget):
        function = load_function(target.path, target.name)
        arguments = copy.deepcopy({**task.params, **target.kwargs})
    else:
        found = target.function
        function = unpack(found) if isinstance(found, bytes) else found
        arguments = copy.deepcopy(task.params)
    if target.trial_arg is not None:
        arguments[target.trial_arg] = TrialHandle(task)
    return function(**arguments)


def check_signature(
    function: Callable[..., Any],
    names: Sequence[str],
    kwargs: Mapping[str, Any],
    trial_arg: str | None,
) -> None:
    """Check that ``function`` takes the arguments that a trial would call it with.

    Parameters
    ----------
    function : callable
    names : sequence of str
        The hyperparameters' names on the space's top level.
    kwargs : mapping
        The constant arguments.
    trial_arg : str or None
        The argument for the trial itself.

    Raises
    ------
    ConfigurationError
        It takes no such argument, or needs one that isn't given.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return  # some functions written in C have no signature
    title = f"the function {name_of(function)}"
    given = dict.fromkeys(names, "the space")
    given |= dict.fromkeys(kwargs, "kwargs")
    if trial_arg is not None:
        given[trial_arg] = "trial_arg"
    taken = [parameter.name for parameter in parameters if parameter.kind in _BY_NAME]
    free = [name for name in taken if name not in given]
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    for name, source in given.items():
        if name not in taken and not anything:
            raise ConfigurationError(
                f"{title} takes no argument {name!r}, which {source} gives"
                f"{did_you_mean(name, free)}",
                f"It takes {', '.join(taken) or 'none'}.",
            )
    for parameter in parameters:
        if parameter.default is not parameter.empty:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(
                f"{title} takes {parameter.name!r} by position only",
                "Hyperparameters are passed by name: remove the '/' from its arguments.",
            )
        if parameter.kind in _BY_NAME and parameter.name not in given:
            raise ConfigurationError(
                f"{title} needs an argument {parameter.name!r}, which neither the space nor kwargs "
                "gives",
                "Add it to the space or to kwargs, or give it a default.",
            )
