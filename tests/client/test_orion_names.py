"""Every public name of Oríon's client, and where it is here, or why it isn't.

From Oríon 0.2.7: ``orion.client``, and the methods and properties of ``ExperimentClient``.
"""

from __future__ import annotations

import inspect

import pytest

import orion_hpc.client
from orion_hpc.client import ExperimentClient, build_experiment, get_experiment, workon

HERE = "here"
EVC = "left out: experiment version control; another search is another version, without a parent"

FUNCTIONS = {
    "build_experiment": HERE,
    "create_experiment": HERE,
    "get_experiment": HERE,
    "workon": HERE,
    "report_objective": HERE,
    "report_results": HERE,
    "report_bad_trial": HERE,
    "ExperimentClient": HERE,
    "interrupt_trial": HERE,
}

METHODS = {
    "executor": HERE,
    "name": HERE,
    "id": HERE,
    "version": HERE,
    "max_trials": HERE,
    "max_broken": HERE,
    "metadata": HERE,
    "space": HERE,
    "algorithm": HERE,
    "algorithms": "left out: the older word for algorithm, removed from Oríon",
    "refers": EVC,
    "node": EVC,
    "is_done": HERE,
    "is_broken": HERE,
    "configuration": HERE,
    "stats": HERE,
    "working_dir": HERE,
    "producer": "left out: nobody produces trials but who reserves them",
    "mode": HERE,
    "heartbeat": HERE,
    "storage": HERE,
    "plot": "left out: to_pandas gives the table that plots are made of",
    "to_pandas": HERE,
    "fetch_trials": HERE,
    "get_trial": HERE,
    "fetch_trials_by_status": HERE,
    "fetch_pending_trials": HERE,
    "fetch_noncompleted_trials": HERE,
    "insert": HERE,
    "reserve": HERE,
    "release": HERE,
    "suggest": HERE,
    "observe": HERE,
    "tmp_executor": HERE,
    "workon": HERE,
    "close": HERE,
}

OURS = {"pareto_front", "submit"}
"""What Oríon hasn't."""

ARGUMENTS = {
    build_experiment: {
        "name": HERE,
        "version": HERE,
        "space": HERE,
        "algorithm": HERE,
        "algorithms": HERE,
        "strategy": "left out: random points need none; it comes with the algorithms that learn",
        "max_trials": HERE,
        "max_broken": HERE,
        "storage": HERE,
        "branching": EVC,
        "max_idle_time": "left out: the older word for idle_timeout of workon",
        "heartbeat": HERE,
        "working_dir": HERE,
        "debug": HERE,
        "executor": HERE,
    },
    get_experiment: dict.fromkeys(("name", "version", "mode", "storage"), HERE),
    workon: dict.fromkeys(
        ("function", "space", "name", "algorithm", "algorithms", "max_trials", "max_broken"), HERE
    ),
    ExperimentClient.workon: dict.fromkeys(
        (
            "fct",
            "n_workers",
            "pool_size",
            "max_trials",
            "max_trials_per_worker",
            "max_broken",
            "trial_arg",
            "on_error",
            "prepare_trial",
            "idle_timeout",
            "reservation_timeout",  # until 0.2.6
            "kwargs",
        ),
        HERE,
    ),
    ExperimentClient.suggest: {"pool_size": HERE},
    ExperimentClient.observe: {"trial": HERE, "results": HERE, "name": HERE},
    ExperimentClient.insert: dict.fromkeys(("params", "results", "reserve"), HERE),
    ExperimentClient.reserve: {"trial": HERE},
    ExperimentClient.release: {"trial": HERE, "status": HERE},
    ExperimentClient.get_trial: {"trial": HERE, "uid": HERE},
    ExperimentClient.fetch_trials_by_status: {"status": HERE, "with_evc_tree": HERE},
    ExperimentClient.tmp_executor: {"executor": HERE, "config": HERE},
}


def test_every_function_is_there_or_left_out_for_a_reason():
    """And none besides is public without being told here."""
    for name, where in FUNCTIONS.items():
        assert hasattr(orion_hpc.client, name) == (where == HERE), name
    assert set(orion_hpc.client.__all__) <= {*FUNCTIONS, "Trial"}


def test_every_method_is_there_or_left_out_for_a_reason():
    """With a docstring that says what it does."""
    for name, where in METHODS.items():
        assert hasattr(ExperimentClient, name) == (where == HERE), name
    public = {name for name in dir(ExperimentClient) if not name.startswith("_")}
    assert public == {name for name, where in METHODS.items() if where == HERE} | OURS
    for name in public:
        assert inspect.getdoc(getattr(ExperimentClient, name)), name


@pytest.mark.parametrize("function", ARGUMENTS, ids=lambda one: one.__qualname__)
def test_every_argument_is_there_or_left_out_for_a_reason(function):
    """By its name, since users pass them so."""
    parameters = inspect.signature(function).parameters
    for name, where in ARGUMENTS[function].items():
        assert (name in parameters) == (where == HERE), name


def test_positional_arguments_come_in_orions_order():
    """Those that users leave the names out of."""
    for function, names in ARGUMENTS.items():
        here = [name for name in inspect.signature(function).parameters if name != "self"]
        wanted = [name for name, where in names.items() if where == HERE and name in here]
        first = [name for name in here if name in wanted][:2]
        assert first == wanted[:2], function
