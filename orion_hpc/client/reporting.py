"""Reports results from inside a script that ``command:`` runs; Oríon's functions of these names.

Outside of a trial they print what they would report, so that the script runs by itself as well.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from orion_hpc.errors import OrionHpcError
from orion_hpc.model.result import check_results
from orion_hpc.sharedfs.atomic import new_file

PATH = "ORION_HPC_RESULTS_PATH"
"""The variable that names the file for the results."""

_reported = False


class ReportedTwice(OrionHpcError, RuntimeError):
    """A trial reports its results once."""


def report_objective(objective: float, name: str = "objective") -> None:
    """Report the number to be minimised.

    Raises
    ------
    InvalidResult
        It isn't a finite number.
    ReportedTwice
        Something was reported before.
    """
    report_results([{"name": name, "type": "objective", "value": objective}])


def report_bad_trial(
    objective: float = 1e10,
    name: str = "objective",
    data: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Report a bad objective, for hyperparameters with which there is none; ``data`` are further
    results."""
    report_results([{"name": name, "type": "objective", "value": objective}, *(data or ())])


def report_results(data: Sequence[Mapping[str, Any]]) -> None:
    """Report results: mappings with ``name``, ``type`` and ``value``, at least one of them an
    objective.

    Raises
    ------
    InvalidResult
        They aren't results.
    ReportedTwice
        Something was reported before.
    """
    global _reported
    results = check_results(list(data))
    if _reported:
        raise ReportedTwice("this trial has reported its results already", "Report them once.")
    path = os.environ.get(PATH)
    if path is None:
        sys.stdout.write(f"{json.dumps(results)}\n")
    else:
        # Whole or not at all: the trial may be killed at any time.
        with new_file(path, replace=True, durable=False) as file:
            file.write(json.dumps(results).encode())
    _reported = True
