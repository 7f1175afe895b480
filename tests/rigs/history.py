"""A history that algorithms are asked on, and workers that ask: the real state, without a file."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from orion_hpc.algorithms.base import Algorithm
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, Params, TrialRecord
from orion_hpc.worker import plan


class FakeHistory(ExperimentState):
    """An experiment without limits that takes whatever is registered."""

    def __init__(self, max_trials: int | None = None) -> None:
        super().__init__(1, "fake", 1, {}, 0.0, max_trials, 10**6)

    def register(self, params: Params, parent: int | None = None) -> int:
        """Register a point, reserved; return its number."""
        number = len(self.trials)
        event = ev.RegisterTrial(number, params, 0.0, worker="w", parent=parent)
        assert self.apply(event), f"{params} was proposed twice"
        return number

    def complete(self, number: int, *objectives: float, constraint: float | None = None) -> None:
        """Record results of a trial; without objectives, that it has none (as an imported one)."""
        results: list[dict[str, Any]] = [
            {"name": f"o{place}", "type": "objective", "value": value}
            for place, value in enumerate(objectives)
        ]
        if constraint is not None:
            results.append({"name": "c", "type": "constraint", "value": constraint})
        assert self.apply(ev.CompleteTrial(number, 1, results, 1.0))

    def break_(self, number: int) -> None:
        """Let a trial fail."""
        assert self.apply(ev.ReleaseTrial(number, 1, BROKEN, "user error", "", 1.0))


def objective(params: Params) -> float:
    """Return a smooth function of all numbers, and a table of all choices."""

    def one(value: Any) -> float:
        if isinstance(value, list):
            return sum(map(one, value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return len(str(value)) / 7
        return (min(abs(value), 1e6) - 0.3) ** 2

    return sum(one(value) for name, value in params.items() if name != "epochs")


def simulate(
    configuration: Any,
    space: Space,
    max_trials: int | None,
    workers: int = 1,
    seed: int = 1,
    value: Callable[[TrialRecord], float | None] = lambda trial: objective(trial.params),
    algorithm: Algorithm | None = None,
) -> FakeHistory:
    """Let so many workers with a trial each, and an algorithm each, run a search to its end.

    Which trial ends next follows from ``seed``; ``value`` gives its objective, None where it
    breaks. A suggestion that replay refuses fails.
    """
    state, rng = FakeHistory(max_trials), random.Random(seed)
    algorithms = [algorithm or make_algorithm(configuration, space) for _ in range(workers)]
    free = list(range(workers))
    holds: dict[int, int] = {}
    while not state.is_done:
        rng.shuffle(free)
        waiting = []
        while free and not state.is_done:
            worker = free.pop()
            own = algorithms[worker]
            proposal = plan.propose(state, own, seed, f"w{worker}", 1)
            events = plan.reservations(state, own, seed, f"w{worker}", 1, 0.0, proposal)
            before = len(state.trials)
            accepted = [state.apply(event) for event in events]
            assert all(accepted), f"refused: {events}"
            if len(state.trials) > before:
                space.check(state.trials[before].params)
                holds[before] = worker
            else:
                waiting.append(worker)
        free = waiting
        if not holds:
            assert state.is_done, f"nobody has anything to do after {len(state.trials)} trials"
            break
        number = rng.choice(sorted(holds))
        free.append(holds.pop(number))
        found = value(state.trials[number])
        if found is None:
            state.break_(number)
        else:
            state.complete(number, found)
    return state
