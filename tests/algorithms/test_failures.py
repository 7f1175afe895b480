"""What algorithms learn from trials that break: to propose less where they do."""

from __future__ import annotations

from typing import Any

import pytest

from orion_hpc.algorithms.base import draw_generator
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.trial_record import (
    BROKEN,
    CANCELLED,
    INTERRUPTED,
    KILLED,
    LOST_WORKER,
    NEW,
    OUT_OF_MEMORY,
    PREEMPTED,
    USER_ERROR,
    TrialRecord,
)
from orion_hpc.worker import plan
from tests.options import needs_torch
from tests.rigs.history import FakeHistory, simulate

PLAIN = {"x": "uniform(0, 1)", "y": "uniform(0, 1)"}
SAMPLERS: dict[str, dict[str, Any]] = {"tpe": {}, "cmaes": {}, "nsga2": {"population_size": 10}}


class Enough(Exception):
    """Ends a simulation."""


def _value(trial: TrialRecord) -> float | None:
    """Half of the space breaks; the best of the other half isn't beside it."""
    x, y = trial.params["x"], trial.params["y"]
    return None if x > 0.5 else (x - 0.3) ** 2 + (y - 0.5) ** 2


def _shares(configuration: dict[str, Any], priors: dict[str, str], count: int, seed: int):
    """Return the share of new points that break, among the first and the last third."""
    seen: list[TrialRecord] = []

    def value(trial: TrialRecord) -> float | None:
        seen.append(trial)
        if len(seen) == count:
            raise Enough
        return _value(trial)

    with pytest.raises(Enough):
        simulate(configuration, Space.parse(priors), None, seed=seed, value=value)
    breaks = [_value(trial) is None for trial in seen if trial.parent is None]
    third = len(breaks) // 3
    return sum(breaks[:third]) / third, sum(breaks[-third:]) / third


@pytest.mark.parametrize("halving", [None, "asha", "hyperband"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_fewer_points_are_proposed_where_trials_break(name: str, halving: str | None) -> None:
    """The share of breaking proposals falls with every algorithm and sampler that learns.

    A model leaves the half that breaks. The genetic algorithm mutates into it from time to time.
    """
    configuration: dict[str, Any] = {name: SAMPLERS[name]}
    priors = PLAIN
    if halving is not None:
        configuration = {halving: {"sampler": configuration}}
        priors = {"epochs": "fidelity(1, 9, base=3)", **PLAIN}
    shares = [_shares(configuration, priors, 120, seed) for seed in (1, 2, 3)]
    first, last = (sum(part) / 3 for part in zip(*shares, strict=True))
    assert last < (0.8 * first if name == "nsga2" else 0.15), shares


@needs_torch
@pytest.mark.parametrize("halving", [None, "asha"])
def test_gp_leaves_where_trials_break(halving: str | None) -> None:
    """So does a Gaussian process, by itself and as a sampler."""
    configuration: dict[str, Any] = {"gp": {"n_initial_points": 6}}
    priors = PLAIN
    if halving is not None:
        configuration = {halving: {"sampler": configuration}}
        priors = {"epochs": "fidelity(1, 9, base=3)", **PLAIN}
    first, last = _shares(configuration, priors, 55, seed=2)
    assert last < 0.3 < first


def _history(count: int = 30) -> FakeHistory:
    history, space = FakeHistory(), Space.parse(PLAIN)
    for number in range(count):
        history.register(space.sample(draw_generator(7, number)))
        value = _value(history.trials[number])
        if value is None:
            history.break_(number)
        else:
            history.complete(number, value)
    return history


@pytest.mark.parametrize("name", ["tpe", "cmaes", pytest.param("gp", marks=needs_torch)])
def test_an_instance_that_saw_trials_break_suggests_what_a_new_one_does(name: str) -> None:
    """Suggestions follow from the history alone, whenever trials broke or were set to new."""
    space = Space.parse(PLAIN)
    history = FakeHistory()
    old = make_algorithm(name, space)
    late = [3, 8, 14]
    for number in range(24):
        point = old.suggest(history, number, draw_generator(1, number))
        new = make_algorithm(name, space)
        assert new.suggest(history, number, draw_generator(1, number)) == point
        history.register(point)
        if number not in late:
            value = _value(history.trials[number])
            history.break_(number) if value is None else history.complete(number, value)
        if number in (12, 20):
            history.break_(late.pop(0))
        if number == 16:
            broken = history.having(BROKEN)[0]
            assert history.apply(ev.SetStatus(broken.number, broken.attempt, NEW, 2.0))


def test_several_objectives_and_constraints() -> None:
    """A failed trial is as bad as the worst one in each objective and each constraint."""
    history, space = FakeHistory(), Space.parse(PLAIN)
    algorithm = make_algorithm("tpe", space)
    late = []
    for number in range(60):
        point = algorithm.suggest(history, number, draw_generator(1, number))
        history.register(point)
        x, y = point["x"], point["y"]
        late.append(x > 0.5)
        if x > 0.5:
            history.break_(number)
        else:
            history.complete(number, x + y, (x - 0.4) ** 2 + y, constraint=0.2 - x)
    assert sum(late[-20:]) < 5


@pytest.mark.parametrize(
    ("cause", "counts"),
    [(USER_ERROR, True), (KILLED, True), (OUT_OF_MEMORY, True), (LOST_WORKER, True),
     (CANCELLED, False), (PREEMPTED, False)],
)  # fmt: skip
def test_causes_that_count_against_a_point(cause: str, counts: bool) -> None:
    """What a machine or a user did to a trial is no fault of its point."""
    history = FakeHistory()
    number = history.register({"x": 0.7, "y": 0.1})
    assert history.apply(ev.ReleaseTrial(number, 1, BROKEN, cause, "", 1.0))
    assert bool(history.failed()) is counts


def test_a_lost_worker_counts_once_the_attempts_have_run_out() -> None:
    """A trial whose worker was lost is run again, and only fails after ``max_attempts`` losses."""
    history = FakeHistory()
    number = history.register({"x": 0.7, "y": 0.1})
    for attempt in (1, 2, 3):
        (release,) = plan.losses(history, plan.Loss(["w"]), 3, 1.0)
        assert history.apply(release)
        if attempt < 3:
            assert history.trials[number].status == INTERRUPTED
            assert history.failed() == []
            assert history.apply(ev.ReserveTrial(number, attempt + 1, "w", 1.0))
    assert [trial.number for trial in history.failed()] == [number]


def test_failures_change_the_suggestion() -> None:
    """The same history without its failed trials gives another suggestion."""
    history, space = _history(), Space.parse(PLAIN)
    other = FakeHistory()
    for trial in history.trials:
        other.register(trial.params)
        if trial.objective is not None:
            other.complete(trial.number, trial.objective)
        else:
            assert other.apply(ev.ReleaseTrial(trial.number, 1, BROKEN, CANCELLED, "", 1.0))
    for name in ("tpe", "cmaes"):
        found = {
            str(make_algorithm(name, space).suggest(one, 30, draw_generator(1, 30)))
            for one in (history, other)
        }
        assert len(found) == 2, name
