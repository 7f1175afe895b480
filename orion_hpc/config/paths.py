"""Converts paths of the database and of working directories into absolute ones.

Accesses no file; the storage checks whether a path can be used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orion_hpc.config.slurm_formats import InvalidValue
from orion_hpc.errors import did_you_mean

DEFAULT_STORAGE = "./db.pkl"

_ELSEWHERE = ("mongodb", "ephemeraldb", "track", "sqlite", "mysql", "postgresql")


def absolute_path(value: Any, base: Path) -> str:
    """Return ``value`` as an absolute path: ``~`` and variables expanded, relative to ``base``.

    Raises
    ------
    InvalidValue
        It isn't a path, or it names a variable or a user that doesn't exist.
    """
    if not isinstance(value, str | os.PathLike) or not (text := os.fspath(value)):
        raise InvalidValue("expected a path")
    if not isinstance(text, str) or not text.isprintable():
        raise InvalidValue("expected a path of printable characters")
    expanded = os.path.expanduser(os.path.expandvars(text))
    # expandvars keeps an unset variable: "$SCRATCH/db.pkl" would create a directory "$SCRATCH".
    if unset := re.search(r"\$(?:\{(\w+)\}|(\w+))", expanded):
        name = unset.group(1) or unset.group(2)
        raise InvalidValue(f"the environment variable {name} isn't set")
    if expanded.startswith("~"):
        raise InvalidValue(f"there is no user {expanded.partition('/')[0][1:]!r} on this machine")
    return os.path.abspath(base / expanded)


def storage_path(value: Any, base: Path) -> str:
    """Return the absolute path of the database in ``value``.

    Scripts and logs of jobs lie beside it: a line break would end the #SBATCH line, and a backslash
    disables the placeholders in a log's name (sbatch(1), filename pattern).

    ``value`` is a path, ``{type: pickleddb, host: path}``, or that in Oríon's wrapper
    ``{type: legacy, database: {…}}``. Case doesn't matter in the types.

    Raises
    ------
    InvalidValue
        It has another form, names another kind of database, or has such a character.
    """
    if not isinstance(value, Mapping):
        path = absolute_path(value, base)
        if re.search(r"[\x00-\x1f\x7f-\x9f\\]", path):
            raise InvalidValue(
                f"{path!r} has a control character or a backslash in it, which sbatch can't do with"
            )
        return path
    kind = str(value.get("type", "pickleddb")).lower()
    if kind == "legacy":
        _only(value, ("type", "database"))
        inner = value.get("database", {})
        if not isinstance(inner, Mapping):
            raise InvalidValue(
                "expected a mapping in database, as in {type: pickleddb, host: ./db.pkl}"
            )
        if str(inner.get("type", "")).lower() == "legacy":
            raise InvalidValue("expected the type pickleddb in database")
        return storage_path(inner, base)
    if kind != "pickleddb":
        guess = "" if kind in _ELSEWHERE else did_you_mean(kind, ["pickleddb", "legacy"])
        raise InvalidValue(
            f"there is no storage of type {kind!r}{guess}: there is pickleddb, a file"
        )
    _only(value, ("type", "host"))
    host = value.get("host", DEFAULT_STORAGE)
    if isinstance(host, Mapping):
        raise InvalidValue("expected a path in host, as in {type: pickleddb, host: ./db.pkl}")
    return storage_path(host, base)


def _only(mapping: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for key in mapping:
        if key not in known:
            guess = did_you_mean(str(key), known)
            raise InvalidValue(f"unknown key {str(key)!r}{guess}: there are {' and '.join(known)}")
