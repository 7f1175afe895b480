"""Where the database and the working directories are, as one absolute path however it is written.

Touches no file. Whether a path can serve is found out by the storage.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orion_hpc.config.forms import Malformed
from orion_hpc.errors import did_you_mean

DEFAULT_STORAGE = "./db.pkl"

_ELSEWHERE = ("mongodb", "ephemeraldb", "track", "sqlite", "mysql", "postgresql")


def absolute_path(value: Any, base: Path) -> str:
    """Return ``value`` as an absolute path: ``~`` and variables expanded, relative to ``base``.

    Raises
    ------
    Malformed
        It isn't a path, or it names a variable or a user that doesn't exist.
    """
    if not isinstance(value, str | os.PathLike) or not (text := os.fspath(value)):
        raise Malformed("expected a path")
    if not isinstance(text, str) or not text.isprintable():
        raise Malformed("expected a path of printable characters")
    expanded = os.path.expanduser(os.path.expandvars(text))
    # An unset variable stays as it is written: "$SCRATCH/db.pkl" would make a directory "$SCRATCH".
    if unset := re.search(r"\$(?:\{(\w+)\}|(\w+))", expanded):
        name = unset.group(1) or unset.group(2)
        raise Malformed(f"the environment variable {name} isn't set")
    if expanded.startswith("~"):
        raise Malformed(f"there is no user {expanded.partition('/')[0][1:]!r} on this machine")
    return os.path.abspath(base / expanded)


def storage_path(value: Any, base: Path) -> str:
    """Return the absolute path of the database that ``value`` stands for.

    ``value`` is a path, ``{type: pickleddb, host: path}``, or that in Oríon's wrapper
    ``{type: legacy, database: {…}}``. Case doesn't matter in the types.

    Raises
    ------
    Malformed
        It is none of them, or asks for a database of another kind.
    """
    if not isinstance(value, Mapping):
        return absolute_path(value, base)
    kind = str(value.get("type", "pickleddb")).lower()
    if kind == "legacy":
        _only(value, ("type", "database"))
        inner = value.get("database", {})
        if not isinstance(inner, Mapping):
            raise Malformed(
                "expected a mapping in database, as in {type: pickleddb, host: ./db.pkl}"
            )
        if str(inner.get("type", "")).lower() == "legacy":
            raise Malformed("expected the type pickleddb in database")
        return storage_path(inner, base)
    if kind != "pickleddb":
        guess = "" if kind in _ELSEWHERE else did_you_mean(kind, ["pickleddb", "legacy"])
        raise Malformed(f"there is no storage of type {kind!r}{guess}: there is pickleddb, a file")
    _only(value, ("type", "host"))
    return absolute_path(value.get("host", DEFAULT_STORAGE), base)


def _only(mapping: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for key in mapping:
        if key not in known:
            guess = did_you_mean(str(key), known)
            raise Malformed(f"unknown key {str(key)!r}{guess}: there are {' and '.join(known)}")
