"""The algorithms by name and options, and what is particular to ``random`` and ``gridsearch``."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from orion_hpc.algorithms.base import draw_generator
from orion_hpc.algorithms.factory import ALIASES, BUILTIN, advice, make_algorithm, normalise
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import Params
from tests.rigs.history import FakeHistory, simulate


def run(configuration: Any, space: Space, most: int = 25) -> list[Params]:
    """Return what one worker alone would register."""
    return [trial.params for trial in simulate(configuration, space, most).trials]


@pytest.mark.parametrize("name", [*BUILTIN, *ALIASES, "Random", "GridSearch", "TPE"])
def test_names_and_aliases(name: str) -> None:
    """Every name, in any case, makes an algorithm, and the database knows one name of each."""
    space = Space.parse({"x": "uniform(0, 1)", "epochs": "fidelity(1, 9, base=3)"})
    assert make_algorithm(name, space).suggest(FakeHistory(), 0, draw_generator(1, 0))
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
        ({"tpe": {"n_inital_points": 5}}, "no option 'n_inital_points' (did you mean n_initial_"),
        ({"tpe": {"n_initial_points": 0}}, "n_initial_points is 0"),
        ({"tpe": {"gamma": 2}}, "gamma is 2"),
        ({"tpe": {"strategy": "mx"}}, "strategy is 'mx' (did you mean max?)"),
        ({"tpe": {"multivariate": "yes"}}, "multivariate is 'yes'"),
        ({"gp": {"deterministic": 1}}, "deterministic is 1"),
        ({"cmaes": {"sigma0": 0}}, "sigma0 is 0"),
        ({"cmaes": {"population_size": 1}}, "population_size is 1"),
        ({"nsga2": {"population_size": 1}}, "population_size is 1"),
        ({"qmc": {"qmc_type": "soboll"}}, "qmc_type is 'soboll' (did you mean sobol?)"),
        ({"qmc": {"scramble": 1}}, "scramble is 1"),
        ({"asha": {"num_rungs": 0}}, "num_rungs is 0"),
        ({"asha": {"reduction_factor": 1}}, "reduction_factor is 1"),
        ({"asha": {"sampler": "tpee"}}, "unknown algorithm 'tpee' (did you mean tpe?)"),
        ({"asha": {"sampler": 3}}, "sampler is 3"),
        ({"hyperband": {"sampler": "asha"}}, "sampler is asha, which needs a fidelity itself"),
        ({"hyperband": {"repetitions": 0}}, "repetitions is 0"),
        ({"asha": {"num_rungs": 10**9}}, "num_rungs is 1000000000, more than 1,000"),
        ({"pbt": {"generations": 10**9}}, "generations is 1000000000, more than 10,000"),
        (
            {"tpe": {"n_ei_candidates": 10**12}},
            "n_ei_candidates is 1000000000000, more than 1,000,000",
        ),
        ({"cmaes": {"population_size": 10**9}}, "population_size is 1000000000, more than 100,000"),
        ({"cmaes": {"sigma0": 1e-320}}, "sigma0 is 1e-320, so narrow"),
        ({"pbt": {"truncation": 0.9}}, "truncation is 0.9"),
        ({"pbt": {"perturbation": 1}}, "perturbation is 1"),
    ],
)
def test_wrong_configurations(configuration: Any, message: str) -> None:
    """An unknown name, option or value is refused without a space, with the right ones named."""
    with pytest.raises(ConfigurationError) as caught:
        normalise(configuration)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("configuration", "hint"),
    [
        ({"tpe": {"n_initial_points": 0}}, "Write n_initial_points: 10."),
        ({"nsga2": {"population_size": 1}}, "Write population_size: 50."),
        ({"asha": {"num_rungs": 0}}, "Write num_rungs: 4, or leave it out."),
        ({"pbt": {"resample_probability": 1.5}}, "Write resample_probability: 0.25."),
        ({"tpe": 5}, "Write algorithm: {tpe: {seed: 1}}, or just algorithm: tpe."),
    ],
)
def test_a_hint_suits_the_option(configuration: Any, hint: str) -> None:
    """It tells a value that may be written there."""
    with pytest.raises(ConfigurationError) as caught:
        normalise(configuration)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("configuration", "max_trials", "told"),
    [
        ({"grid": {"n_values": 3}}, 9, []),
        ({"grid": {"n_values": 3}}, 8, ["the grid has 9 points, of which max_trials: 8 are tried"]),
        ("tpe", 11, []),
        ("tpe", 10, ["every trial is random: tpe begins after 10 (n_initial_points: 10), and "]),
        ("nsga2", 20, ["every trial is random: nsga2 begins after 50 (population_size: 50), and "]),
        ("cmaes", 1, ["every trial is random: cmaes begins after 1 (n_initial_points: 1), and "]),
        ("random", 1, []),
        ("asha", 13, []),
        ("asha", 12, ["the first trial with epochs: 9 comes after about 13 trials, and max"]),
        ("pbt", 180, []),
        ("pbt", 40, ["pbt takes 180 trials, 20 in each of 9 generations; max_trials: 40 ends it in"
                     " generation 2"]),
        ("hyperband", 22, []),
        ("hyperband", 21, ["one round of all brackets takes 22 trials, and max_trials is 21"]),
        ("pbt", None, []),
    ],
)  # fmt: skip
def test_advice(configuration: Any, max_trials: int | None, told: list[str]) -> None:
    """A search that ends before it has begun to be one is told so, in a space of any kind."""
    priors = {"x": "uniform(0, 1)", "y": "choices(['a', 'b', 'c'])"}
    ((name, _),) = normalise(configuration).items()
    if name != "gridsearch":
        priors["epochs"] = "fidelity(1, 9, base=3)"
    found = advice(normalise(configuration), Space.parse(priors), max_trials, None)
    assert len(found) == len(told)
    assert all(one.startswith(start) for one, start in zip(found, told, strict=True))


def test_who_does_not_learn_has_nothing_of_another_experiment() -> None:
    """Which is said where one is named to learn from."""
    space = Space.parse({"x": "uniform(0, 1)"})
    told = "random doesn't learn from results, so the trials of old-v1 have no effect"
    assert advice(normalise("random"), space, None, "old-v1") == [told]
    assert advice(normalise("tpe"), space, None, "old-v1") == []
    assert advice(normalise("tpe"), space, 5, "old-v1") == []  # it has more than its own trials


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
        "from orion_hpc.algorithms.factory import make_algorithm\n"
        "from orion_hpc.model.space import Space\n"
        "make_algorithm({'random': {'seed': 1}}, Space.parse({'x': 'uniform(0, 1)'}))\n"
        "print({'numpy', 'scipy', 'pydantic', 'importlib.metadata'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
