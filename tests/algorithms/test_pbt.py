"""Population based training: generations, who follows whom, and what is changed."""

from __future__ import annotations

from collections import Counter

import pytest

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import BROKEN, Params
from tests.rigs.history import FakeHistory, simulate

SPACE = Space.parse(
    {
        "epochs": "fidelity(1, 9)",
        "kind": "choices('a', 'b')",
        "lr": "loguniform(1e-4, 1)",
        "size": "randint(1, 64)",
    }
)


def bare(params: Params) -> Params:
    """Return the params without the fidelity."""
    return {name: value for name, value in params.items() if name != "epochs"}


@pytest.mark.parametrize("workers", [1, 8, 64])
def test_every_generation_has_the_population(workers: int) -> None:
    """Each trial has one successor, whatever runs at once; the search ends with the last ones."""
    history = simulate({"pbt": {"population_size": 20, "generations": 5}}, SPACE, None, workers)
    assert history.exhausted
    assert Counter(one.params["epochs"] for one in history.trials) == dict.fromkeys(
        (1, 3, 5, 7, 9), 20
    )
    for trial in history.trials:
        assert (trial.parent is None) == (trial.params["epochs"] == 1)
        if trial.parent is not None:
            assert history.trials[trial.parent].params["epochs"] == trial.params["epochs"] - 2


def test_bad_trials_go_on_from_good_ones_with_other_hyperparameters() -> None:
    """A trial that many go on from was among the best, and only one of them is as it was."""
    history = simulate(
        {"pbt": {"population_size": 20, "generations": 4}}, SPACE, None, 5,
        value=lambda one: one.params["lr"],
    )  # fmt: skip
    children = Counter(one.parent for one in history.trials if one.parent is not None)
    assert max(children.values()) > 1
    for number, count in children.items():
        parent = history.trials[number]
        same = [
            one for one in history.trials
            if one.parent == number and bare(one.params) == bare(parent.params)
        ]  # fmt: skip
        assert len(same) <= 1
        if count > 1:
            generation = sorted(
                one.params["lr"] for one in history.trials
                if one.params["epochs"] == parent.params["epochs"]
            )  # fmt: skip
            assert parent.params["lr"] <= generation[12], "no bad one is gone on from twice"
    last = [one.params["lr"] for one in history.trials if one.params["epochs"] == 9]
    first = [one.params["lr"] for one in history.trials if one.params["epochs"] == 1]
    assert sorted(last)[10] < sorted(first)[10]


@pytest.mark.parametrize("workers", [1, 4])
def test_few_workers_train_a_population_too(workers: int) -> None:
    """A generation is there before the next begins, so the bad ones of each are given up."""
    history = simulate(
        {"pbt": {"population_size": 20, "generations": 5}}, SPACE, None, workers,
        value=lambda one: one.params["lr"],
    )  # fmt: skip
    assert {one.params["epochs"] for one in history.trials[:20]} == {1}
    later = [one for one in history.trials if one.parent is not None]
    changed = [one for one in later if bare(one.params) != bare(history.trials[one.parent].params)]
    assert len(changed) >= 0.15 * len(later), "a fifth of each generation, once it can be compared"


def test_what_breaks_has_no_successor() -> None:
    """In the first generation another takes its place; later the population shrinks."""
    history = simulate(
        {"pbt": {"population_size": 10, "generations": 3}}, SPACE, None, 4,
        value=lambda one: None if one.number in (2, 14) else one.params["lr"],
    )  # fmt: skip
    assert [one.number for one in history.having(BROKEN)] == [2, 14]
    counts = Counter(one.params["epochs"] for one in history.trials)
    broken = history.trials[14].params["epochs"]
    assert counts == {1: 12, 5: 10, 9: 10} if broken == 1 else {1: 11, 5: 10, 9: 9}


def test_a_space_of_few_points_is_no_dead_end() -> None:
    """Where shaken hyperparameters are taken, others are drawn."""
    space = Space.parse({"epochs": "fidelity(1, 3)", "kind": "choices('a', 'b', 'c')"})
    history = simulate({"pbt": {"population_size": 3, "generations": 3}}, space, None, 3)
    assert len(history.trials) == 9


def test_shaken_values_stay_in_the_space() -> None:
    """Also at the bounds, and whole numbers move by one at least."""
    pbt = make_algorithm(
        {"pbt": {"population_size": 5, "generations": 2, "resample_probability": 1e-9}}, SPACE
    )
    history = FakeHistory()
    ends = {"kind": "a", "lr": 1.0, "size": 63}
    import random

    shaken = [pbt._perturbed({"epochs": 1, **ends}, random.Random(seed)) for seed in range(20)]
    for params in shaken:
        SPACE.check(params)
    assert {one["lr"] for one in shaken} == {1.0, 0.8333}
    assert {one["size"] for one in shaken} == {63, 52}
    assert history.trials == []


def test_levels_beyond_a_floats_digits_stay_in_the_space() -> None:
    """The last one is the most there is, and not what a float makes of it."""
    space = Space.parse({"steps": f"fidelity(1, {10**30})", "x": "uniform(0, 1)"})
    configuration = {"pbt": {"population_size": 2, "generations": 4}}
    history = simulate(configuration, space, 8, value=lambda one: one.params["x"])
    assert history.trials[-1].params["steps"] == 10**30
