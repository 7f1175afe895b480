"""What is told of several objectives and of constraints."""

from __future__ import annotations

import pytest

from orion_hpc.experiments.comparison import best_note, comparison, comparison_notes
from tests.rigs.history import FakeHistory


def history(*objectives: tuple[float, ...], constraint: float | None = None) -> FakeHistory:
    """Return an experiment whose trials told these objectives."""
    made = FakeHistory()
    for number, values in enumerate(objectives):
        made.complete(made.register({"x": number}), *values, constraint=constraint)
    return made


def test_of_one_objective_there_is_nothing_to_tell():
    """Nor before the first trial; nobody has to read of what isn't there."""
    for state, objectives in ((history(), 0), (history((1.0,), (2.0,)), 1)):
        found = comparison(state)
        assert found == {"objectives": objectives, "front": None, "incomparable": 0}
        assert comparison_notes(found) == []


@pytest.mark.parametrize(
    ("constraint", "size", "told"),
    [(None, 2, "2 trials"), (0.0, 2, "2 trials"), (1.0, 0, "no trials")],
)
def test_the_front_is_counted(constraint, size, told):
    """Of feasible trials only."""
    found = comparison(history((1, 2), (2, 1), (2, 2), constraint=constraint))
    assert (found["objectives"], found["front"]) == (2, size)
    assert comparison_notes(found) == [f"2 objectives, {told} on the Pareto front."]


@pytest.mark.parametrize(
    ("strange", "told"),
    [
        ([(1,)], "1 completed trial has another number of objectives than the first one, which "
                 "has 2. It isn't compared with other trials. Use the next --version for a "
                 "changed function."),
        ([(1,), (0, 0, 0)], "2 completed trials have another number of objectives than the first "
                            "one, which has 2. They aren't compared with other trials. Use the "
                            "next --version for a changed function."),
    ],
)  # fmt: skip
def test_trials_that_cannot_be_compared_are_told(strange, told):
    """They neither count for the front nor vanish without a word."""
    found = comparison(history((1, 2), *strange))
    assert (found["front"], found["incomparable"]) == (1, len(strange))
    assert comparison_notes(found) == ["2 objectives, 1 trial on the Pareto front.", told]


def test_the_note_on_the_best_trial_says_by_what_it_is_the_best():
    """And that it is infeasible, which only the best one there is may be."""
    best = {"number": 3, "params": {"x": 1, "y": "a"}, "objectives": [1.0], "feasible": True}
    assert best_note(best) == "best is trial 3: x=1, y='a'"
    assert best_note({**best, "objectives": [1.0, 2.0], "feasible": False}) == (
        "best by the first objective is trial 3, but infeasible: no trial satisfies every "
        "constraint: x=1, y='a'"
    )
