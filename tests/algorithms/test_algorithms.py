"""One contract for every algorithm on every kind of dimension, and what is particular to each."""

from __future__ import annotations

import itertools
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from orion_hpc.algorithms.base import (
    ALIASES,
    BUILTIN,
    draw_generator,
    make_algorithm,
    normalise,
)
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.space import Space
from orion_hpc.model.trial import Params, Trial, params_key

SPACES = {
    "real": {"x": "uniform(0, 1)"},
    "logarithmic": {"x": "loguniform(1e-5, 1)"},
    "normal": {"x": "normal(0, 1)"},
    "integer": {"x": "randint(0, 100000)"},
    "discrete": {"x": "loguniform(1, 1e6, discrete=True)"},
    "categorical": {"x": "choices({'a': 0.9, 'b': 0.1})", "y": "choices([1, True, None])"},
    "fidelity": {"x": "uniform(0, 1)", "epochs": "fidelity(1, 16)"},
    "scipy": {"x": "beta(2, 3)", "y": "poisson(3)"},
    "nested": {"model": {"lr": "loguniform(1e-5, 1)", "depth": "randint(1, 5)"}},
    "tiny": {"x": "choices(['only'])"},
    "shaped": {"x": "uniform(0, 1, shape=(2, 3))", "y": "randint(0, 9, shape=2)"},
}
ALGORITHMS: tuple[dict[str, dict[str, Any]], ...] = (
    {"random": {"seed": 1}},
    {"gridsearch": {}},
    {"gridsearch": {"n_values": 3}},
)
CASES = [
    pytest.param(algorithm, priors, id=f"{algorithm}-{kind}")
    for algorithm, (kind, priors) in itertools.product(ALGORITHMS, SPACES.items())
    if not (kind == "shaped" and "gridsearch" in algorithm)
]


class FakeHistory:
    """A history that takes whatever is registered."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self._points: set[str] = set()

    def has(self, params: Params) -> bool:
        return params_key(params) in self._points

    def register(self, params: Params) -> None:
        assert not self.has(params), f"{params} was proposed twice"
        self._points.add(params_key(params))
        self.trials.append(Trial(len(self.trials), params, submit_time=0.0))


def run(configuration: Any, space: Space, most: int = 25) -> list[Params]:
    """Return what one worker alone would register."""
    algorithm, history = make_algorithm(configuration, space), FakeHistory()
    for number in range(most):
        params = algorithm.suggest(history, number, draw_generator(1, number))
        if params is None:
            break
        history.register(params)
    return [trial.params for trial in history.trials]


@pytest.mark.parametrize(("configuration", "priors"), CASES)
def test_points_are_of_the_space_and_never_twice(configuration: Any, priors: Any) -> None:
    """Every proposal belongs to the space, is plain and sorted, and isn't registered yet."""
    space = Space.parse(priors)
    points = run(configuration, space)
    assert points
    for point in points:
        space.check(point)
        assert list(point) == list(space)


@pytest.mark.parametrize(("configuration", "priors"), CASES)
def test_proposals_follow_from_the_arguments(configuration: Any, priors: Any) -> None:
    """Instances in different workers, new ones and old ones, propose the same for one history."""
    space, history = Space.parse(priors), FakeHistory()
    old = make_algorithm(configuration, space)
    for number in range(6):
        fresh = make_algorithm(configuration, space)
        asked = [
            algorithm.suggest(history, number, draw_generator(7, number))
            for algorithm in (old, fresh, old)
        ]
        assert asked[0] == asked[1] == asked[2]
        if asked[0] is None:
            break
        history.register(asked[0])


@pytest.mark.parametrize(("configuration", "priors"), CASES)
def test_a_proposal_may_come_to_nothing(configuration: Any, priors: Any) -> None:
    """Proposals that nobody registers don't change what is registered in the end."""
    space, history = Space.parse(priors), FakeHistory()
    algorithm = make_algorithm(configuration, space)
    for number in range(10):
        for ahead in range(3):
            algorithm.suggest(history, number + ahead, draw_generator(1, number + ahead))
        params = algorithm.suggest(history, number, draw_generator(1, number))
        if params is None:
            break
        history.register(params)
    assert [trial.params for trial in history.trials] == run(configuration, space, 10)


