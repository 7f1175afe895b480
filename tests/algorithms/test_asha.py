"""Successive halving: which trials are promoted, and that each is once."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from types import SimpleNamespace

import pytest

from orion_hpc.algorithms.base import WAIT, Branch, draw_generator
from orion_hpc.algorithms.factory import BUILTIN, make_algorithm
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import BROKEN, COMPLETED
from tests.rigs.history import FakeHistory, simulate

SPACE = Space.parse({"epochs": "fidelity(1, 27, base=3)", "x": "uniform(0, 1, precision=None)"})


def levels(history: FakeHistory) -> dict[int, list[int]]:
    """Return the numbers of the trials by the fidelity that they have."""
    found: dict[int, list[int]] = {}
    for trial in history.trials:
        found.setdefault(trial.params["epochs"], []).append(trial.number)
    return found


def assert_promoted_once(history: FakeHistory) -> None:
    """Every trial has one successor at most, the same point with the next fidelity."""
    parents = Counter(one.parent for one in history.trials if one.parent is not None)
    assert all(count == 1 for count in parents.values())
    for trial in history.trials:
        if trial.parent is not None:
            parent = history.trials[trial.parent]
            assert parent.status == COMPLETED
            assert trial.params == {**parent.params, "epochs": 3 * parent.params["epochs"]}


def test_the_best_third_is_promoted_best_first() -> None:
    """Of three trials one goes on, of six two, each as soon as there are enough to tell."""
    history, asha = FakeHistory(), make_algorithm("asha", SPACE)

    def suggest():
        number = len(history.trials)
        return asha.suggest(history, number, draw_generator(1, number))

    for value in (0.5, 0.3, 0.4):
        found = suggest()
        assert isinstance(found, dict)
        assert found["epochs"] == 1
        history.complete(history.register(found), value)
    first = suggest()
    assert first == Branch({**history.trials[1].params, "epochs": 3}, 1)
    history.register(*first)
    for value in (0.35, 0.45, 0.6):
        history.complete(history.register(suggest()), value)
    second = suggest()
    assert second == Branch({**history.trials[4].params, "epochs": 3}, 4)
    history.register(*second)
    assert not isinstance(suggest(), Branch), "number 2 is third of six"


@pytest.mark.parametrize("workers", [1, 64])
def test_rungs_have_the_sizes_of_the_theory(workers: int) -> None:
    """A third of each rung goes on, or one less per worker, whose trial isn't ended; never more."""
    history = simulate("asha", SPACE, 600, workers, value=lambda trial: trial.params["x"])
    assert_promoted_once(history)
    sizes = [len(levels(history)[level]) for level in (1, 3, 9, 27)]
    assert sum(sizes) == 600
    for below, above in itertools.pairwise(sizes):
        # With results that don't depend on the fidelity, none that was promoted falls behind.
        assert above >= below // 3 - workers
    assert sizes[0] > 300
    best = min(one.params["x"] for one in history.trials)
    assert history.best.params["x"] == best
    assert any(history.trials[n].params["x"] == best for n in levels(history)[27])


def test_what_breaks_is_not_promoted_and_does_not_count() -> None:
    """Nothing waits for it either."""
    history = simulate(
        "asha", SPACE, 90, 4, value=lambda one: None if one.number % 5 == 0 else one.params["x"]
    )
    assert_promoted_once(history)
    assert {one.number % 5 for one in history.having(BROKEN)} == {0}
    assert len(history.having(COMPLETED)) == 90


def test_brackets_begin_at_their_levels_and_keep_apart() -> None:
    """Most trials begin at the lowest level; a promotion is among trials of the same beginning."""
    history = simulate({"asha": {"num_brackets": 3}}, SPACE, 400, 8)
    assert_promoted_once(history)
    begun = Counter(one.params["epochs"] for one in history.trials if one.parent is None)
    assert begun[1] > begun[3] > begun[9] > 0
    assert begun.keys() == {1, 3, 9}


def test_a_point_that_was_inserted_above_is_no_obstacle() -> None:
    """The trial whose promotion is there already is passed over, and the next goes on."""
    history, asha = FakeHistory(), make_algorithm("asha", SPACE)
    for place in range(6):
        history.complete(history.register({"epochs": 1, "x": place / 10}), place)
    history.register({"epochs": 3, "x": 0.0})
    assert asha.suggest(history, 7, draw_generator(1, 7)) == Branch({"epochs": 3, "x": 0.1}, 1)


