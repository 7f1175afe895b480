"""The placeholders of a command: ``{lr}``, ``{optimizer.lr}``, ``{trial.id}``; pure.

``{{`` and ``}}`` stand for braces. No shell, and no ``str.format``, whose fields reach into
attributes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.model.trial_record import Params
from orion_hpc.worker.task import hash_params_of

OTHERS = (
    "trial.id",
    "trial.number",
    "trial.hash_params",
    "trial.working_dir",
    "exp.name",
    "exp.version",
    "exp.working_dir",
)
"""Placeholders for the trial itself and its experiment; a hyperparameter of that name comes first.

All but ``trial.number`` are Oríon's.
"""

_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")


def check_placeholders(argv: Sequence[str], names: Sequence[str]) -> list[str]:
    """Check that every placeholder of ``argv`` can be filled; return the names without one.

    Those are no error: a program may read ``ORION_HPC_PARAMS``.

    Parameters
    ----------
    argv : sequence of str
        The command.
    names : sequence of str
        Flat names of the hyperparameters.

    Raises
    ------
    ConfigurationError
        A placeholder is unknown, a brace stands alone, or the command is empty.
    """
    if not argv or not argv[0].strip():
        raise ConfigurationError("the command is empty", "Write [program, argument, …].")
    used: set[str] = set()

    def look(name: str) -> str:
        if name not in names and name not in OTHERS:
            known = [*names, *OTHERS]
            raise ConfigurationError(
                f"the command has an unknown placeholder {{{name}}}{did_you_mean(name, known)}",
                f"There are: {', '.join(known)}. Braces are written {{{{ and }}}}.",
            )
        used.add(name)
        return ""

    for word in argv:
        _replace(word, look)
    return [name for name in names if name not in used]


def trial_values(
    id: str,
    number: int,
    params: Params,
    fidelity: str | None,
    working_dir: str,
    experiment: str,
    version: int,
) -> dict[str, Any]:
    """Return the values of all placeholders for one trial.

    Parameters
    ----------
    id, number
        The trial's.
    params : mapping of str to object
        By flat name.
    fidelity : str or None
        The name of the fidelity among them.
    working_dir : str
        The trial's.
    experiment, version
        The experiment's name and version.
    """
    return {
        "trial.id": id,
        "trial.number": number,
        "trial.hash_params": hash_params_of(params, fidelity),
        "trial.working_dir": working_dir,
        "exp.name": experiment,
        "exp.version": version,
        "exp.working_dir": os.path.dirname(working_dir),
        **params,
    }


def fill(argv: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return the command with ``values`` in place of their names.

    Text goes in as it is, a list as JSON, anything else as Python writes it.
    """

    def text(name: str) -> str:
        if name not in values:
            raise ConfigurationError(f"the command has an unknown placeholder {{{name}}}")
        value = values[name]
        return json.dumps(value) if isinstance(value, list | tuple | dict) else str(value)

    return [_replace(word, text) for word in argv]


def _replace(word: str, of: Callable[[str], str]) -> str:
    def one(match: re.Match[str]) -> str:
        token = match[0]
        if token in ("{{", "}}"):
            return token[0]
        if match["name"] is None:
            raise ConfigurationError(
                f"the command has a single {token!r} in {word!r}", f"Write {token * 2} for a brace."
            )
        return of(match["name"].strip())

    return _TOKEN.sub(one, word)
