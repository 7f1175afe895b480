"""What the benchmark of the searches calls better, worse and the same."""

from __future__ import annotations

import random
import statistics
from math import inf

import pytest

from tests.benchmarks.verdicts import overall, quartiles, verdict, wins


def test_less_is_better_and_more_is_worse() -> None:
    """A difference that all seeds show is told, with its direction."""
    pairs = [(float(place), place + 1.0 + place / 100) for place in range(20)]
    turned = [(other, one) for one, other in pairs]
    assert verdict(pairs).startswith("better (")
    assert verdict(turned).startswith("worse (")
    assert overall([pairs]).startswith("better (")
    assert overall([turned]).startswith("worse (")
    assert (wins([pairs]), wins([turned])) == ("20 : 0", "0 : 20")


def test_without_a_difference_there_is_no_test() -> None:
    """Searches that end alike are the same, and so is nothing at all."""
    assert verdict([(1.0, 1.0)] * 20) == "same"
    assert verdict([]) == overall([]) == overall([[(1.0, 1.0)] * 20]) == "same"
    assert wins([[(1.0, 1.0), (1.0, 2.0)]]) == "1 : 0"


def test_a_few_seeds_show_nothing() -> None:
    """However large the difference, two seeds may do so by chance."""
    assert verdict([(0.0, 1e9), (0.0, 1e9)]).startswith("same (")


def test_many_problems_show_what_one_does_not() -> None:
    """A small advantage in each, none of which counts by itself, is seen over all of them."""
    problems = [
        [(0.0, 1.0 + place) if place % 4 else (1.0 + place, 0.0) for place in range(12)]
        for _ in range(6)
    ]
    assert all(verdict(pairs).startswith("same") for pairs in problems)
    assert overall(problems).startswith("better")


def test_a_problem_of_large_numbers_counts_no_more_than_another() -> None:
    """The verdict over all stays when one problem's objective is measured in other units."""
    rng = random.Random(0)
    problems = [[(rng.random(), rng.random()) for _ in range(20)] for _ in range(3)]
    scaled = [[(1e6 * one, 1e6 * other) for one, other in problems[0]], *problems[1:]]
    assert overall(problems) == overall(scaled)


def test_chance_alone_is_rarely_called_a_difference() -> None:
    """Of a thousand comparisons of equals about ten differ at the level of a hundredth."""
    rng = random.Random(1)
    told = [
        overall([[(rng.random(), rng.random()) for _ in range(20)] for _ in range(4)])
        for _ in range(1000)
    ]
    assert sum(not one.startswith("same") for one in told) <= 25


@pytest.mark.parametrize("count", [2, 5, 20, 21])
def test_quartiles_are_those_of_the_library(count: int) -> None:
    """Where all values are finite."""
    values = [random.Random(count + place).random() for place in range(count)]
    assert quartiles(values) == pytest.approx(statistics.quantiles(values, n=4, method="inclusive"))


def test_quartiles_take_what_was_never_reached() -> None:
    """An infinite share is no reason for the others to be unknown."""
    assert quartiles([1.0]) == [1.0, 1.0, 1.0]
    assert quartiles([1.0, 1.0, 1.0, 1.0, inf]) == [1.0, 1.0, 1.0]
    assert quartiles([1.0, 2.0, 3.0, inf, inf]) == [2.0, 3.0, inf]
    assert quartiles([inf, inf]) == [inf, inf, inf]
