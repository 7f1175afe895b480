"""Finds an implementation by name: built in, or registered by a third party's entry point.

Knows no implementation itself. A built-in name is imported directly, since a look through the
metadata of every installed distribution would cost each worker's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean


def load(kind: str, name: str, builtin: Mapping[str, str]) -> Any:
    """Return the object that ``name`` stands for.

    Parameters
    ----------
    kind : str
        What is looked for, in the singular; entry points are searched in ``orion_hpc.{kind}s``.
    name : str
        As the user wrote it; case doesn't matter.
    builtin : mapping of str to str
        ``name -> "module:attribute"`` of what ships with the package.

    Raises
    ------
    ConfigurationError
        Nobody registered ``name``; the message lists the names there are.
    """
    wanted = name.lower()
    if wanted in builtin:
        module, _, attribute = builtin[wanted].partition(":")
        return getattr(import_module(module), attribute)
    from importlib.metadata import entry_points

    found = {point.name.lower(): point for point in entry_points(group=f"orion_hpc.{kind}s")}
    if wanted in found:
        return found[wanted].load()
    known = sorted({*builtin, *found})
    raise ConfigurationError(
        f"unknown {kind} {name!r}{did_you_mean(wanted, known)}", f"There are: {', '.join(known)}."
    )
