"""Searches on a simulated clock: ours, and Optuna's own study with the same sampler.

Some workers have a trial each; which ends next follows from durations that are the same for both.
"""

from __future__ import annotations

import heapq
import random
import warnings
from collections.abc import Callable
from typing import Any

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.model.space import Space
from orion_hpc.worker import plan
from tests.benchmarks.problems import Params, Problem
from tests.rigs.history import FakeHistory

ALGORITHMS: dict[str, Any] = {
    "random": "random",
    "qmc": "qmc",
    "tpe": "tpe",
    "gp": "gp",
    "cmaes": "cmaes",
}
"""With a peer among Optuna's samplers."""


def ours(
    problem: Problem,
    configuration: Any,
    seed: int,
    workers: int,
    max_trials: int | None = None,
    most: float | None = None,
) -> list[tuple[float, float, Params]]:
    """Return, in order of their ends: the sum of the fidelity that was spent, the objective and the
    parameters of each trial.

    Begins ``max_trials``, or until ``most`` of the fidelity is taken. What runs beside has spent as
    much of its fidelity as of its time; a trial that goes on from another takes what it has more.
    """
    space = Space.parse(problem.space)
    algorithm, state = make_algorithm(configuration, space), FakeHistory(max_trials)
    ends: list[tuple[float, int, str]] = []
    begins: dict[int, float] = {}
    free = [f"w{place}" for place in range(workers)]
    now = taken = 0.0
    found: list[tuple[float, float, Params]] = []

    def cost(number: int) -> float:
        trial = state.trials[number]
        if problem.fidelity is None:
            return 1.0
        before = 0 if trial.parent is None else state.trials[trial.parent].params[problem.fidelity]
        return float(trial.params[problem.fidelity] - before)

    def outstanding() -> float:
        return sum(
            cost(number) * (end - now) / (end - begins[number])
            for end, number, _ in ends
            if end > now
        )

    while True:
        while free and (most is None or taken < most):
            name, number = free[-1], len(state.trials)
            proposal = plan.propose(state, algorithm, seed, name, 1)
            for event in plan.reservations(state, algorithm, seed, name, 1, 0.0, proposal):
                state.apply(event)
            if len(state.trials) == number:
                break
            heapq.heappush(ends, (now + cost(number) * _duration(seed, number), number, name))
            begins[number] = now
            taken += cost(number)
            free.pop()
        if not ends:
            return found
        now, number, name = heapq.heappop(ends)
        free.append(name)
        params = state.trials[number].params
        value = problem.function(params)
        state.complete(number, value)
        found.append((taken - outstanding(), value, params))


def optunas(
    problem: Problem, name: str, seed: int, workers: int, max_trials: int
) -> list[tuple[float, float, Params]]:
    """Return the same of Optuna's study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=sampler(name, seed))
        distributions = distributions_of(problem.space)
        ends: list[tuple[float, int, Any]] = []
        now, asked = 0.0, 0
        found: list[tuple[float, float, Params]] = []
        while True:
            while len(ends) < workers and asked < max_trials:
                trial = study.ask(distributions)
                heapq.heappush(ends, (now + _duration(seed, asked), asked, trial))
                asked += 1
            if not ends:
                return found
            now, _, trial = heapq.heappop(ends)
            value = problem.function(dict(trial.params))
            study.tell(trial, value)
            found.append((float(len(found) + 1), value, dict(trial.params)))


def sampler(name: str, seed: int) -> Any:
    """Return Optuna's sampler that ours is compared with."""
    from optuna import samplers

    made: dict[str, Callable[[], Any]] = {
        "random": lambda: samplers.RandomSampler(seed=seed),
        "qmc": lambda: samplers.QMCSampler(seed=seed, scramble=True),
        "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
        "gp": lambda: samplers.GPSampler(seed=seed),
        "cmaes": lambda: samplers.CmaEsSampler(seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some are experimental
        return made[name]()


def distributions_of(priors: dict[str, str]) -> dict[str, Any]:
    """Return a space's priors as Optuna's distributions."""
    from optuna import distributions as optunas

    found: dict[str, Any] = {}
    for name, dimension in Space.parse(priors).items():
        low_and_high = dimension.interval()
        if dimension.type == "categorical":
            found[name] = optunas.CategoricalDistribution(low_and_high)
        elif dimension.type == "integer":
            found[name] = optunas.IntDistribution(*low_and_high)
        else:
            log = dimension.prior_name == "loguniform"
            found[name] = optunas.FloatDistribution(*low_and_high, log=log)
    return found


def _duration(seed: int, number: int) -> float:
    return random.Random(f"{seed}/{number}").uniform(0.5, 1.5)
