"""Every public name and parameter of Oríon 0.2.7's client, and what it is here.

Taken from ``inspect`` on an installed Oríon 0.2.7: ``orion.client``, ``ExperimentClient``, trials,
their results, spaces, dimensions, the statistics and the executors. ``HERE``: under the same name,
with the same meaning. Any other text says what differs, or why the name is left out: such a text
begins with "left out".
"""

from __future__ import annotations

import inspect

import pytest

import orion_hpc.client
from orion_hpc.client import ExperimentClient, Trial, build_experiment, get_experiment, workon
from orion_hpc.client.executor_choice import ExecutorChoice
from orion_hpc.client.search_space import SearchSpace
from orion_hpc.client.trial import Result
from orion_hpc.experiments.stats import ExperimentStats
from orion_hpc.model.dimension import Categorical, Fidelity, Integer, Real
from orion_hpc.worker.handle import TrialHandle

HERE = "here"
EVC = "left out: experiment version control; another search is another version, without a parent"
KNOWLEDGE = "left out: no knowledge base; warm_start takes the trials of another experiment"
STORAGE = "left out: Oríon's own form in its database"
LIES = "left out: running trials are assumed by the algorithm's strategy, without lies as results"
SCIPY = "left out: priors needn't be distributions of scipy"

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

MEMBERS = {
    ExperimentClient: {
        "algorithm": "an algorithm of this package",
        "close": HERE,
        "configuration": "without refers, knowledge_base and _id",
        "executor": "makes its processes when it is used",
        "fetch_noncompleted_trials": HERE,
        "fetch_pending_trials": HERE,
        "fetch_trials": HERE,
        "fetch_trials_by_status": "a misspelt status is an error",
        "get_trial": HERE,
        "id": "NAME-vVERSION, not a number",
        "insert": "an unknown dimension is an error; the trial is new, not interrupted",
        "is_broken": HERE,
        "is_done": HERE,
        "max_broken": HERE,
        "max_trials": HERE,
        "metadata": "the time of creation",
        "mode": HERE,
        "name": HERE,
        "node": EVC,
        "observe": "a trial that isn't held is refused, and changes nothing",
        "plot": "with further plots",
        "producer": "left out: trials are produced by who reserves them",
        "refers": EVC,
        "release": HERE,
        "reserve": HERE,
        "space": HERE,
        "stats": HERE,
        "storage": "its path or name, not an object",
        "suggest": HERE,
        "tmp_executor": HERE,
        "to_pandas": "with further columns",
        "version": HERE,
        "working_dir": "always set",
        "workon": HERE,
    },
    Trial: {
        "Param": STORAGE,
        "Result": "left out: orion_hpc.client.trial.Result",
        "Value": STORAGE,
        "allowed_stati": STORAGE,
        "branch": "left out: only algorithms make trials that continue others",
        "build": STORAGE,
        "compute_trial_hash": STORAGE,
        "constraints": "a value of at most 0 satisfies it",
        "duration": HERE,
        "end_time": HERE,
        "execution_interval": HERE,
        "exp_working_dir": HERE,
        "experiment": "the experiment's name",
        "format_params": STORAGE,
        "format_values": STORAGE,
        "full_name": HERE,
        "get_working_dir": "left out: a folder of hash_params in exp_working_dir is the same",
        "gradient": HERE,
        "hash_name": HERE,
        "hash_params": HERE,
        "heartbeat": "of the trial's start or end; workers have heartbeats, not trials",
        "id": HERE,
        "id_override": STORAGE,
        "legacy_id": STORAGE,
        "lie": LIES,
        "objective": HERE,
        "params": HERE,
        "params_repr": HERE,
        "parent": HERE,
        "results": HERE,
        "start_time": HERE,
        "statistics": HERE,
        "status": HERE,
        "submit_time": HERE,
        "to_dict": "params by flat name, and number and attempt",
        "worker": "always set, once the trial was reserved",
        "working_dir": "named by the trial's number",
    },
    Result: {
        "allowed_types": STORAGE,
        "name": HERE,
        "to_dict": HERE,
        "type": HERE,
        "value": HERE,
    },
    SearchSpace: {
        "assert_contains": HERE,
        "cardinality": "also with reals of a precision infinite",
        "configuration": HERE,
        "contains": "left out: undocumented in Oríon",
        "get": HERE,
        "interval": "left out: each dimension has it",
        "items": HERE,
        "keys": HERE,
        "register": "left out: a space doesn't change",
        "sample": "without arguments one point as a dictionary; with the number or a seed, trials",
        "values": HERE,
    },
    ExperimentStats: {
        "best_evaluation": HERE,
        "best_trials_id": HERE,
        "elapsed_time": HERE,
        "eta": "None where Oríon's is the text infinite; to_json has the text",
        "eta_milliseconds": HERE,
        "finish_time": "None before a trial is completed",
        "max_trials": "None without a limit",
        "nb_trials": HERE,
        "progress": HERE,
        "start_time": HERE,
        "sum_of_trials_time": "of completed trials",
        "to_json": HERE,
        "trial_status_count": HERE,
        "trials_completed": HERE,
    },
    ExecutorChoice: {
        "async_get": HERE,
        "close": HERE,
        "submit": "the future is one of concurrent.futures",
        "wait": HERE,
    },
}
"""By class: the public names of Oríon's class of this kind, methods of dict aside."""

