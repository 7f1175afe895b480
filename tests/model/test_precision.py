"""The default precision of reals: enough values in a narrow interval, and none changed in searches
that an earlier version began."""

from __future__ import annotations

import random
from typing import Any

import pytest

from orion_hpc.algorithms.factory import advice
from orion_hpc.config.experiment_identity import differences
from orion_hpc.model.dimension import Real
from orion_hpc.model.prior import parse
from orion_hpc.model.space import Space


def _draws(text: str, count: int = 200) -> set[Any]:
    rng = random.Random(1)
    dimension = parse("x", text).settled()
    return {dimension.sample(rng) for _ in range(count)}


@pytest.mark.parametrize(
    "text",
    [
        "uniform(10000, 10001)",
        "uniform(-10001, -10000)",
        "uniform(100, 101)",
        "uniform(1990, 2020)",
        "loguniform(1e5, 1.0001e5)",
        "normal(100000, 0.1)",
        "norm(loc=-100000, scale=0.1)",
        "gamma(1e8)",
        "beta(5000000, 1)",
    ],
)
def test_a_narrow_interval_keeps_its_values(text: str) -> None:
    """Draws from a narrow interval differ, though they have their first four digits in common."""
    assert len({f"{value:.3e}" for value in _draws(text)}) < 40
    assert len(_draws(text)) > 190


@pytest.mark.parametrize(
    "text",
    ["uniform(0, 1)", "uniform(1, 2)", "uniform(0.9, 0.99)", "uniform(0, 5e-324)",
     "uniform(-1e300, 1e300)", "loguniform(1e-5, 1)", "normal(0, 1)", "normal(10, 1)",
     "cauchy(0, 1)", "beta(0.01, 0.01)"],
)  # fmt: skip
def test_other_priors_keep_four_digits(text: str) -> None:
    """Where four digits leave enough values, a new experiment records the prior as before."""
    dimension = parse("x", text)
    assert dimension.settled().get_prior_string() == dimension.get_prior_string()
    assert "precision" not in dimension.get_prior_string()


def test_a_given_precision_stays() -> None:
    """A precision in the text stays as it is, also if it is the general default."""
    for precision in (2, 4, 9, None):
        settled = parse("x", f"uniform(10000, 10001, precision={precision})").settled()
        assert isinstance(settled, Real)
        assert settled.precision == precision


def test_a_recorded_search_keeps_its_points() -> None:
    """A space that an earlier version recorded draws what it drew: four digits."""
    recorded = Space.parse({"x": "uniform(100, 101)"})
    rng = random.Random(1)
    assert {recorded.sample(rng)["x"] for _ in range(200)} == {100 + n / 10 for n in range(11)}


@pytest.mark.parametrize(
    ("recorded", "wanted", "same"),
    [
        ("uniform(100, 101)", "uniform(100, 101)", True),
        ("uniform(100, 101, precision=7)", "uniform(100, 101)", True),
        ("uniform(100, 101)", "uniform(100, 101, precision=7)", False),
        ("uniform(100, 101, precision=6)", "uniform(100, 101)", False),
        ("uniform(0, 1, precision=7)", "uniform(0, 1)", False),
        ("normal(100000, 0.1, precision=11)", "normal(100000, 0.1)", True),
        ("uniform(100, 102, precision=7)", "uniform(100, 101)", False),
    ],
)
def test_the_default_precision_is_no_difference(recorded: str, wanted: str, same: bool) -> None:
    """An unchanged file is the same experiment, whichever version recorded it."""
    found = differences({"space": {"x": recorded}}, {"space": {"x": wanted}})
    assert (not found) is same


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("uniform(10000, 10001, precision=4)",
         "x has only 1 value with precision=4; write precision=9, or None for all digits"),
        ("uniform(100, 101, precision=4, shape=2)",
         "x has only 11 values with precision=4; write precision=7, or None for all digits"),
        ("uniform(10**15, 10**15 + 2)",
         "x has only 17 values with precision=17; a float has no more digits, so search the "
         "distance from a constant instead"),
        ("uniform(0, 0.5, precision=2)", None),
        ("uniform(10000, 10001)", None),
        ("uniform(0, 1)", None),
    ],
)  # fmt: skip
def test_few_values_are_told(text: str, told: str | None) -> None:
    """A new experiment is told of a real with few values, with or without max_trials."""
    space = Space.parse({"x": text})
    for max_trials in (None, 100):
        found = advice({"random": {}}, space, max_trials, None)
        assert found == ([] if told is None else [told])
