"""What the database keeps of an experiment, and what makes two of them differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orion_hpc.config.experiment_identity import (
    differences,
    run_changes,
    search_differences,
)
from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.config.resolve import Layer, resolve

BASE = Path("/exp")
GIVEN: dict[str, Any] = {
    "name": "svm",
    "function": "svm:main",
    "space": {"C": "uniform(0, 1)"},
    "kwargs": {"n": 1},
}


def configuration(seed: int | None = None, **changes: Any) -> dict[str, Any]:
    """Return the record of the usual settings with ``changes``; None takes a setting away."""
    settings = resolve([Layer("test", {**GIVEN, **changes}, BASE)])
    return ExperimentSpec.of(settings).configuration(seed)


def test_record() -> None:
    """The record is plain data, and a seed is filled in where none was given."""
    record = configuration(7, max_trials=5)
    assert record["algorithm"] == {"random": {"seed": 7}}
    assert list(record["space"]) == ["C"]
    assert {key: record[key] for key in record if key not in ("algorithm", "space")} == {
        "function": "svm:main",
        "command": None,
        "kwargs": {"n": 1},
        "trial_arg": None,
        "path": "/exp",
        "max_trials": 5,
        "max_broken": 3,
        "max_attempts": 3,
        "working_dir": None,
        "worker": {
            "n_workers": 1,
            "executor": "joblib",
            "heartbeat": 60.0,
            "idle_timeout": 60.0,
            "on_suspend": "auto",
            "grace": 60.0,
            "max_requeues": 100,
            "trial_time": "auto",
        },
    }


def test_a_given_seed_stays() -> None:
    """The user's seed wins over the one that would be filled in."""
    record = configuration(7, algorithm={"random": {"seed": 1}})
    assert record["algorithm"] == {"random": {"seed": 1}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_trials": 9, "max_broken": 9, "max_attempts": 9},
        {"working_dir": "w", "worker": {"n_workers": 4}},
        {"algorithm": "random"},
        {"algorithm": {"random": {"seed": 7}}},
        {"space": {"C": "uniform(0,1)"}},
        {"name": "another", "slurm": {"mem": "1G"}},
    ],
)
def test_no_identity(changes: dict[str, Any]) -> None:
    """Limits, paths, workers, an absent seed, a prior's spelling make no other experiment."""
    assert differences(configuration(7), configuration(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"function": "svm:train"}, ["function is svm:main in the database and svm:train here"]),
        (
            {"function": None, "kwargs": None, "command": ["a", "{C}"]},
            [
                "function is svm:main in the database and not given here",
                "command is not given in the database and ['a', '{C}'] here",
                "kwargs.n is 1 in the database and missing here",
            ],
        ),
        ({"kwargs": {"n": 2}}, ["kwargs.n is 1 in the database and 2 here"]),
        ({"kwargs": {"n": True}}, ["kwargs.n is 1 in the database and True here"]),
        ({"kwargs": {"n": 1, "m": 0}}, ["kwargs.m is 0 here and missing in the database"]),
        ({"trial_arg": "trial"}, ["trial_arg is not given in the database and trial here"]),
        (
            {"algorithm": {"random": {"seed": 8}}},
            ["algorithm.random.seed is 7 in the database and 8 here"],
        ),
    ],
)
def test_identity(changes: dict[str, Any], sentences: list[str]) -> None:
    """Each setting that differs is reported in a sentence of its own."""
    assert differences(configuration(7), configuration(**changes)) == sentences


def test_identity_of_the_space() -> None:
    """Dimensions that changed, went or came are told one by one, in the canonical spelling."""
    old, new = configuration(), configuration(space={"C": "uniform(0, 2)", "g": "uniform(0, 1)"})
    assert differences(old, new) == [
        f"space.C is {old['space']['C']} in the database and {new['space']['C']} here",
        f"space.g is {new['space']['g']} here and missing in the database",
    ]
    assert differences(new, old)[1:] == [
        f"space.g is {new['space']['g']} in the database and missing here"
    ]


def test_another_algorithm() -> None:
    """Another algorithm is told as a whole."""
    (sentence,) = differences(configuration(7), configuration(algorithm="gridsearch"))
    assert sentence.startswith("algorithm is {'random': {'seed': 7}} in the database and {'gridse")


def test_lists_tuples_and_nan_are_the_same_again() -> None:
    """What a database gives back for the same constants makes no difference."""
    old, new = {"kwargs": {"a": (1, float("nan"))}}, {"kwargs": {"a": [1, float("nan")]}}
    assert differences({"function": "m:f", **old}, {"function": "m:f", **new}) == []


def test_what_runs_makes_no_other_experiment() -> None:
    """A changed function, constant or command is a change of the same experiment."""
    old, new = configuration(7), configuration(function="svm:train", kwargs={"n": 2, "m": [1]})
    assert search_differences(old, new) == []
    assert run_changes(old, new) == [
        "function: svm:main -> svm:train",
        "kwargs.n: 1 -> 2",
        "kwargs.m: not given -> [1]",
    ]
    command = configuration(function=None, kwargs=None, command=["a", "{C}"])
    assert search_differences(old, command) == []
    assert run_changes(old, command) == [
        "function: svm:main -> not given",
        "command: not given -> ['a', '{C}']",
        "kwargs.n: 1 -> not given",
    ]


def test_what_is_searched_makes_another_experiment() -> None:
    """Space, algorithm and a given seed aren't changes of what runs."""
    old = configuration(7)
    for changes in (
        {"space": {"C": "uniform(0, 2)"}},
        {"algorithm": "gridsearch"},
        {"algorithm": {"random": {"seed": 8}}},
    ):
        assert len(search_differences(old, configuration(**changes))) == 1
        assert run_changes(old, configuration(**changes)) == []


def test_an_experiment_without_a_function_has_no_changed_one() -> None:
    """An imported experiment, or one of a Python program, gets one or keeps its own."""
    full = configuration(7)
    bare = {**full, "function": None, "kwargs": {}}
    assert run_changes(bare, full) == run_changes(full, bare) == []
    assert differences(bare, full) == differences(full, bare) == []