@pytest.mark.parametrize("configuration", ALGORITHMS, ids=str)
def test_a_small_space_is_exhausted_exactly(configuration: Any) -> None:
    """All points of a finite space come, each once, and then None for ever."""
    space = Space.parse({"a": "randint(0, 3)", "b": "choices('x', 'y')", "c": "fidelity(1, 4)"})
    points = run(configuration, space, 20)
    assert {params_key(point) for point in points} == {
        params_key({"a": a, "b": b, "c": 4}) for a in range(3) for b in "xy"
    }
    assert len(points) == 6


@pytest.mark.parametrize("name", [*BUILTIN, *ALIASES, "Random", "GridSearch"])
def test_names_and_aliases(name: str) -> None:
    """Every name, in any case, makes a cheap algorithm, and the database knows one name of each."""
    assert make_algorithm(name, Space.parse({"x": "uniform(0, 1)"})).cheap
    assert next(iter(normalise(name))) in BUILTIN


def test_first_points_of_seed_1() -> None:
    """Pins what seed 1 draws: if this changes, no experiment can be repeated with a new version."""
    space = Space.parse(
        {
            "act": "choices({'relu': 0.7, 'tanh': 0.3})",
            "depth": "randint(1, 2**63)",
            "lr": "loguniform(1e-5, 1)",
            "noise": "normal(0, 1)",
            "width": "loguniform(8, 512, discrete=True)",
            "x": "uniform(0, 1, shape=2, precision=None)",
        }
    )
    assert run({"random": {"seed": 1}}, space, 2) == [
        {
            "act": "tanh",
            "depth": 956834946394051691,
            "lr": 0.001683,
            "noise": 0.02697,
            "width": 12,
            "x": [0.31287460155924895, 0.5150835965092426],
        },
        {
            "act": "relu",
            "depth": 819203888707117846,
            "lr": 0.2304,
            "noise": 0.4499,
            "width": 90,
            "x": [0.1486009850477752, 0.2343698637183267],
        },
    ]


def test_seed_and_number_make_the_draw() -> None:
    """Another seed or another number gives another generator; the same ones the same."""
    first = [draw_generator(*key).random() for key in ((1, 0), (1, 1), (2, 0), (11, 0), (1, 10))]
    assert len(set(first)) == 5
    assert first[0] == draw_generator(1, 0).random() == 0.9064717269000477


def test_random_draws_again_on_a_duplicate() -> None:
    """With one choice of a hundred left, random search finds it."""
    space, history = Space.parse({"x": "randint(0, 100)"}), FakeHistory()
    for value in range(100):
        if value != 37:
            history.register({"x": value})
    algorithm = make_algorithm("random", space)
    assert algorithm.suggest(history, 99, draw_generator(1, 99)) == {"x": 37}


def test_grid_order_is_that_of_the_product() -> None:
    """The dimension that is last by name changes fastest, whatever the order in the file."""
    space = Space.parse({"b": "choices('x', 'y')", "a": "uniform(0, 1)"})
    points = run({"grid": {"n_values": {"a": 3}}}, space)
    assert points == [{"a": a, "b": b} for a in (0.0, 0.5, 1.0) for b in "xy"]


def test_grid_is_lazy() -> None:
    """A grid of 10**20 points gives its first points at once."""
    space = Space.parse({f"x{i}": "uniform(0, 1)" for i in range(10)})
    points = run("gridsearch", space, 3)
    assert [point["x9"] for point in points] == [0.0, 0.0101, 0.0202]


def test_grid_skips_what_was_inserted() -> None:
    """A point that somebody inserted isn't proposed again."""
    space, history = Space.parse({"x": "randint(0, 4)"}), FakeHistory()
    algorithm = make_algorithm("gridsearch", space)
    history.register({"x": 2})
    for number in range(1, 4):
        params = algorithm.suggest(history, number, draw_generator(1, number))
        assert params is not None
        history.register(params)
    assert [trial.params["x"] for trial in history.trials] == [2, 0, 1, 3]
    assert algorithm.suggest(history, 4, draw_generator(1, 4)) is None


def test_grid_proposes_several_at_once() -> None:
    """Numbers beyond the history get the free points in turn, and None where these end."""
    space, history = Space.parse({"x": "randint(0, 3)"}), FakeHistory()
    algorithm = make_algorithm("gridsearch", space)
    proposed = [
        algorithm.suggest(history, number, draw_generator(1, number)) for number in range(4)
    ]
    assert proposed == [{"x": 0}, {"x": 1}, {"x": 2}, None]


