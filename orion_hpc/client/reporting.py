"""Reporting of results from a script that ``command:`` runs: Oríon's functions of the same names.

Outside of a trial they print the results, so that the script also runs by itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from orion_hpc.errors import OrionHpcError, TrialInterrupted
from orion_hpc.model.result import check_results
from orion_hpc.sharedfs.atomic import new_file
from orion_hpc.worker.script_results import INTERRUPTED_CODE

PATH = "ORION_HPC_RESULTS_PATH"
"""The environment variable with the path of the file for the results."""

_reported = False


class ReportedTwice(OrionHpcError, RuntimeError):
    """A trial reported its results twice."""


def interrupt_trial() -> NoReturn:
    """End this trial as interrupted: it runs again, as another attempt in the same directory.

    A script exits with code 130, as by any other ``sys.exit(130)``. A function raises
    :class:`~orion_hpc.errors.TrialInterrupted`.

    Raises
    ------
    SystemExit
        In a trial that is a command.
    TrialInterrupted
        Elsewhere.

    Examples
    --------
    >>> from orion_hpc.client import interrupt_trial, workon
    >>> def train(x, trial):
    ...     if trial.attempt == 1:
    ...         interrupt_trial()
    ...     return x
    >>> experiment = workon(train, {"x": "choices([4])"}, max_trials=1, trial_arg="trial")
    >>> [(trial.status, trial.attempt) for trial in experiment.fetch_trials()]
    [('completed', 2)]
    """
    if PATH in os.environ:
        sys.exit(INTERRUPTED_CODE)
    raise TrialInterrupted("it called interrupt_trial")


def report_objective(objective: float, name: str = "objective") -> None:
    """Report the number to be minimised.

    Parameters
    ----------
    objective : float
        A finite number.
    name : str, default "objective"

    Raises
    ------
    InvalidResult
        ``objective`` isn't a finite number.
    ReportedTwice
        Results were reported before.

    Examples
    --------
    >>> from orion_hpc.client import report_objective
    >>> report_objective(0.25)
    [{"name": "objective", "type": "objective", "value": 0.25}]
    """
    report_results([{"name": name, "type": "objective", "value": objective}])


def report_bad_trial(
    objective: float = 1e10,
    name: str = "objective",
    data: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Report a bad objective, for hyperparameters that have no real one.

    Parameters
    ----------
    objective : float, default 1e10
        A finite number that is worse than that of any other trial.
    name : str, default "objective"
    data : list of mappings, optional
        Further results, as of :func:`report_results`.

    Raises
    ------
    InvalidResult
        ``objective`` isn't a finite number, or ``data`` has another form.
    ReportedTwice
        Results were reported before.

    Examples
    --------
    >>> from orion_hpc.client import report_bad_trial
    >>> report_bad_trial(objective=100.0)
    [{"name": "objective", "type": "objective", "value": 100.0}]
    """
    report_results([{"name": name, "type": "objective", "value": objective}, *(data or ())])


def report_results(data: Sequence[Mapping[str, Any]]) -> None:
    """Report several results.

    Parameters
    ----------
    data : list of mappings
        Each has ``name``, ``type`` (``objective``, ``constraint``, ``gradient`` or ``statistic``)
        and ``value``. At least one is an objective.

    Raises
    ------
    InvalidResult
        ``data`` has another form.
    ReportedTwice
        Results were reported before.

    Examples
    --------
    >>> from orion_hpc.client import report_results
    >>> report_results(
    ...     [
    ...         {"name": "loss", "type": "objective", "value": 0.25},
    ...         {"name": "epochs", "type": "statistic", "value": 7},
    ...     ]
    ... )  # doctest: +NORMALIZE_WHITESPACE
    [{"name": "loss", "type": "objective", "value": 0.25},
     {"name": "epochs", "type": "statistic", "value": 7}]
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
