"""Reads the documents in the file of Oríon's ``PickledDB``, and checks the names in it.

Oríon 0.2.x writes one pickle of an ``EphemeralDB``: ``_db`` maps the name of a collection
(``experiments``, ``trials``, ``algo``, …) to an ``EphemeralCollection``, whose ``_documents`` are
``EphemeralDocument``; a document's ``_data`` maps flat names (``space.lr``) to values. Files of
0.2.7 have these three names, ``collections.defaultdict`` and ``datetime``; the state of an
algorithm is a pickle in the pickle, which stays bytes here. Names of numpy are allowed because an
option of an algorithm may be a number of numpy. With any other name the file isn't Oríon's.

:mod:`orion_hpc.importers.orion.inert_values` converts the values, and
:mod:`orion_hpc.importers.orion.experiment_documents` the documents.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from typing import Any

from orion_hpc.errors import ImportRefused
from orion_hpc.importers.orion.inert_pickle import Global, NotInert, Record, load
from orion_hpc.journal import framing

MOST_BYTES = 256 * 1024 * 1024
"""The largest file. Oríon writes about 3 kB for a trial, and rewrites the file at every step: with
a file of this size a step would take minutes."""

_ORION = "orion.core.io.database.ephemeraldb"
_NAMES = frozenset(
    (
        *((_ORION, name) for name in ("EphemeralDB", "EphemeralCollection", "EphemeralDocument")),
        *(("collections", name) for name in ("defaultdict", "OrderedDict")),
        *(("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")),
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        *(
            (f"numpy.{core}.{module}", name)
            for core in ("core", "_core")
            for module in ("multiarray", "numeric")
            for name in ("scalar", "_reconstruct", "_frombuffer")
        ),
    )
)
_HINT = (
    "Nothing in it was run. A database of Oríon 0.2 is the file that its storage names as 'host'."
)


def read_documents(path: str) -> dict[str, list[dict[str, Any]]]:
    """Return the documents in the database file at ``path``, by the name of their collection.

    Returns
    -------
    dict
        ``experiments`` and ``trials``, each a list of documents: a dict by flat name, whose values
        are inert data, for :class:`~orion_hpc.importers.orion.inert_values.ValueConverter`.

    Raises
    ------
    ImportRefused
        There is no such file, it can't be read, or it is something else. Nothing in it was run.
    """
    data = _read(path)
    if not data:
        raise ImportRefused(f"{path} is empty", _HINT)
    if data.startswith(framing.MAGIC):
        raise ImportRefused(
            f"{path} is a database of orion-hpc already",
            f"'orion-hpc status --storage {shlex.quote(path)}' shows what is in it.",
        )
    try:
        return _documents(load(data, lambda name: name in _NAMES or _is_random(name)))
    except NotInert as error:
        raise ImportRefused(f"{path} isn't a database of Oríon: {error}", _HINT) from None


def _is_random(name: Global) -> bool:
    """Return whether it is one of numpy's random generators, which differ between versions."""
    return name.module.startswith("numpy.random.")


def _read(path: str) -> bytes:
    # O_NONBLOCK: opening a FIFO would block for ever.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise ImportRefused(f"{path} isn't a file", _HINT)
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImportRefused(f"can't read {path}: {reason}", "Check the path.") from error
    if len(data) > MOST_BYTES:
        raise ImportRefused(
            f"{path} is larger than {MOST_BYTES >> 20} MiB; no database of Oríon is", _HINT
        )
    return data


def _documents(root: Any) -> dict[str, list[dict[str, Any]]]:
    database = _state(root, "EphemeralDB").get("_db")
    if isinstance(database, Record):
        database = database.items
    if not isinstance(database, dict):
        raise NotInert("it holds no collections")
    found = {}
    for name in ("experiments", "trials"):
        documents: Any = []
        if name in database:
            documents = _state(database[name], "EphemeralCollection").get("_documents")
        if not isinstance(documents, list):
            raise NotInert(f"its collection {name} holds no documents")
        found[name] = [_data(document) for document in documents]
    return found


def _state(record: Any, name: str) -> dict[str, Any]:
    if isinstance(record, Record) and record.kind == (_ORION, name):
        if isinstance(record.state, dict):
            return record.state
        raise NotInert(f"its {name} is empty")
    raise NotInert(f"there is no {name} where one belongs")


def _data(document: Any) -> dict[str, Any]:
    data = _state(document, "EphemeralDocument").get("_data")
    if not isinstance(data, dict):
        raise NotInert("a document in it holds no data")
    return data


def block(document: Mapping[str, Any], name: str) -> Any:
    """Return the value of ``name`` in a flat document, or a dict of all names below it.

    None where there is neither.
    """
    if name in document:
        return document[name]
    start = f"{name}."
    found = {key[len(start) :]: value for key, value in document.items() if key.startswith(start)}
    return found or None