@pytest.mark.parametrize(
    ("configuration", "seed", "expected"),
    [
        ("random", None, {"random": {"seed": None}}),
        ("random", 5, {"random": {"seed": 5}}),
        ({"random": None}, 5, {"random": {"seed": 5}}),
        ({"random": {"seed": None}}, 5, {"random": {"seed": 5}}),
        ({"Random": {"seed": 1}}, 5, {"random": {"seed": 1}}),
        ({"random": {"seed": 0}}, 5, {"random": {"seed": 0}}),
        ("grid_search", 5, {"gridsearch": {"n_values": 100}}),
        ({"grid": {"n_values": {"x": 3}}}, 5, {"gridsearch": {"n_values": {"x": 3}}}),
    ],
)
def test_normalise(configuration: Any, seed: int | None, expected: dict[str, Any]) -> None:
    """All forms come to one, which stays as it is when normalised again."""
    assert normalise(configuration, seed) == expected
    assert normalise(expected, seed) == expected


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ("randm", "unknown algorithm 'randm' (did you mean random?)"),
        ({}, "algorithm names no algorithm"),
        ({"random": {}, "grid": {}}, "algorithm names 2 algorithms"),
        (None, "algorithm is None, not a name"),
        ({1: {}}, "algorithm is 1, not a name"),
        ({"random": [1]}, "the options of random are [1], not a mapping"),
        ({"random": {"sed": 1}}, "algorithm random has no option 'sed' (did you mean seed?)"),
        ({"random": {"seed": -1}}, "the seed of random is -1"),
        ({"random": {"seed": "1"}}, "the seed of random is '1'"),
        ({"random": {"seed": True}}, "the seed of random is True"),
        ({"gridsearch": {"seed": 1}}, "algorithm gridsearch has no option 'seed'"),
        ({"gridsearch": {"n_values": 0}}, "n_values is 0"),
        ({"gridsearch": {"n_values": 2.5}}, "n_values is 2.5"),
        ({"gridsearch": {"n_values": {"x": "3"}}}, "n_values of x is '3'"),
        ({"gridsearch": {"n_values": 10**9}}, "n_values is 1000000000"),
    ],
)
def test_wrong_configurations(configuration: Any, message: str) -> None:
    """An unknown name, option or value is refused without a space, with the right ones named."""
    with pytest.raises(ConfigurationError) as caught:
        normalise(configuration)
    assert message in caught.value.message
    assert caught.value.hint


def test_grid_refuses_what_it_can_not_search() -> None:
    """A shape, or a number of values for a dimension that isn't there, fails when it is made."""
    with pytest.raises(ConfigurationError, match="x has the shape"):
        make_algorithm("gridsearch", Space.parse({"x": "uniform(0, 1, shape=2)"}))
    with pytest.raises(ConfigurationError, match=r"n_values names 'y'"):
        make_algorithm({"grid": {"n_values": {"y": 3}}}, Space.parse({"x": "uniform(0, 1)"}))


class Picky:
    """A third party's algorithm: a required option, and any other."""

    cheap = False

    def __init__(self, space: Space, *, target: int, seed: int | None = None, **more: Any) -> None:
        self.options = (target, seed, more)

    def suggest(self, history: Any, number: int, rng: Any) -> Params | None:
        return None


def test_third_party(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of somebody else's gets its options by its signature, the required ones checked."""
    monkeypatch.setitem(BUILTIN, "picky", "third_party:Picky")
    monkeypatch.setitem(sys.modules, "third_party", SimpleNamespace(Picky=Picky))
    with pytest.raises(ConfigurationError, match="picky lacks its option target"):
        normalise("picky")
    space = Space.parse({"x": "uniform(0, 1)"})
    made = make_algorithm({"picky": {"target": 2, "seed": 3, "other": 4}}, space)
    assert isinstance(made, Picky)
    assert made.options == (2, 3, {"other": 4})


def test_import_is_light() -> None:
    """A random-search worker loads none of the heavy libraries."""
    code = (
        "import sys\n"
        "from orion_hpc.algorithms.base import make_algorithm, draw_generator\n"
        "from orion_hpc.model.space import Space\n"
        "make_algorithm({'random': {'seed': 1}}, Space.parse({'x': 'uniform(0, 1)'}))\n"
        "print({'numpy', 'scipy', 'pydantic', 'importlib.metadata'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
