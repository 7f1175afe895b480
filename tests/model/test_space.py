"""The search space: names, nesting, samples, and the check of somebody's params."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.errors import ConfigurationError, InvalidPrior
from orion_hpc.model.space import Space

PRIORS = {
    "lr": "loguniform(1e-5, 1)",
    "model": {"depth": "randint(1, 5)", "act": "choices(['relu', 'tanh'])"},
    "model.dropout": "uniform(0, 0.5, precision=2)",
    "epochs": "fidelity(1, 81, base=3)",
}

levels = st.text(st.characters(exclude_characters="."), min_size=1, max_size=5).filter(str.strip)
trees = st.recursive(
    st.dictionaries(levels, st.just("uniform(0, 1)"), min_size=1, max_size=4),
    lambda inner: st.dictionaries(levels, inner | st.just("uniform(0, 1)"), min_size=1, max_size=3),
    max_leaves=10,
)


def test_flat_names_in_order() -> None:
    """Nested and dotted names come out flat and sorted, with canonical priors."""
    space = Space.parse(PRIORS)
    assert space.configuration == {
        "epochs": "fidelity(1, 81, base=3)",
        "lr": "loguniform(1e-05, 1)",
        "model.act": "choices(['relu', 'tanh'])",
        "model.depth": "randint(1, 5)",
        "model.dropout": "uniform(0, 0.5, precision=2)",
    }
    assert list(space) == sorted(space)
    assert space.fidelity == "epochs"
    assert space["lr"].type == "real"
    assert "model" not in space


def test_configuration_parses_back() -> None:
    """What the database keeps gives the same space again."""
    space = Space.parse(PRIORS)
    again = Space.parse(space.configuration)
    assert again == space
    assert again.configuration == space.configuration
    assert Space.parse({"lr": "uniform(0, 1)"}) != Space.parse({"lr": "uniform(0, 2)"})


def test_sample() -> None:
    """A sample is flat, sorted, in the space, and the same for the same generator."""
    space = Space.parse(PRIORS)
    params = space.sample(random.Random("1/0"))
    assert list(params) == list(space)
    space.check(params)
    assert params == space.sample(random.Random("1/0"))
    assert params["epochs"] == 81


def test_cardinality_and_fidelity() -> None:
    """A space counts as the product of its dimensions; a fidelity counts once."""
    assert Space.parse(PRIORS).cardinality == math.inf
    small = Space.parse({"a": "randint(0, 3)", "b": "choices(1, 2)"})
    assert small.cardinality == 6
    assert small.fidelity is None
    huge = {"a": "uniform(0, 9, shape=400, discrete=True)", "b": "uniform(0, 1)"}
    assert Space.parse(huge).cardinality == math.inf, "a product with a float would overflow"


@given(trees)
def test_nest_and_flatten_are_inverse(tree: dict[str, Any]) -> None:
    """Flattening a nested mapping and nesting it again changes nothing, and so the other way."""
    flat = Space.flatten(tree)
    assert Space.nest(flat) == tree
    assert Space.flatten(Space.nest(flat)) == flat
    assert set(Space.parse(tree)) == set(flat)


def test_nest_and_flatten_by_example() -> None:
    """Dots make levels, and a list isn't one."""
    assert Space.nest({"a.b": 1, "a.c": [1, 2], "d": None}) == {
        "a": {"b": 1, "c": [1, 2]},
        "d": None,
    }
    assert Space.flatten({"a": {"b": 1}, "a.c": 2}) == {"a.b": 1, "a.c": 2}


_LOOP: dict[str, Any] = {}
_LOOP["a"] = _LOOP
_LAUGHS: Any = "uniform(0, 1)"
for _ in range(12):
    _LAUGHS = dict.fromkeys("abcdefghij", _LAUGHS)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({}, "the search space is empty"),
        ("uniform(0, 1)", "not a mapping"),
        ({"lr": 0.1}, "lr: 0.1 isn't a prior"),
        ({"model": {"lr": ["a"]}}, "model.lr: ['a'] isn't a prior"),
        ({"lr": None}, "lr: None isn't a prior"),
        ({"model": {}}, "model: it is empty"),
        ({"model": {"lr": "uniform(1, 0)"}}, "model.lr: high isn't above low"),
        ({1: "uniform(0, 1)"}, "1 isn't a text"),
        ({"model": {True: "uniform(0, 1)"}}, "model.True isn't a text"),
        ({"": "uniform(0, 1)"}, "a part of it is empty"),
        ({" ": "uniform(0, 1)"}, "a part of it is empty"),
        ({"a..b": "uniform(0, 1)"}, "a part of it is empty"),
        ({"a": "uniform(0, 1)", "a.b": "uniform(0, 1)"}, "a is both a dimension and the level"),
        (
            {"a": {"b": "uniform(0, 1)"}, "a.b": "uniform(0, 1)"},
            "a.b is there twice",
        ),
        ({"a": "fidelity(1, 2)", "b": "fidelity(1, 2)"}, "a and b are fidelities"),
        (_LOOP, "more than 20 levels"),
        (_LAUGHS, "more than 10,000 dimensions"),
    ],
)
def test_wrong_spaces(priors: Any, message: str) -> None:
    """Whatever is wrong with the mapping is one error that names the place."""
    with pytest.raises(ConfigurationError) as caught:
        Space.parse(priors)
    assert message in caught.value.message


def test_wrong_prior_is_an_invalid_prior() -> None:
    """Something other than a text in a prior's place is told as a wrong prior."""
    with pytest.raises(InvalidPrior):
        Space.parse({"lr": 0.1})


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"lr": 2.0}, "lr can't be 2.0", "a number from 1e-05 to 1: loguniform(1e-05, 1)"),
        ({"model.depth": 5}, "model.depth can't be 5", "a whole number from 1 to 4"),
        ({"model.act": "gelu"}, "model.act can't be 'gelu'", "one of 'relu', 'tanh'"),
        ({"lr": [0.1]}, "lr can't be [0.1]", "a number"),
        ({"lrr": 1}, "there is no dimension 'lrr' (did you mean lr?)", "There are: epochs, lr"),
    ],
)
def test_check_names_dimension_and_value(change: dict[str, Any], message: str, hint: str) -> None:
    """Params beside the space are refused with the dimension, the value and what is allowed."""
    space = Space.parse(PRIORS)
    params = space.sample(random.Random(1))
    with pytest.raises(ConfigurationError) as caught:
        space.check({**params, **change})
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_check_misses_a_dimension() -> None:
    """Params must be complete."""
    with pytest.raises(ConfigurationError, match="lr is missing"):
        Space.parse({"lr": "uniform(0, 1, shape=2)"}).check({})


def test_import_is_light() -> None:
    """Reading a space of the usual priors, and sampling it, loads neither numpy nor scipy."""
    code = (
        "import random, sys\n"
        "from orion_hpc.model.space import Space\n"
        f"Space.parse({PRIORS!r}).sample(random.Random(1))\n"
        "print({'numpy', 'scipy', 'statistics', 'pydantic'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
