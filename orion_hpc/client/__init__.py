"""The Python API, with Oríon's names. Each name is imported when it is first used.

Functions that read trials from a database are in :mod:`orion_hpc.client.trials`, exceptions in
:mod:`orion_hpc.errors`.

Examples
--------
>>> from orion_hpc.client import build_experiment
>>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, max_trials=20)
>>> experiment.workon(lambda x: (x - 1) ** 2, n_workers=2)
20
>>> experiment.stats.best_evaluation <= 36
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orion_hpc.client.api import build_experiment as build_experiment
    from orion_hpc.client.api import create_experiment as create_experiment
    from orion_hpc.client.api import get_experiment as get_experiment
    from orion_hpc.client.api import workon as workon
    from orion_hpc.client.experiment import ExperimentClient as ExperimentClient
    from orion_hpc.client.reporting import interrupt_trial as interrupt_trial
    from orion_hpc.client.reporting import report_bad_trial as report_bad_trial
    from orion_hpc.client.reporting import report_objective as report_objective
    from orion_hpc.client.reporting import report_results as report_results
    from orion_hpc.client.trial import Trial as Trial

_MODULES = {
    "build_experiment": "api",
    "create_experiment": "api",
    "get_experiment": "api",
    "workon": "api",
    "ExperimentClient": "experiment",
    "Trial": "trial",
    "interrupt_trial": "reporting",
    "report_objective": "reporting",
    "report_results": "reporting",
    "report_bad_trial": "reporting",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
