"""The benchmark of the searches runs and tells what it found; how good anything is isn't looked
at."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from orion_hpc.model.space import Space
from tests.benchmarks import search
from tests.benchmarks.problems import MULTI, PROBLEMS

MINIMA = {
    "branin": {"x": math.pi, "y": 2.275},
    "hartmann6": dict(
        zip(
            (f"x{place}" for place in range(6)),
            (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573),
            strict=True,
        )
    ),
    "rosenbrock": {f"x{place}": 1.0 for place in range(4)},
    "eggholder": {"x0": 512.0, "x1": 404.2318},
    "carrom": {"x0": 9.646157266348881, "x1": 9.646134286497169},
    "forrester": {"x": 0.757249},
    "mixed": {"lr": 1e-3, "layers": 5, "kind": "adam", "bias": False},
}


@pytest.mark.parametrize("name", MINIMA)
def test_minima_are_where_they_are_said_to_be(name: str) -> None:
    """The known minimum is reached at its place, which is in the space."""
    problem, point = PROBLEMS[name], MINIMA[name]
    Space.parse(problem.space).check(point)
    assert problem.function(point) == pytest.approx(problem.optimum, abs=1e-4)


@pytest.mark.parametrize("problem", [*PROBLEMS.values(), *MULTI.values()], ids=lambda one: one.name)
def test_every_problem_takes_points_of_its_space(problem) -> None:
    """And none is better than the minimum."""
    space = Space.parse(problem.space)
    for _ in range(3):
        value = problem.function(space.sample())
        assert problem.optimum is None or value >= problem.optimum - 1e-4


@pytest.mark.timeout(280)
def test_the_short_form_runs_and_leaves_its_figures(tmp_path: Path, capsys) -> None:
    """All tables have their lines, and the picture is drawn."""
    out, picture = tmp_path / "out.json", tmp_path / "out.png"
    words = ["--short", "--fast", "tpe", "--json", str(out), "--picture", str(picture)]
    assert search.main(words) == 0
    told = json.loads(out.read_text())
    assert len(told["regret"]) == 8
    for line in told["regret"]:
        assert len(line["curve"]) == len(line["optunas_curve"]) == 20
        assert line["curve"] == sorted(line["curve"], reverse=True)
        assert all(value >= 0 for value in line["ours"] + line["optuna"])
    assert [line["algorithm"] for line in told["fidelity"]] == ["asha", "hyperband"]
    assert [(line["trials"], line["ratio"] > 0) for line in told["speed"]] == [(100, True)]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| branin" in capsys.readouterr().out
