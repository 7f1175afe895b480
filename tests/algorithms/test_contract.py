"""One contract for every algorithm that ships, on every kind of dimension."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from orion_hpc.algorithms.base import Branch, draw_generator
from orion_hpc.algorithms.factory import BUILTIN, make_algorithm, needs_fidelity
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import COMPLETED, SUSPENDED, TrialRecord, params_key
from tests.options import needs_torch
from tests.rigs.history import FakeHistory, objective, simulate

SPACES = {
    "real": {"x": "uniform(0, 1)", "y": "loguniform(1e-5, 1)"},
    "normal": {"x": "normal(0, 1)", "y": "normal(3, 2, discrete=True)"},
    "integer": {"x": "randint(0, 100000)", "y": "loguniform(1, 1e6, discrete=True)"},
    "categorical": {"x": "choices({'a': 0.9, 'b': 0.1, 'c': 0})", "y": "choices([1, True, None])"},
    "fidelity": {"x": "uniform(0, 1)", "epochs": "fidelity(1, 16)"},
    "scipy": {"x": "beta(2, 3)", "y": "poisson(3)"},
    "nested": {"model": {"lr": "loguniform(1e-5, 1)", "depth": "randint(1, 5)"}},
    "tiny": {"x": "choices(['only'])"},
    "shaped": {"x": "uniform(0, 1, shape=(2, 3))", "y": "randint(0, 9, shape=2)"},
    "mixed": {
        "epochs": "fidelity(1, 27, base=3)",
        "lr": "loguniform(1e-5, 1)",
        "kind": "choices('a', 'b', 'c')",
        "size": "randint(1, 9, shape=2)",
    },
    "one point": {"epochs": "fidelity(1, 9, base=3)", "x": "choices(['only'])"},
}
ALGORITHMS: tuple[dict[str, dict[str, Any]], ...] = (
    {"random": {"seed": 1}},
    {"gridsearch": {}},
    {"gridsearch": {"n_values": 3}},
    {"qmc": {"seed": 1}},
    {"qmc": {"qmc_type": "halton"}},
    {"tpe": {"n_initial_points": 3}},
    {"tpe": {"n_initial_points": 3, "multivariate": False, "strategy": "mean"}},
    {"gp": {"n_initial_points": 3}},
    {"cmaes": {}},
    {"nsga2": {"population_size": 4}},
    {"asha": {}},
    {"asha": {"num_brackets": 3, "sampler": {"tpe": {"n_initial_points": 3}}}},
    {"hyperband": {}},
    {"hyperband": {"repetitions": 1, "sampler": {"tpe": {"n_initial_points": 3}}}},
    {"pbt": {"population_size": 4, "generations": 3}},
)
CASES = [
    pytest.param(
        algorithm,
        priors,
        id=f"{algorithm}-{kind}",
        marks=[needs_torch] if "gp" in algorithm else [],
    )
    for algorithm, (kind, priors) in itertools.product(ALGORITHMS, SPACES.items())
    if not (kind in ("shaped", "mixed") and "gridsearch" in algorithm)
    and (not needs_fidelity(next(iter(algorithm))) or "epochs" in priors)
]


def most(configuration: dict[str, Any]) -> int:
    """Return how many trials show enough: a Gaussian process takes its time."""
    return 7 if "gp" in configuration else 25


def test_every_algorithm_is_here() -> None:
    """Whatever ships is held to the contract."""
    assert {next(iter(algorithm)) for algorithm in ALGORITHMS} == BUILTIN.keys()


@pytest.mark.parametrize("workers", [1, 5])
@pytest.mark.parametrize(("configuration", "priors"), CASES)
def test_points_are_of_the_space_and_never_twice(
    configuration: Any, priors: Any, workers: int
) -> None:
    """Every point is of the space, plain and sorted, and taken by replay at once, whoever else has
    trials; the search comes to its end."""
    space = Space.parse(priors)
    state = simulate(configuration, space, most(configuration), workers)
    assert state.trials
    for trial in state.trials:
        assert list(trial.params) == list(space)
        assert trial.status == COMPLETED


@pytest.mark.parametrize(("configuration", "priors"), CASES)
def test_suggestions_follow_from_the_arguments(configuration: Any, priors: Any) -> None:
    """Instances that saw each step, that are new, or that suggested in vain suggest the same,
    whatever has become of the trials: ended in another order, broken, pending, or undone."""
    space, history, rng = Space.parse(priors), FakeHistory(), random.Random(4)
    old = make_algorithm(configuration, space)
    # In a space that is exhausted nothing new is to be seen, and it takes long.
    steps = min(most(configuration), 3 + int(min(2 * space.cardinality, 1e6)))
    for step in range(steps):
        number = len(history.trials)
        fresh = make_algorithm(configuration, space)
        asked = [
            algorithm.suggest(history, number, draw_generator(7, number))
            for algorithm in (old, fresh, old)
        ]
        assert asked[0] == asked[1] == asked[2]
        old.suggest(history, number + 1, draw_generator(7, number + 1))
        found = asked[0]
        if isinstance(found, Branch):
            history.register(*found)
        elif isinstance(found, dict):
            history.register(found)
        pending = [trial.number for trial in history.having("reserved")]
        if pending and step % 3:
            one = rng.choice(pending)
            if step % 7 == 5:
                history.break_(one)
            else:
                history.complete(one, objective(history.trials[one].params))
        if step == steps - 3 and history.completions:
            one = history.completions[0]
            assert history.apply(ev.SetStatus(one, history.trials[one].attempt, SUSPENDED, 0.0))


@pytest.mark.parametrize(("configuration", "priors"), CASES)
def test_odd_histories(configuration: Any, priors: Any) -> None:
    """Trials without an objective, of another number of objectives, inserted from anywhere, or of
    another experiment, don't disturb."""
    space, history = Space.parse(priors), FakeHistory()
    algorithm, rng = make_algorithm(configuration, space), random.Random(3)
    points = {params_key(point): point for point in (space.sample(rng) for _ in range(6))}
    results = [{"name": "o", "type": "objective", "value": 0.5}]
    history.learned.extend(
        TrialRecord(-1 - place, point, 0.0, COMPLETED, results=results)
        for place, point in enumerate(points.values())
    )
    for place, point in enumerate(points.values()):
        number = history.register(point)
        if place == 0:
            history.complete(number)
        elif place == 1:
            history.break_(number)
        else:
            history.complete(number, *([1.0] * (1 + (place == 2))), constraint=1.0)
    for _ in range(3):
        number = len(history.trials)
        found = algorithm.suggest(history, number, draw_generator(1, number))
        if isinstance(found, Branch):
            space.check(found.params)
            history.complete(history.register(*found), 0.1)
        elif isinstance(found, dict):
            space.check(found)
            history.complete(history.register(found), 0.1)


