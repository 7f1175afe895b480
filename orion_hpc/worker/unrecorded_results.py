"""Results that couldn't be recorded, kept in the trial's working directory until they can.

A full disk or a lost lock must not cost the hours that a trial took. The worker that finds the
trial without its own looks here first. Plain JSON: the directory is the user's, and so is the file.
"""

from __future__ import annotations

import contextlib
import json
import os

from orion_hpc.model.trial_record import Results
from orion_hpc.sharedfs.atomic import new_file
from orion_hpc.sharedfs.layout import make_folder

_LARGEST = 10_000_000


def keep(folder: str, attempt: int, results: Results) -> str:
    """Write the results of an attempt beside the trial's files; return the path."""
    make_folder(folder)
    path = _path(folder, attempt)
    with new_file(path, replace=True) as file:
        file.write(json.dumps(results).encode())
    return path


def kept(folder: str, attempt: int) -> Results | None:
    """Return the results that were kept of this attempt, or None."""
    try:
        with open(_path(folder, attempt), encoding="utf-8") as file:
            results = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return results if _is_results(results) else None


def forget(folder: str, attempt: int) -> None:
    """Remove what was kept, once it is recorded."""
    with contextlib.suppress(OSError):
        os.unlink(_path(folder, attempt))


def is_kept(name: str) -> bool:
    """Return whether a file of this name holds such results."""
    return name.startswith("unrecorded-") and name.endswith(".json")


def _path(folder: str, attempt: int) -> str:
    return os.path.join(folder, f"unrecorded-{attempt}.json")


def _is_results(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and {"name", "type", "value"} <= one.keys() for one in value
    )
