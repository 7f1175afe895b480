"""What a trial tells of its results."""

from __future__ import annotations

import pytest

from orion_hpc.model.trial_record import COMPLETED, Results, TrialRecord


def trial(*results: tuple[str, float]) -> TrialRecord:
    """Return a completed trial with results of these types and values."""
    named: Results = [
        {"name": str(place), "type": kind, "value": value}
        for place, (kind, value) in enumerate(results)
    ]
    return TrialRecord(0, {"x": 1}, 0.0, COMPLETED, results=named)


def test_objectives_and_constraints_are_told_in_order():
    """The first objective is the one of code that knows of one."""
    one = trial(("statistic", 9), ("objective", 2), ("constraint", 3), ("objective", 1.0))
    assert (one.objectives, one.objective, one.constraints) == ((2.0, 1.0), 2.0, (3.0,))
    assert all(type(value) is float for value in (*one.objectives, *one.constraints))


@pytest.mark.parametrize(
    ("constraints", "feasible", "violation"),
    [
        ((), True, 0.0),
        ((0.0, -2.0), True, 0.0),
        ((-5.0, 0.25, 0.5), False, 0.75),
        ((1e308, 1e308), False, float("inf")),
    ],
)
def test_a_constraint_is_kept_up_to_zero(constraints, feasible, violation):
    """What it is kept by doesn't make up for what another is broken by."""
    one = trial(("objective", 1.0), *(("constraint", value) for value in constraints))
    assert (one.feasible, one.violation) == (feasible, violation)


def test_a_trial_without_results_has_none_of_it():
    """It breaks no constraint either."""
    one = TrialRecord(0, {"x": 1}, 0.0)
    assert (one.objective, one.objectives, one.constraints) == (None, (), ())
    assert one.feasible
