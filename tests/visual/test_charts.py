"""What charts are made of: cases computed by hand, and what Oríon draws of the same trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.lookup import read_experiments
from orion_hpc.importers.orion import importer
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.visual.chart import Chart, Series
from orion_hpc.visual.kinds import KINDS, OF_ONE, OF_SEVERAL, make_chart
from tests.rigs.database import configuration

ASSETS = Path(__file__).parents[1] / "assets"
ORION = json.loads((ASSETS / "orion-0.2.7-plots.json").read_text())


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExperimentState]:
    """The experiments of a database of Oríon, by name."""
    path = tmp_path_factory.mktemp("imported") / "db.pkl"
    importer.import_orion(ASSETS / "orion-0.2.7.pkl", str(path), None, None)
    return {one.name: one for one in read_experiments(path)}


def series(chart: Chart, panel: int = 0) -> dict[str, Series]:
    return {one.name: one for one in chart.panels[panel].series}


@pytest.mark.parametrize("order", ["suggested", "reserved", "completed"])
@pytest.mark.parametrize("name", ["svm-digits", "nested"])
def test_regret_is_orions(imported: dict[str, ExperimentState], name: str, order: str) -> None:
    """The same objectives in the same order, and the best so far."""
    chart = make_chart("regret", [imported[name]], order_by=order)
    found, wanted = series(chart), ORION["regret"][name][order]
    assert found["trials"].y == pytest.approx(wanted["trials"])
    assert found["best-to-date"].y == pytest.approx(wanted["best"])
    assert found["trials"].x == tuple(range(len(wanted["trials"])))
    assert chart.panels[0].x.label == f"Trials ordered by {order} time"


@pytest.mark.parametrize("name", ["svm-digits", "nested"])
def test_parallel_coordinates_are_orions(imported: dict[str, ExperimentState], name: str) -> None:
    """The same values of the same axes, choices by their places; the objective at the end."""
    chart = make_chart("parallel_coordinates", [imported[name]])
    found: dict[str, Any] = {}
    for one in chart.dimensions:
        places = one.axis.categories.index if one.axis.scale == "category" else float
        found[one.axis.label] = list(map(places, one.values))
    wanted = ORION["parallel_coordinates"][name]
    assert list(found) == list(wanted)
    for label, values in wanted.items():
        assert found[label] == pytest.approx(values), label


def test_local_importance_is_orions(imported: dict[str, ExperimentState]) -> None:
    """Nearly: forests differ by their seeds."""
    chart = make_chart("lpi", [imported["svm-digits"]], model_kwargs={"random_state": 1})
    (bars,) = chart.panels[0].series
    assert list(bars.x) == ORION["lpi"]["x"]
    assert bars.y == pytest.approx(ORION["lpi"]["y"], abs=0.05)
    assert sum(bars.y) == pytest.approx(1.0)
    again = make_chart("lpi", [imported["svm-digits"]], model_kwargs={"random_state": 1})
    assert again == chart


def test_partial_dependencies_are_orions(imported: dict[str, ExperimentState]) -> None:
    """Nearly: over the same values, as averages over other random points."""
    chart = make_chart(
        "partial_dependencies", [imported["svm-digits"]],
        n_grid_points=5, n_samples=100, model_kwargs={"random_state": 1},
    )  # fmt: skip
    assert (len(chart.panels), chart.columns) == (16, 4)
    for place, wanted in enumerate(ORION["partial_dependencies"]):
        panel = chart.panels[5 * place]
        curve = panel.series[0]
        if panel.x.scale == "category":
            assert list(curve.x) == ["None" if one is None else one for one in wanted["x"]]
        else:
            assert curve.x == pytest.approx(wanted["x"], rel=0.01)
        assert curve.y == pytest.approx(wanted["y"], abs=0.06)
        assert all(
            low <= mid <= high
            for low, mid, high in zip(curve.low, curve.y, curve.high, strict=True)
        )
    heat = chart.panels[4].series[0]
    assert (heat.kind, len(heat.z), len(heat.z[0])) == ("heat", 2, 5)


@pytest.mark.parametrize("kind", ["regrets", "rankings", "durations", "parallel_assessment"])
def test_comparisons_are_orions(imported: dict[str, ExperimentState], kind: str) -> None:
    """Oríon rounds the seconds of durations up, and those begin with the experiment."""
    chart = make_chart(kind, [imported["nested"], imported["svm-digits"]])
    for name, wanted in ORION[kind].items():
        found = series(chart)[name]
        assert found.y == pytest.approx(wanted["y"])
        if kind == "durations":
            assert found.x == pytest.approx(wanted["x"], abs=1.5)
        else:
            assert list(found.x) == wanted["x"]


# -- by hand ---------------------------------------------------------------------------------------


def experiment(
    losses: list[Any], name: str = "e", workers: list[str] | None = None, **changes: Any
) -> ExperimentState:
    """Return an experiment whose trials last 10 s each, one a number: 0 s, 5 s, 10 s … begin."""
    options = {"space": {"x": "uniform(0, 10)", "n": "loguniform(1, 100)"}, **changes}
    state = ExperimentState(1, name, 1, configuration(**options), 0.0, None, 99)
    for number, loss in enumerate(losses):
        begin, worker = 5.0 * number, (workers or ["w"] * 99)[number]
        state.apply(
            ev.RegisterTrial(number, {"x": float(number), "n": 1.0 + number}, begin, None, worker)
        )
        if loss is None:
            state.apply(ev.ReleaseTrial(number, 1, "broken", "killed", "", begin + 10))
            continue
        values = loss if isinstance(loss, tuple) else (loss,)
        results = [
            {"name": f"o{place}", "type": "objective", "value": value}
            for place, value in enumerate(values)
        ]
        state.apply(ev.CompleteTrial(number, 1, results, begin + 10))
    return state


def test_regrets_of_groups_are_means_with_their_deviation() -> None:
    """At each place, of the experiments that got there."""
    one, other = experiment([4.0, 2.0]), experiment([2.0, 3.0, 1.0])
    chart = make_chart("regrets", {"a": [one, other], "b": one})
    found = series(chart)
    assert found["a"].y == (3.0, 2.0, 1.0)
    assert found["a"].high == pytest.approx((3 + 2**0.5, 2.0, 1.0))
    assert found["a"].low == pytest.approx((3 - 2**0.5, 2.0, 1.0))
    assert (found["b"].y, found["b"].low) == ((4.0, 2.0), ())


def test_rankings_compare_pair_by_pair() -> None:
    """The first of one group with the first of the other, and so on."""
    good, bad = experiment([1.0, 1.0]), experiment([2.0, 0.5])
    chart = make_chart("rankings", {"a": [good, bad], "b": [bad, bad]})
    assert series(chart)["a"].y == (0.0, 0.5)
    assert series(chart)["b"].y == (1.0, 0.5)
    with pytest.raises(ConfigurationError, match="groups of 1 and 2 experiments can't be ranked"):
        make_chart("rankings", {"a": [good], "b": [bad, good]})


def test_durations_begin_with_the_first_trial() -> None:
    """In seconds, by the ends of trials."""
    found = series(make_chart("durations", {"a": [experiment([3.0, 4.0, 1.0])]}))["a"]
    assert (found.x, found.y) == ((10.0, 15.0, 20.0), (3.0, 3.0, 1.0))


def test_parallel_assessment_counts_workers() -> None:
    """Experiments with as many of them are averaged."""
    one = experiment([3.0, 1.0], workers=["v", "w"])
    two = experiment([3.0, 2.0], workers=["v", "w"])
    alone = experiment([5.0])
    found = series(make_chart("parallel_assessment", {"a": [one, two, alone]}))["a"]
    assert (found.x, found.y) == ((1, 2), (5.0, 1.5))
    assert found.error == pytest.approx((0.0, 0.5**0.5))


def test_an_infeasible_trial_is_the_best_only_before_any_other() -> None:
    """As everywhere."""
    state = experiment([5.0])
    for number, (loss, bound) in enumerate([(1.0, 1.0), (4.0, -1.0)], 1):
        state.apply(ev.RegisterTrial(number, {"x": 1.0 + number, "n": 9.0}, 9.0, None, "w"))
        results = [
            {"name": "o0", "type": "objective", "value": loss},
            {"name": "c", "type": "constraint", "value": bound},
        ]
        state.apply(ev.CompleteTrial(number, 1, results, 30.0 + number))
    assert series(make_chart("regret", [state]))["best-to-date"].y == (5.0, 5.0, 4.0)


def test_slices_have_an_axis_of_their_own() -> None:
    """Logarithmic where the prior is; the colour is the trial."""
    chart = make_chart("slice", [experiment([3.0, None, 1.0])])
    other, one = chart.panels
    assert (one.x.label, one.x.scale, other.x.label, other.x.scale) == ("x", "linear", "n", "log")
    (points,) = one.series
    assert (points.x, points.y, points.colors) == ((0.0, 2.0), (3.0, 1.0), (0, 2))
    assert points.labels[1] == "trial 2: completed\no0 = 1\nx: 2\nn: 3"
    (only,) = make_chart("slice", [experiment([3.0])], params=["n"]).panels
    assert only.x.label == "n"


def test_the_pareto_front_is_marked() -> None:
    """With each pair of objectives in a panel."""
    state = experiment([(1.0, 4.0), (2.0, 2.0), (3.0, 3.0), (4.0, 1.0)])
    chart = make_chart("pareto_front", [state])
    found = series(chart)
    assert found["Pareto front"].x == (1.0, 2.0, 4.0)
    assert (found["other trials"].x, found["other trials"].y) == ((3.0,), (3.0,))
    three = make_chart("pareto_front", [experiment([(1.0, 2.0, 3.0)])])
    assert [(one.x.label, one.y.label) for one in three.panels] == [
        ("o0", "o1"), ("o0", "o2"), ("o1", "o2"),
    ]  # fmt: skip
    with pytest.raises(ConfigurationError, match="have one objective"):
        make_chart("pareto_front", [experiment([1.0])])


def test_the_timeline_shows_workers_and_how_trials_ended() -> None:
    """From the first start on."""
    host = "n1:7:aaaaaa.5:12_0.0"
    state = experiment([1.0, None, 2.0], workers=[host, host, "other"])
    state.apply(ev.RegisterTrial(3, {"x": 9.0, "n": 9.0}, 12.0, None, "other"))
    chart = make_chart("timeline", [state])
    panel, found = chart.panels[0], series(chart)
    assert panel.y.categories == ("n1 12_0.0", "other")
    assert list(found) == ["completed", "broken: killed", "reserved"]
    assert (found["completed"].x, found["completed"].until) == ((0.0, 10.0), (10.0, 20.0))
    assert found["completed"].y == ("n1 12_0.0", "other")
    assert (found["broken: killed"].x, found["broken: killed"].until) == ((5.0,), (15.0,))
    assert (found["reserved"].x, found["reserved"].until) == ((12.0,), (20.0,))


def test_promotions_join_trials_of_different_fidelity() -> None:
    """From the one that was promoted."""
    space = {"x": "uniform(0, 10)", "n": "fidelity(1, 9, base=3)"}
    state = experiment([3.0], space=space)
    state.apply(ev.RegisterTrial(1, {"x": 0.0, "n": 9}, 9.0, None, "w", 0))
    state.apply(ev.CompleteTrial(1, 1, [{"name": "o0", "type": "objective", "value": 1.0}], 20.0))
    panel = make_chart("fidelity", [state]).panels[0]
    line, points = panel.series
    assert (line.kind, line.x, line.y) == ("line", (1.0, 9), (3.0, 1.0))
    assert points.y == (3.0, 1.0)
    with pytest.raises(ConfigurationError, match="has no fidelity"):
        make_chart("fidelity", [experiment([1.0])])


def test_importance_finds_what_matters() -> None:
    """By both evaluators; of a function of one hyperparameter."""
    state = experiment([])
    for number in range(30):
        x, n = (number * 7 % 30) / 3, 1.0 + number * 11 % 30
        state.apply(ev.RegisterTrial(number, {"x": x, "n": n}, 1.0, None, "w"))
        results = [{"name": "o", "type": "objective", "value": (x - 3) ** 2}]
        state.apply(ev.CompleteTrial(number, 1, results, 2.0 + number))
    for evaluator in ("ped-anova", "fanova"):
        (bars,) = make_chart("importance", [state], evaluator=evaluator).panels[0].series
        assert bars.x[0] == "x", evaluator
        assert bars.y[0] > 0.7, evaluator
    with pytest.raises(ConfigurationError, match="did you mean fanova"):
        make_chart("importance", [state], evaluator="fanov")


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_result_each_chart_says_so(kind: str) -> None:
    """And none fails in another way; with one trial those without a model are drawn."""
    space = {"x": "uniform(0, 10)", "n": "fidelity(1, 9, base=3)"}
    empty = experiment([], space=space)
    with pytest.raises(ConfigurationError, match=r"no completed trial|has begun|too few"):
        make_chart(kind, [empty])
    few = ("lpi", "partial_dependencies", "importance", "contour", "pareto_front")
    if kind not in few:
        chart = make_chart(kind, [experiment([1.0], space=space)])
        assert json.loads(json.dumps(chart.to_dict(), allow_nan=False))["kind"] == kind


def test_bad_requests_are_refused() -> None:
    """With what there is."""
    one = experiment([1.0])
    with pytest.raises(ConfigurationError, match="did you mean regret"):
        make_chart("regrt", [one])
    with pytest.raises(ConfigurationError, match="shows one experiment, and 2 are given"):
        make_chart("regret", [one, one])
    with pytest.raises(ConfigurationError, match="did you mean order_by"):
        make_chart("regret", [one], oder_by="suggested")
    with pytest.raises(ConfigurationError, match="did you mean completed"):
        make_chart("regret", [one], order_by="complete")
    with pytest.raises(ConfigurationError, match="no hyperparameter 'y'"):
        make_chart("slice", [one], params=["y"])
    with pytest.raises(ConfigurationError, match="no experiment to compare"):
        make_chart("regrets", [])
    assert set(KINDS) == {*OF_ONE, *OF_SEVERAL}