DIMENSION = {
    "NO_DEFAULT_VALUE": STORAGE,
    "cardinality": HERE,
    "cast": "a single value",
    "default_value": HERE,
    "get_prior_string": HERE,
    "get_string": HERE,
    "interval": "always the whole one",
    "name": HERE,
    "prior_name": "the prior's name as it is written",
    "sample": "one value; takes a generator of random, as algorithms do",
    "shape": HERE,
    "type": HERE,
    "validate": "left out: a dimension is checked when it is made",
    "prior": SCIPY,
}

OURS = {
    ExperimentClient: {"heartbeat", "pareto_front", "submit"},
    Trial: {
        "attempt", "cause", "message", "number", "objectives", "resumed", "stop_requested",
    },
    Result: set(),
    SearchSpace: {
        "arguments", "check", "fidelity", "flatten", "nest", "parse", "point", "read", "settled",
    },
    ExperimentStats: {"duration"},
    ExecutorChoice: {"give_back", "is_given", "n_workers", "take", "trials_at_once"},
}  # fmt: skip
"""What Oríon's classes haven't."""

ARGUMENTS = {
    build_experiment: {
        "name": HERE,
        "version": HERE,
        "space": HERE,
        "algorithm": HERE,
        "algorithms": HERE,
        "strategy": "left out: an option of the algorithms that have one, tpe and gp",
        "max_trials": HERE,
        "max_broken": HERE,
        "storage": HERE,
        "branching": EVC,
        "max_idle_time": "left out: the older word for idle_timeout of workon",
        "heartbeat": HERE,
        "working_dir": HERE,
        "debug": HERE,
        "knowledge_base": KNOWLEDGE,
        "executor": HERE,
    },
    get_experiment: dict.fromkeys(("name", "version", "mode", "storage"), HERE),
    workon: dict.fromkeys(
        ("function", "space", "name", "algorithm", "algorithms", "max_trials", "max_broken"), HERE
    )
    | {"knowledge_base": KNOWLEDGE},
    orion_hpc.client.report_objective: {"objective": HERE, "name": HERE},
    orion_hpc.client.report_bad_trial: {"objective": HERE, "name": HERE, "data": HERE},
    orion_hpc.client.report_results: {"data": HERE},
    orion_hpc.client.interrupt_trial: {},
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
    ExperimentClient.fetch_trials: {"with_evc_tree": HERE},
    ExperimentClient.fetch_trials_by_status: {"status": HERE, "with_evc_tree": HERE},
    ExperimentClient.fetch_pending_trials: {"with_evc_tree": HERE},
    ExperimentClient.fetch_noncompleted_trials: {"with_evc_tree": HERE},
    ExperimentClient.to_pandas: {"with_evc_tree": HERE},
    ExperimentClient.tmp_executor: {"executor": HERE, "config": HERE},
    ExperimentClient.close: {},
    Trial.params_repr: {"sep": HERE, "ignore_fidelity": HERE},
    Trial.to_dict: {},
    SearchSpace.sample: {"n_samples": HERE, "seed": HERE},
    SearchSpace.assert_contains: {"trial": HERE},
    ExperimentStats.to_json: {},
    ExecutorChoice.submit: {"function": HERE, "args": HERE, "kwargs": HERE},
    ExecutorChoice.wait: {"futures": HERE},
    ExecutorChoice.async_get: {"futures": HERE, "timeout": HERE},
}

