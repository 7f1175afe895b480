"""Hyperband: the sizes of its brackets, and that each promotion is made once."""

from __future__ import annotations

from collections import Counter

import pytest

from orion_hpc.algorithms.base import Branch, draw_generator
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import BROKEN
from orion_hpc.worker import plan
from tests.algorithms.test_asha import assert_promoted_once
from tests.rigs.history import FakeHistory, simulate

SPACE = Space.parse({"epochs": "fidelity(1, 81, base=3)", "x": "uniform(0, 1, precision=None)"})
TABLE = [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
"""Trials by rung and bracket for R = 81 and a factor of 3, as in the paper's table 1."""


def test_brackets_have_the_sizes_of_the_paper() -> None:
    """From the one that halves most to the one that is random search."""
    hyperband = make_algorithm("hyperband", SPACE)
    assert [hyperband.sizes(first) for first in range(5)] == TABLE


@pytest.mark.parametrize("workers", [1, 10, 64])
def test_one_repetition_is_the_table(workers: int) -> None:
    """So many trials run at each level, however many run at once, and then the search is over."""
    history = simulate({"hyperband": {"repetitions": 1}}, SPACE, None, workers)
    assert_promoted_once(history)
    assert history.exhausted
    counts: Counter[int] = Counter()
    for first, sizes in enumerate(TABLE):
        for place, size in enumerate(sizes):
            counts[3 ** (first + place)] += size
    assert Counter(one.params["epochs"] for one in history.trials) == counts


def test_the_next_bracket_begins_while_a_rung_is_waited_for() -> None:
    """A worker never waits as long as there is another bracket to begin."""
    history = simulate("hyperband", SPACE, 300, 64)
    assert len(history.trials) == 300
    assert_promoted_once(history)


def test_what_breaks_is_not_waited_for() -> None:
    """A rung is done without it, and the best of the others go on."""
    history = simulate(
        {"hyperband": {"repetitions": 1}}, SPACE, None, 5,
        value=lambda one: None if one.number % 7 == 0 else one.params["x"],
    )  # fmt: skip
    assert_promoted_once(history)
    assert history.having(BROKEN)
    assert not history.pending()


def test_the_best_of_a_bracket_gets_all() -> None:
    """The first bracket's best trial reaches the highest fidelity."""
    history = simulate(
        {"hyperband": {"repetitions": 1}}, SPACE, None, 10, value=lambda one: one.params["x"]
    )
    first = min(one.params["x"] for one in history.trials[:81])
    assert first in {one.params["x"] for one in history.trials if one.params["epochs"] == 81}


def test_each_level_has_the_whole_grid() -> None:
    """A grid that is used up at one level isn't at the next: whether a worker saw it used up or
    began later, it goes on with the same points."""
    space = Space.parse({"epochs": "fidelity(1, 9, base=3)", "x": "uniform(0, 1)"})
    configuration = {"hyperband": {"sampler": {"gridsearch": {"n_values": 9}}}}
    history, old = FakeHistory(), make_algorithm(configuration, space)
    while True:
        number = len(history.trials)
        asked = [
            algorithm.suggest(history, number, draw_generator(1, number))
            for algorithm in (old, make_algorithm(configuration, space))
        ]
        assert asked[0] == asked[1]
        if asked[0] is None:
            break
        params, parent = asked[0] if isinstance(asked[0], Branch) else (asked[0], None)
        history.complete(history.register(params, parent), params["x"])
    begun = Counter(one.params["epochs"] for one in history.trials if one.parent is None)
    assert begun[3] > 1


def test_no_more_is_begun_than_a_bracket_takes() -> None:
    """Where a model draws the points, beside the lock, workers that mean the last place of a
    bracket all at once don't each get one: the others' trials would never be promoted."""
    space = Space.parse({"epochs": "fidelity(1, 9, base=3)", "x": "uniform(0, 1, precision=None)"})
    sampler = {"tpe": {"n_initial_points": 1_000}}
    configuration = {"hyperband": {"repetitions": 1, "sampler": sampler}}
    history = FakeHistory()
    workers = {f"w{place}": make_algorithm(configuration, space) for place in range(8)}
    while not history.is_done:
        before = len(history.trials)
        proposals = {name: plan.propose(history, one, 1, name, 1) for name, one in workers.items()}
        for name, one in workers.items():
            if not plan.must_wait(history, proposals[name]):
                for event in plan.reservations(history, one, 1, name, 1, 0.0, proposals[name]):
                    history.apply(event)
        if len(history.trials) == before:  # while none is reserved all propose the same
            for trial in history.pending():
                history.complete(trial.number, trial.params["x"])
    assert_promoted_once(history)
    assert Counter(one.params["epochs"] for one in history.trials) == {1: 9, 3: 8, 9: 5}
