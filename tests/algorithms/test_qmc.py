"""Quasi-random points: that a search goes on with the same ones under any version of scipy."""

from __future__ import annotations

import random
from typing import Any

import pytest

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.model.space import Space
from tests.rigs.history import FakeHistory

SPACE = Space.parse({"n": "randint(0, 100)", "x": "uniform(0, 1, precision=8)"})
POINTS = {
    ("sobol", True): [(15, 0.58874733), (83, 0.10406015), (61, 0.85919208), (29, 0.8506368)],
    ("sobol", False): [(0, 1e-12), (50, 0.5), (75, 0.25), (41, 0.2578125)],
    ("halton", True): [(15, 0.67367931), (65, 0.34034598), (40, 0.0070126479), (0, 0.41853528)],
    ("halton", False): [(0, 1e-12), (50, 0.33333333), (25, 0.66666667), (14, 0.41152263)],
}
"""The points 0, 1, 2 and 100 of seed 1, which recorded experiments have."""


def points(kind: str, scramble: bool) -> list[tuple[Any, ...]]:
    """Return the points of :data:`POINTS` as the algorithm suggests them."""
    options = {"seed": 1, "qmc_type": kind, "scramble": scramble}
    algorithm = make_algorithm({"qmc": options}, SPACE)
    history, rng = FakeHistory(), random.Random(0)
    return [tuple(algorithm.suggest(history, one, rng).values()) for one in (0, 1, 2, 100)]


@pytest.mark.parametrize(("kind", "scramble"), POINTS)
def test_points_are_those_of_recorded_experiments(kind: str, scramble: bool) -> None:
    """The points of each kind don't change, so that a resumed search goes on."""
    assert points(kind, scramble) == POINTS[kind, scramble]


@pytest.mark.parametrize(("kind", "scramble"), POINTS)
@pytest.mark.parametrize("spelling", ["seed", "rng"])
def test_both_spellings_of_scipy_give_the_same(
    monkeypatch: pytest.MonkeyPatch, spelling: str, kind: str, scramble: bool
) -> None:
    """A scipy that knows only ``seed``, or only ``rng``, gives the same points.

    With an integer ``rng`` gives others than ``seed``.
    """
    qmc = pytest.importorskip("scipy.stats.qmc")
    name = kind.capitalize()
    real = getattr(qmc, name)
    used = []

    def engine(d: int, *, scramble: bool, **seeds: Any) -> Any:
        if list(seeds) != [spelling]:
            raise TypeError(f"unexpected keyword argument {list(seeds)}")
        used.append(spelling)
        return real(d, scramble=scramble, **seeds)

    monkeypatch.setattr(qmc, name, engine)
    assert points(kind, scramble) == POINTS[kind, scramble]
    assert used
