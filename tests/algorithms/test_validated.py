"""What becomes of the suggestions of an algorithm that somebody else wrote."""

from __future__ import annotations

import importlib.metadata
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from orion_hpc.algorithms.base import WAIT, Branch, draw_generator
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.algorithms.validated import ValidatedAlgorithm
from orion_hpc.errors import AlgorithmError
from orion_hpc.model import wire
from orion_hpc.model.space import Space
from orion_hpc.worker import plan
from tests.rigs.history import FakeHistory

SPACE = Space.parse({"n": "randint(1, 9)", "x": "uniform(0, 1)"})


class Fixed:
    """Suggests one thing."""

    cheap = True
    learns = True

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def suggest(self, history: Any, number: int, rng: Any) -> Any:
        return self.thing


def suggested(thing: Any) -> Any:
    """Return what comes of it, with one trial completed before."""
    history = FakeHistory()
    history.complete(history.register({"n": 1, "x": 0.1}), 1.0)
    guarded = ValidatedAlgorithm("theirs", Fixed(thing), SPACE)
    for event in plan.reservations(history, guarded, 1, "w", 1, 0.0):
        wire.decode(wire.encode(event))
    return guarded.suggest(history, 1, draw_generator(1, 1))


@pytest.mark.parametrize("thing", [1, True, False, "x", ("x",), ({"n": 2, "x": 0.5}, 0), [0.5]])
def test_what_is_no_point_is_told(thing: Any) -> None:
    """Anything else than names and values names the algorithm, rather than to raise anywhere."""
    with pytest.raises(AlgorithmError, match="theirs suggested what is no point"):
        suggested(thing)
    with pytest.raises(AlgorithmError, match="theirs suggested what is no point"):
        suggested(Branch(thing, 0))


@pytest.mark.parametrize("parent", [-1, 1, 99, "a", True, 0.0, numpy.int64(1)])
def test_a_trial_that_is_not_there_is_no_parent(parent: Any) -> None:
    """The journal couldn't tell of it."""
    with pytest.raises(AlgorithmError, match=r"theirs suggested to continue .*isn't the num"):
        suggested(Branch({"n": 2, "x": 0.5}, parent))


def test_numbers_of_numpy_are_taken() -> None:
    """As numbers of Python, in the order of the space: the journal holds nothing else."""
    assert type(suggested(Branch({"n": 3, "x": 0.5}, numpy.int64(0))).parent) is int
    point = {"x": numpy.float64(0.5), "n": numpy.int64(3)}
    for found in (suggested(point), suggested(Branch(point, numpy.int64(0))).params):
        assert found == {"n": 3, "x": 0.5}
        assert [(name, type(value)) for name, value in found.items()] == [("n", int), ("x", float)]


class Needy(Fixed):
    """Takes reals only."""

    requires_type = "real"

    def __init__(self, space: Space, *, thing: Any) -> None:
        super().__init__(thing)


class Misspelt(Needy):
    """Wants to."""

    requires_type = "reals"


@pytest.fixture
def _somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(Needy=Needy, Misspelt=Misspelt)
    monkeypatch.setitem(sys.modules, "somebody", module)
    found = [EntryPoint(n.lower(), f"somebody:{n}", "orion_hpc.algorithms") for n in vars(module)]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: found)


@pytest.mark.usefixtures("_somebody")
@pytest.mark.parametrize("thing", [{"y": 1}, {"n": "a", "x": 1.0}, {}, 3, "x"])
def test_behind_a_transform_it_is_told_all_the_same(thing: Any) -> None:
    """What can't be transformed back is as wrong as what isn't of the space."""
    algorithm = make_algorithm({"needy": {"thing": thing}}, SPACE)
    with pytest.raises(AlgorithmError, match="algorithm needy suggested what is"):
        algorithm.suggest(FakeHistory(), 0, draw_generator(1, 0))


@pytest.mark.usefixtures("_somebody")
def test_a_transform_that_there_is_not() -> None:
    """A class that misspells what it takes is refused, not given the space as it is."""
    with pytest.raises(AlgorithmError, match=r"misspelt has requires_type = 'reals' \(did you"):
        make_algorithm({"misspelt": {"thing": None}}, SPACE)


def test_who_waits_waits_for_a_trial() -> None:
    """With none pending the workers would be idle for ever; one that is proposed beside counts."""
    history, guarded = FakeHistory(), ValidatedAlgorithm("theirs", Fixed(WAIT), SPACE)
    with pytest.raises(AlgorithmError, match="theirs suggested to wait"):
        guarded.suggest(history, 0, draw_generator(1, 0))
    assert guarded.suggest(history, 1, draw_generator(1, 1)) is WAIT
    history.register({"n": 1, "x": 0.1})
    assert guarded.suggest(history, 1, draw_generator(1, 1)) is WAIT


@pytest.mark.parametrize(
    ("prior", "never"),
    [
        ("choices({'a': 1, 'b': 0})", "b"),
        ("choices({'a': 1, 'b': 0}, shape=2)", ["a", "b"]),
        ("choices({'a': 1, 'b': 0}, shape=(2, 1))", [["b"], ["a"]]),
    ],
)
def test_a_choice_of_probability_0_is_never_taken(prior: str, never: Any) -> None:
    """Nor as an element; a random point takes its place."""
    space = Space.parse({"kind": prior, "x": "uniform(0, 1)"})
    guarded = ValidatedAlgorithm("theirs", Fixed({"kind": never, "x": 0.5}), space)
    found = guarded.suggest(FakeHistory(), 0, draw_generator(1, 0))
    assert "b" not in str(found["kind"])