@pytest.mark.parametrize("configuration", ALGORITHMS, ids=str)
def test_a_budget_of_one(configuration: Any) -> None:
    """With ``max_trials: 1`` there is one trial."""
    space = Space.parse(SPACES["fidelity"])
    assert len(simulate(configuration, space, 1, workers=3).trials) == 1


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("configuration", ALGORITHMS, ids=str)
def test_a_small_space_is_exhausted_exactly(configuration: Any, workers: int) -> None:
    """All points of a finite space come, each once at each fidelity, and then the space is
    exhausted."""
    space = Space.parse({"a": "randint(0, 3)", "b": "choices('x', 'y')", "c": "fidelity(1, 4)"})
    if "pbt" in configuration:
        configuration = {"pbt": {"population_size": 6, "generations": 3}}
    if "hyperband" in configuration:
        configuration = {"hyperband": {**configuration["hyperband"], "repetitions": None}}
    state = simulate(configuration, space, None, workers)
    assert state.exhausted
    points = {(trial.params["a"], trial.params["b"]) for trial in state.trials}
    assert points == set(itertools.product(range(3), "xy"))
    if not needs_fidelity(next(iter(configuration))):
        assert len(state.trials) == 6
        assert {trial.params["c"] for trial in state.trials} == {4}


@pytest.mark.parametrize("configuration", ALGORITHMS, ids=str)
def test_a_seed_and_one_worker_repeat(configuration: Any) -> None:
    """The same seed gives one worker the same trials every time, and another seed others."""
    space = Space.parse(SPACES["mixed" if "gridsearch" not in configuration else "fidelity"])

    def points(seed: int) -> list[str]:
        state = simulate(configuration, space, most(configuration), seed=seed)
        return [params_key(trial.params) for trial in state.trials]

    assert points(1) == points(1)
    if next(iter(configuration)) not in ("gridsearch", "qmc"):
        assert points(1) != points(2)


UNLEARNING = [one for one in ALGORITHMS if {"random", "gridsearch", "qmc"} & one.keys()]


@pytest.mark.parametrize("configuration", UNLEARNING, ids=str)
def test_what_does_not_learn_repeats_with_any_number_of_workers(configuration: Any) -> None:
    """One worker and seven run the same trials under the same numbers."""
    space = Space.parse(SPACES["real"])
    alone, together = (simulate(configuration, space, 40, workers) for workers in (1, 7))
    assert [one.params for one in alone.trials] == [one.params for one in together.trials]