MORE_ARGUMENTS = {
    build_experiment: {"warm_start"},
    workon: {"kwargs"},  # of workon of the client
    # Oríon's reservation_timeout until 0.2.6; by its name only.
    ExperimentClient.workon: {"progress", "reservation_timeout"},
    ExperimentClient.tmp_executor: {"n_workers"},  # in Oríon one of config
}
"""What Oríon's functions haven't."""


def here(table):
    return {name for name, what in table.items() if not what.startswith("left out")}


def public(kind):
    fields = getattr(kind, "__dataclass_fields__", {})
    return {name for name in {*dir(kind), *fields} if not name.startswith("_")}


def test_every_function_is_there_or_left_out_for_a_reason():
    """And there is no other public name."""
    for name, what in FUNCTIONS.items():
        assert hasattr(orion_hpc.client, name) == (what == HERE), name
    assert set(orion_hpc.client.__all__) <= {*FUNCTIONS, "Trial"}


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda one: one.__name__)
def test_every_member_is_there_or_left_out_for_a_reason(kind):
    """And there is no other one, except those that are listed as ours."""
    assert public(kind) == here(MEMBERS[kind]) | OURS[kind]


@pytest.mark.parametrize("kind", [Real, Integer, Categorical, Fidelity])
def test_every_member_of_a_dimension_is_there_or_left_out_for_a_reason(kind):
    """Of each kind of dimension."""
    assert here(DIMENSION) <= public(kind)
    assert not public(kind) & {name for name in DIMENSION if name not in here(DIMENSION)}
    assert ("categories" in public(kind)) == (kind is Categorical)


def test_the_trial_of_a_function_has_what_a_trial_has():
    """Only why an attempt ended without a result is known to the client alone."""
    assert public(Trial) - public(TrialHandle) == {"cause", "message"}
    assert public(TrialHandle) <= public(Trial)


def test_every_method_of_the_client_says_what_it_does():
    """With a docstring."""
    for name in public(ExperimentClient):
        assert inspect.getdoc(getattr(ExperimentClient, name)), name


@pytest.mark.parametrize("function", ARGUMENTS, ids=lambda one: one.__qualname__)
def test_every_argument_is_there_or_left_out_for_a_reason(function):
    """By its name, since users pass them so; and there is no other one but ours."""
    names = set(inspect.signature(function).parameters) - {"self"}
    assert names == here(ARGUMENTS[function]) | MORE_ARGUMENTS.get(function, set())


@pytest.mark.parametrize("function", ARGUMENTS, ids=lambda one: one.__qualname__)
def test_positional_arguments_come_in_orions_order(function):
    """All of them, since users leave the names out."""
    parameters = inspect.signature(function).parameters.values()
    names = [one.name for one in parameters if one.name != "self"]
    wanted = [name for name in ARGUMENTS[function] if name in here(ARGUMENTS[function])]
    assert [name for name in names if name in wanted] == wanted
