"""The samplers of Optuna: that ours suggest what Optuna's own study would, and what pending trials
do."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings

import optuna
import pytest

from orion_hpc.algorithms.base import draw_generator
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.errors import ConfigurationError
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import COMPLETED, TrialRecord
from orion_hpc.plugins import install_command
from tests.options import needs_torch
from tests.rigs.history import FakeHistory, objective, simulate

SPACE = Space.parse(
    {
        "depth": "randint(1, 9)",
        "kind": "choices('a', 'b', 'c')",
        "lr": "loguniform(1e-5, 1, precision=None)",
        "x": "uniform(-1, 1, precision=None)",
    }
)
DISTRIBUTIONS = {
    "depth": optuna.distributions.IntDistribution(1, 8),
    "kind": optuna.distributions.CategoricalDistribution((0, 1, 2)),
    "lr": optuna.distributions.FloatDistribution(1e-5, 1, log=True),
    "x": optuna.distributions.FloatDistribution(-1, 1),
}


def history_of(count: int, pending: int = 0) -> FakeHistory:
    """Return a history of random points."""
    history, rng = FakeHistory(), random.Random(2)
    for place in range(count + pending):
        params = SPACE.sample(rng)
        number = history.register(params)
        if place < count:
            history.complete(number, objective(params))
    return history


def study_of(history: FakeHistory, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """Return Optuna's own study of the same trials."""
    study = optuna.create_study(sampler=sampler)
    for trial in history.trials:
        params = {**trial.params, "kind": "abc".index(trial.params["kind"])}
        done = trial.status == COMPLETED
        study.add_trial(
            optuna.create_trial(
                params=params,
                distributions=DISTRIBUTIONS,
                value=trial.objective,
                state=optuna.trial.TrialState.COMPLETE if done else optuna.trial.TrialState.RUNNING,
            )
        )
    return study


@pytest.mark.parametrize("pending", [0, 4])
@pytest.mark.parametrize("name", ["tpe", pytest.param("gp", marks=needs_torch)])
def test_suggestions_are_those_of_optunas_study(name: str, pending: int) -> None:
    """The same sampler with the same seed and trials suggests the same."""
    history = history_of(20, pending)
    number = len(history.trials)
    ours = make_algorithm(name, SPACE).suggest(history, number, draw_generator(1, number))
    seed = draw_generator(1, number).getrandbits(32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = (
            optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
            if name == "tpe"
            else optuna.samplers.GPSampler(seed=seed)
        )
    theirs = study_of(history, sampler).ask(DISTRIBUTIONS).params
    assert ours == {**theirs, "kind": "abc"[theirs["kind"]]}


@needs_torch
def test_pending_trials_keep_workers_apart() -> None:
    """With ``max`` a suggestion is further from those that run at the best point than with
    ``none``, and each strategy changes it."""
    found = {}
    for strategy in (None, "max", "mean", "min", "none"):
        history = history_of(15)
        algorithm = make_algorithm({"gp": {"strategy": strategy}}, SPACE)
        for _ in range(3):
            number = len(history.trials)
            history.register(algorithm.suggest(history, number, draw_generator(1, number)))
        found[strategy] = [one.params for one in history.trials[15:]]
    first = [points[0] for points in found.values()]
    assert all(point == first[0] for point in first), "nothing is pending yet"
    assert len({str(points[1:]) for points in found.values()}) >= 4


def test_several_objectives_and_constraints_are_used() -> None:
    """The front is better covered than at random; what breaks a constraint is avoided."""
    space = Space.parse({"x": "uniform(0, 1)", "y": "uniform(0, 1)"})

    def area(algorithm) -> float:
        history = FakeHistory()
        algorithm = make_algorithm(algorithm, space)
        for number in range(60):
            params = algorithm.suggest(history, number, draw_generator(1, number))
            x, y = params["x"], params["y"]
            history.complete(history.register(params), x + y, (1 - x) ** 2 + y, constraint=0.3 - x)
        late = history.trials[30:]
        kept = [one for one in late if one.constraints[0] <= 0]
        return sum(one.params["y"] for one in late) / 30 - len(kept) / 30

    at_random = area("random")
    for algorithm in ({"tpe": {}}, {"nsga2": {"population_size": 10}}):
        assert area(algorithm) < at_random - 0.1


def test_learned_trials_are_history() -> None:
    """With trials of another experiment no initial points are drawn."""
    rng, history = random.Random(3), FakeHistory()
    for place in range(20):
        point = SPACE.sample(rng)
        value = objective(point)
        results = [{"name": "o", "type": "objective", "value": value}]
        history.learned.append(TrialRecord(-1 - place, point, 0.0, COMPLETED, results=results))
    bare = make_algorithm("tpe", SPACE).suggest(FakeHistory(), 0, draw_generator(1, 0))
    assert make_algorithm("tpe", SPACE).suggest(history, 0, draw_generator(1, 0)) != bare


@pytest.mark.parametrize(
    ("name", "better"),
    [("tpe", 3.0), pytest.param("gp", 10.0, marks=needs_torch), ("cmaes", 3.0)],
)
@pytest.mark.parametrize("workers", [1, 4])
def test_they_find_the_minimum(name: str, better: float, workers: int) -> None:
    """Better than random search on a bowl, by far."""
    space = Space.parse(dict.fromkeys("xy", "uniform(-1, 1, precision=None)"))
    most = 30 if name == "gp" else 120
    found = [
        simulate(
            algorithm, space, most, workers,
            value=lambda one: (one.params["x"] - 0.3) ** 2 + (one.params["y"] + 0.2) ** 2,
        ).best.objective
        for algorithm in ("random", name)
    ]  # fmt: skip
    assert found[1] < found[0] / better


@pytest.mark.parametrize(
    "prior",
    ["randint(0, 2**32)", "uniform(-10**20, 10**20, discrete=True)",
     "loguniform(1, 10**12, discrete=True)"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["tpe", "nsga2", pytest.param("gp", marks=needs_torch)])
def test_a_large_range_of_integers(name: str, prior: str) -> None:
    """A search of a range whose values don't fit into memory finds its middle."""
    space = Space.parse({"x": prior})
    (dimension,) = space.values()
    history = FakeHistory()
    options = {"population_size": 8} if name == "nsga2" else {"n_initial_points": 5}
    algorithm = make_algorithm({name: options}, space)
    shares = []
    for number in range(16):
        params = algorithm.suggest(history, number, draw_generator(1, number))
        assert type(params["x"]) is int
        shares.append(dimension.distribution.share(params["x"]))
        history.complete(history.register(params), abs(shares[-1] - 0.3))
    assert min(abs(share - 0.3) for share in shares) < 0.1


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to type to have it."""
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(ConfigurationError, match="algorithm cmaes needs a library") as caught:
        make_algorithm("cmaes", SPACE)
    assert caught.value.hint == install_command("search")


def test_only_who_chooses_it_imports_optuna() -> None:
    """The configuration is checked without it."""
    code = (
        "import sys\n"
        "from orion_hpc.algorithms.factory import normalise\n"
        "normalise({'tpe': {'seed': 1}}); normalise('gp'); normalise('cmaes'); normalise('qmc')\n"
        "normalise({'hyperband': {'sampler': 'tpe'}})\n"
        "print({'optuna', 'scipy', 'numpy', 'torch', 'cmaes'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
