"""Both renderers draw each kind of chart; nothing of an experiment is taken for markup."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from orion_hpc.errors import ConfigurationError
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.visual import matplotlib_figures, plotly_figures
from orion_hpc.visual.kinds import KINDS, OF_SEVERAL, make_chart
from tests.rigs.database import configuration

HOSTILE = "<img src=x onerror=alert(1)> $\\frac{1}{0"

SPACE = {
    HOSTILE: "uniform(-1, 1)",
    "k": f"choices(['a', {HOSTILE!r}, None])",
    "n": "fidelity(1, 9, base=3)",
    "w": "loguniform(1e-3, 1, shape=2)",
}

PNG, PDF = b"\x89PNG", b"%PDF"


@pytest.fixture(scope="module")
def state() -> ExperimentState:
    """Twelve trials of two objectives, whose names and texts are hostile."""
    found = ExperimentState(1, HOSTILE, 1, configuration(space=SPACE), 0.0, None, 9)
    for number in range(12):
        params = {
            HOSTILE: number / 12,
            "k": ("a", HOSTILE, None)[number % 3],
            "n": (1, 3, 9)[number % 3],
            "w": [0.01 * (number + 1), 0.5 / (number + 1)],
        }
        found.apply(ev.RegisterTrial(number, params, 5.0 * number, None, f"<b>{number % 2}"))
        results = [
            {"name": HOSTILE, "type": "objective", "value": (number - 4) ** 2},
            {"name": "o", "type": "objective", "value": float(number)},
        ]
        found.apply(ev.CompleteTrial(number, 1, results, 5.0 * number + 4))
    return found


def chart_of(kind: str, state: ExperimentState) -> Any:
    few = {"n_points": 3, "n_runs": 2} if kind == "lpi" else {}
    if kind in ("partial_dependencies", "contour"):
        few = {"n_grid_points": 3, "n_samples": 2}
    states = {"<i>a": [state, state], "b": [state, state]} if kind in OF_SEVERAL else [state]
    return make_chart(kind, states, **few)


@pytest.mark.parametrize("kind", KINDS)
def test_plotly_draws_it(state: ExperimentState, kind: str) -> None:
    """And no text of the experiment is taken for HTML, which plotly would take it for."""
    chart = chart_of(kind, state)
    figure = plotly_figures.figure(chart, width=500)
    assert figure.layout.width == 500
    assert len(figure.data) >= 1
    for trace in figure.data:
        shown = str(trace.to_plotly_json())
        assert "<img" not in shown
        assert "<i>" not in shown
    text = figure.to_json()
    assert "<img" not in text
    assert "\\u003cimg" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_matplotlib_draws_it(state: ExperimentState, kind: str) -> None:
    """As a picture, twice the same; no dollar sign is taken for mathematics."""
    chart = chart_of(kind, state)
    pictures = []
    for _ in range(2):
        file = io.BytesIO()
        matplotlib_figures.write(chart, file, "png")
        pictures.append(file.getvalue())
    assert pictures[0].startswith(PNG)
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(("format_", "begin"), [("svg", b"<?xml"), ("pdf", PDF)])
def test_other_formats(state: ExperimentState, format_: str, begin: bytes) -> None:
    """Vector graphics."""
    file = io.BytesIO()
    matplotlib_figures.write(chart_of("regret", state), file, format_)
    assert file.getvalue().startswith(begin)


@pytest.mark.parametrize("library", ["plotly", "matplotlib"])
def test_a_missing_library_is_named(
    state: ExperimentState, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    """With what installs it."""
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, library, None)
    chart = chart_of("regret", state)
    draw = {
        "plotly": lambda: plotly_figures.figure(chart),
        "matplotlib": lambda: matplotlib_figures.write(chart, io.BytesIO(), "png"),
    }[library]
    with pytest.raises(ConfigurationError) as raised:
        draw()
    assert library in raised.value.message
    assert "pip install 'matplotlib" in (raised.value.hint or "")
