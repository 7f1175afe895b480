"""Checks of several settings together: missing ones, exclusive ones, the space, the algorithm.

They check the merged values before validation, so that one error reports all problems of a
configuration. Values of a wrong type are reported by the models.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from orion_hpc.algorithms.factory import make_algorithm, normalise
from orion_hpc.config.provenance import Problem
from orion_hpc.errors import AlgorithmError, ConfigurationError
from orion_hpc.model.space import Space

NEEDS = frozenset(("name", "space", "run"))
"""The required settings of an experiment; ``run`` is a function or a command."""


def check(values: Mapping[str, Any], needs: Collection[str]) -> tuple[Space | None, list[Problem]]:
    """Return the parsed space, and the problems of ``values``.

    Parameters
    ----------
    values : mapping
        The merged settings.
    needs : collection of str
        The required ones of :data:`NEEDS`.

    Returns
    -------
    space : Space or None
        None if it is missing or wrong.
    problems : list of Problem
    """
    space, faults = _space(values.get("space"))
    return space, [
        *_missing(values, needs),
        *_excluded(values),
        *faults,
        *_names(values),
        *(_algorithm(values, space if "space" in needs else None) if needs else ()),
    ]


def _missing(values: Mapping[str, Any], needs: Collection[str]) -> list[Problem]:
    found = []
    if "name" in needs and "name" not in values:
        found.append(Problem((), "name is missing", "Add a line such as 'name: my-search'."))
    if "space" in needs and "space" not in values:
        hint = "Add a mapping of names to priors, such as 'space: {lr: \"loguniform(1e-5, 1)\"}'."
        found.append(Problem((), "space is missing", hint))
    if "run" in needs and "function" not in values and "command" not in values:
        hint = (
            "Add what a trial runs: 'function: module:function' or 'command: [python, train.py]'."
        )
        found.append(Problem((), "function (or command) is missing", hint))
    return found


def _excluded(values: Mapping[str, Any]) -> list[Problem]:
    found = []
    if "function" in values and "command" in values:
        message = "function and command are both given; a trial runs one of them"
        found.append(Problem(("command",), message, "Keep either function or command."))
    elif "command" in values:
        for key in ("kwargs", "trial_arg"):
            if values.get(key):
                message = f"{key} is given with a command; only a function has arguments"
                found.append(Problem((key,), message, "Write constants into the command."))
    slurm = values.get("slurm")
    if isinstance(slurm, Mapping) and "mem" in slurm and "mem_per_cpu" in slurm:
        message = "slurm.mem and slurm.mem_per_cpu are both given; sbatch takes one of them"
        found.append(Problem(("slurm", "mem_per_cpu"), message, "Keep either mem or mem_per_cpu."))
    return found


def _space(priors: Any) -> tuple[Space | None, list[Problem]]:
    if not isinstance(priors, Mapping):
        return None, []
    if not priors:
        hint = "Add at least one dimension, such as 'lr: \"loguniform(1e-5, 1)\"'."
        return None, [Problem(("space",), "space is empty", hint)]
    space, faults = Space.read(priors)
    return space, [
        Problem(
            ("space",) if fault.key is None else ("space", str(fault.key)),
            fault.error.message,
            fault.error.hint,
        )
        for fault in faults
    ]


def _names(values: Mapping[str, Any]) -> list[Problem]:
    """Check that each argument of the function is one of a dimension, a constant or the trial."""
    space, kwargs, trial_arg = (values.get(key) for key in ("space", "kwargs", "trial_arg"))
    # {"a.b": prior} reaches the function as the argument "a", like {"a": {"b": prior}}.
    dimensions = (
        {str(name).partition(".")[0] for name in space} if isinstance(space, Mapping) else set()
    )
    constants = set(kwargs) if isinstance(kwargs, Mapping) else set()
    found = [
        Problem(
            ("kwargs", str(name)),
            f"kwargs.{name} is also a dimension of the space",
            f"Remove {name} from kwargs or from the space.",
        )
        for name in constants & dimensions
    ]
    if isinstance(trial_arg, str) and trial_arg in dimensions | constants:
        other = "a dimension of the space" if trial_arg in dimensions else "a constant in kwargs"
        message = f"trial_arg names {trial_arg!r}, which is also {other}"
        found.append(
            Problem(("trial_arg",), message, "Give the argument for the trial another name.")
        )
    return found


def _algorithm(values: Mapping[str, Any], space: Space | None) -> list[Problem]:
    """Check the algorithm's options, and that it can search ``space``, by constructing it."""
    algorithm = values.get("algorithm")
    if not isinstance(algorithm, str | Mapping):
        return []
    try:
        options = normalise(algorithm)
        if space is not None:
            make_algorithm(options, space)
    except (AlgorithmError, ConfigurationError) as error:
        return [Problem(("algorithm",), error.message, error.hint)]
    return []
