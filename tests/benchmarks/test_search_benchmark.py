"""The benchmark of the searches runs and tells what it found; how good anything is isn't looked
at."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from orion_hpc.model.space import Space
from tests.benchmarks import search, searches
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
    assert told["left_out"] == {}
    assert len(told["regret"]) == 8
    for line in told["regret"]:
        assert len(line["curve"]) == len(line["optunas_curve"]) == 20
        assert line["curve"] == sorted(line["curve"], reverse=True)
        assert all(value >= 0 for value in line["ours"] + line["optuna"])
        assert len(line["pairs"]) == told["options"]["seeds"]
    assert [(line["workers"], line["algorithm"]) for line in told["overall"]] == [
        (1, "random"), (1, "tpe"), (10, "random"), (10, "tpe"),
    ]  # fmt: skip
    assert [line["against_random"] != "" for line in told["overall"]] == [False, True] * 2
    assert [(line["workers"], line["algorithm"]) for line in told["fidelity"]] == [
        (1, "asha"), (1, "hyperband"), (10, "asha"), (10, "hyperband"),
    ]  # fmt: skip
    for line in told["fidelity"]:
        shares = [math.inf if share is None else share for share in line["share of its fidelity"]]
        assert shares == sorted(shares)
        assert 0 < line["first at full fidelity"] <= shares[1]
    assert [(line["trials"], line["ratio"] > 0) for line in told["speed"]] == [(100, True)]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "| branin" in capsys.readouterr().out


def test_what_cannot_run_here_is_left_out_with_the_reason() -> None:
    """A run of an hour isn't lost for one library: its algorithm's rows are missing, and why is
    told."""
    with ProcessPoolExecutor(1) as pool:
        options = Namespace(algorithms=["random"], fast=["tpe"], halving=["asha"])
        assert search.leave_out(pool, options) == {}
    assert (options.algorithms, options.fast, options.halving) == (["random"], ["tpe"], ["asha"])
    assert "nosuch" in search._lacks("nosuch", "nosuch")


def test_as_many_errors_are_a_tie() -> None:
    """The objective of a tuning is a whole number of errors of its 500 samples, in whichever folds
    they are."""
    space = Space.parse(PROBLEMS["svm digits"].space)
    for _ in range(3):
        errors = PROBLEMS["svm digits"].function(space.sample()) * 500
        assert errors == pytest.approx(round(errors), abs=1e-9)


def test_a_run_without_searches_measures_the_rest(capsys) -> None:
    """One kind of measurement can be asked for alone."""
    words = ["--algorithms", "--halving", "--fast", "random", "--sizes", "10"]
    assert search.main(words) == 0
    assert "study.ask" in capsys.readouterr().out


def test_random_search_spends_the_fidelity_that_shares_are_told_of() -> None:
    """As many trials as fit begin, whatever number of workers; what runs beside counts in part."""
    problem = MULTI["biased branin"]
    for workers in (1, 10):
        found = searches.ours(problem, "random", 0, workers, most=81.0 * 5)
        assert len(found) == 5
        assert found[-1][0] == 81 * 5
        spent = [one for one, _, _ in found]
        assert spent == sorted(spent)
        if workers == 1:
            assert spent == [81.0, 162.0, 243.0, 324.0, 405.0]
        else:  # all began at once, and each takes another time
            assert 81 < spent[0] < 405


def test_a_promotion_spends_only_what_it_has_more() -> None:
    """With one worker nothing runs beside, so what is spent between two ends is one trial's own."""
    problem = MULTI["biased branin"]
    spent, costs = 0.0, set()
    for now, _, params in searches.ours(problem, "asha", 0, 1, most=200.0):
        costs.add((params["epochs"], round(now - spent, 6)))
        spent = now
    assert {(1, 1.0), (3, 2.0), (9, 6.0)} <= costs <= {(1, 1.0), (3, 2.0), (9, 6.0), (27, 18.0)}


def test_peers_search_the_same_spaces() -> None:
    """Optuna's study has the bounds, the scales and the choices of ours."""
    found = searches.distributions_of(PROBLEMS["mixed"].space)
    assert (found["lr"].low, found["lr"].high, found["lr"].log) == (1e-6, 1.0, True)
    assert (found["layers"].low, found["layers"].high) == (1, 12)
    assert found["kind"].choices == ("adam", "sgd", "rms")