@pytest.mark.parametrize(
    ("options", "prior", "message"),
    [
        ({}, None, "algorithm asha needs a fidelity"),
        ({}, "fidelity(1, 9, base=1)", "epochs has the base 1"),
        ({"num_rungs": 12}, "fidelity(1, 9, base=3)", "num_rungs is 12, but epochs from 1 to 9"),
        ({"num_brackets": 4}, "fidelity(1, 9, base=3)", "num_brackets is 4, but there are 3 rungs"),
    ],
)
def test_what_can_not_be(options: dict[str, int], prior: str | None, message: str) -> None:
    """Refused when it is made, which submit does."""
    priors = {"x": "uniform(0, 1)", **({"epochs": prior} if prior else {})}
    with pytest.raises(ConfigurationError, match=message) as caught:
        make_algorithm({"asha": options}, Space.parse(priors))
    assert caught.value.hint
    if "num_rungs" in options:
        assert caught.value.hint == "Write num_rungs: 5 or less, or leave it out."
        make_algorithm({"asha": {"num_rungs": 5}}, Space.parse(priors))


def test_levels() -> None:
    """From the least to the most, as many as asked for or as fit."""
    for options, expected in (
        ({}, {1, 3, 9, 27}),
        ({"num_rungs": 2}, {1, 27}),
        ({"num_rungs": 1}, {27}),
        ({"reduction_factor": 5}, {1, 5, 27}),
    ):
        history = simulate({"asha": options}, SPACE, 200)
        assert expected >= levels(history).keys()
        assert 27 in levels(history) or len(expected) == 3


def test_a_model_learns_from_the_highest_level_that_has_enough() -> None:
    """With ``tpe`` new points come near the good ones, and nearer than at random."""

    def value(trial):
        return abs(trial.params["x"] - 0.7) + 1 / trial.params["epochs"]

    found = {}
    for sampler in ("random", {"tpe": {"n_initial_points": 5}}):
        history = simulate({"asha": {"sampler": sampler}}, SPACE, 120, value=value)
        late = [one for one in history.trials[60:] if one.parent is None]
        found[str(sampler)] = sum(abs(one.params["x"] - 0.7) for one in late) / len(late)
    near, far = found.pop(str({"tpe": {"n_initial_points": 5}})), found["random"]
    assert near < far / 2


class Fixed:
    """A sampler that suggests one thing."""

    cheap = True

    def __init__(self, space: Space, *, thing: str) -> None:
        point = {"epochs": 27, "x": 0.5}
        self.thing = {"wait": WAIT, "branch": Branch(point, 0), "none": None}[thing]

    def suggest(self, history: object, number: int, rng: object) -> object:
        return self.thing


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_a_sampler_that_waits_ends_no_search(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Only one that has no point does; of one that goes on from another trial the point counts."""
    monkeypatch.setitem(BUILTIN, "fixed", "somebody:Fixed")
    monkeypatch.setitem(sys.modules, "somebody", SimpleNamespace(Fixed=Fixed))
    found = {}
    for thing in ("wait", "branch", "none"):
        algorithm = make_algorithm({name: {"sampler": {"fixed": {"thing": thing}}}}, SPACE)
        found[thing] = algorithm.suggest(FakeHistory(), 0, draw_generator(1, 0))
    assert found == {"wait": WAIT, "branch": {"epochs": 1, "x": 0.5}, "none": None}


def test_a_level_that_is_used_up_does_not_end_the_others() -> None:
    """With several brackets each level takes every point of a finite space."""
    space = Space.parse({"kind": "choices(['a', 'b'])", "epochs": "fidelity(1, 9, base=3)"})
    for seed in range(5):
        history = simulate({"asha": {"num_brackets": 2}}, space, None, seed=seed)
        begun = Counter(trial.params["epochs"] for trial in history.trials if trial.parent is None)
        assert begun[1] == 2
        assert begun[3] + len(levels(history)[3]) >= 2
        assert history.exhausted
