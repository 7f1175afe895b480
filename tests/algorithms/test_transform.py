"""Dimensions that an algorithm doesn't take: there and back again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.algorithms.transform import Transform
from orion_hpc.model.space import Space

SPACE = Space.parse(
    {
        "beta": "beta(2, 3)",
        "counts": "poisson(3)",
        "epochs": "fidelity(1, 16)",
        "kind": "choices(['a', 1, True, None])",
        "layers": "loguniform(1, 512, discrete=True)",
        "lr": "loguniform(1e-5, 1)",
        "noise": "normal(0, 1)",
        "normal": "normal(0, 5, discrete=True)",
        "sizes": "randint(1, 9, shape=(2, 3))",
        "x": "uniform(-1, 1, precision=None)",
    }
)
FORMS = [
    (None, None, None),
    (None, "bounded", "flattened"),
    ("numerical", None, "flattened"),
    ("real", None, "flattened"),
    ("real", "linear", "flattened"),
    ("numerical", "linear", "flattened"),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@given(seed=st.integers(0, 2**32))
def test_there_and_back(form, seed: int) -> None:
    """A point comes back as it was, but for the last digits of a real; its fidelity is the most."""
    transform, point = Transform(SPACE, *form), SPACE.sample(random.Random(seed))
    there = transform.forward(point)
    transform.space.check(there)
    back = transform.backward(there)
    SPACE.check(back)
    for name, value in point.items():
        if isinstance(value, float):
            assert back[name] == pytest.approx(value, rel=1e-3, abs=1e-6)
        else:
            assert back[name] == value
            assert type(back[name]) is type(value)


@pytest.mark.parametrize("form", FORMS, ids=str)
@given(seed=st.integers(0, 2**32))
def test_any_point_there_is_one_here(form, seed: int) -> None:
    """Whatever an algorithm proposes in its space is in the user's."""
    transform = Transform(SPACE, *form)
    SPACE.check(transform.backward(transform.space.sample(random.Random(seed))))


def test_what_each_word_asks_for() -> None:
    """All real and linear: numbers between two bounds, one for each choice; without a fidelity."""
    linear = Transform(SPACE, "real", "linear", "flattened").space
    assert {one.type for one in linear.values()} == {"real"}
    assert {one.prior_name for one in linear.values()} == {"uniform"}
    assert [name for name in linear if name.startswith("kind")] == [f"kind[={i}]" for i in range(4)]
    assert len([name for name in linear if name.startswith("sizes")]) == 6
    assert "epochs" not in linear
    bounded = Transform(SPACE, None, "bounded", "flattened").space
    assert bounded["lr"].prior_name == "loguniform"
    assert bounded["noise"].prior_name == "uniform"
    assert Transform(SPACE, "numerical").space["kind"].interval() == (0, 3)


def test_a_space_of_nothing_but_a_fidelity() -> None:
    """It has one point."""
    transform = Transform(Space.parse({"epochs": "fidelity(1, 9)"}), "real", "linear", "flattened")
    assert transform.backward(transform.forward({"epochs": 3})) == {"epochs": 9}
