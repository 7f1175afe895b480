"""The page of an experiment in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orion_hpc.experiments.summary import experiment_summary
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.visual.page import as_script, report
from orion_hpc.visual.page_data import page_data
from tests import options
from tests.rigs.browser import Browser, browser, missing_for_browser
from tests.rigs.database import configuration

HOSTILE = "</script><img src=x onerror=window.hacked=1><b>&amp;"

SPACE = {
    "lr": "loguniform(1e-5, 1)",
    "k": f"choices(['a', {HOSTILE!r}, None])",
    HOSTILE: "uniform(0, 9)",
}


def experiment(trials: int, name: str = "e", objectives: int = 1) -> ExperimentState:
    """Return an experiment of which every tenth trial is broken."""
    state = ExperimentState(1, name, 1, configuration(space=SPACE), 0.0, None, trials + 1)
    for number in range(trials):
        point = {
            "lr": 1e-5 * (1 + number),
            "k": ("a", HOSTILE, None)[number % 3],
            HOSTILE: float(number % 9),
        }
        worker = f"n{number % 2}:7:aaaaaa.5:12_{number % 2}.0"
        begin = 1000.0 + 7 * number
        state.apply(ev.RegisterTrial(number, point, begin, None, worker))
        if number % 10 == 9:
            state.apply(ev.ReleaseTrial(number, 1, "broken", "user error", HOSTILE, begin + 5))
            continue
        results = [
            {"name": f"{HOSTILE}{place}", "type": "objective", "value": float((number - 50) ** 2)}
            for place in range(objectives)
        ]
        state.apply(ev.CompleteTrial(number, 1, results, begin + 5))
    return state


def written(folder: Path, state: ExperimentState) -> tuple[Path, dict[str, Any]]:
    """Write the report of an experiment; return its path and its data."""
    data = page_data(state, experiment_summary(state, {}), "/nowhere/db.pkl", 5000.0)
    path = folder / "report.html"
    path.write_text(report(data), encoding="utf-8")
    return path, data


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this module."""
    if (reason := missing_for_browser()) is not None:
        if "BROWSER" in options.REQUIRED:
            pytest.fail(f"ORION_HPC_REQUIRE_BROWSER=1, but {reason}")
        pytest.skip(reason)
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


def test_it_loads_without_an_error_and_asks_nobody(window: Browser, tmp_path: Path) -> None:
    """Nothing but the file itself is read, and every chart is drawn."""
    path, data = written(tmp_path, experiment(40))
    window.errors(), window.requests()
    window.open(path.as_uri())
    assert window.errors() == []
    others = [
        one for one in window.requests() if not one.startswith((path.as_uri(), "data:", "blob:"))
    ]
    assert others == []
    kinds = window.run(
        "return [...document.querySelectorAll('figure')].map(one => one.dataset.kind)"
    )
    assert kinds == [chart["kind"] for chart in data["charts"]]
    assert {"regret", "parallel_coordinates", "slice", "timeline", "lpi"} <= set(kinds)
    panels = sum(
        max(1, sum(bool(panel["series"]) for panel in chart["panels"])) for chart in data["charts"]
    )
    drawn = window.run(
        "return [...document.querySelectorAll('.panel canvas')].filter(one => {"
        "const pixels = one.getContext('2d').getImageData(0, 0, one.width, one.height).data;"
        "return pixels.some(one => one !== 0)}).length"
    )
    assert drawn == panels


def test_nothing_of_an_experiment_is_run(window: Browser, tmp_path: Path) -> None:
    """Names, choices, results and messages that are HTML stay text, also where a mouse points."""
    path, _ = written(tmp_path, experiment(40, name=HOSTILE))
    window.open(path.as_uri())
    assert window.run("return window.hacked") is None
    assert window.run("return document.querySelectorAll('img, b b').length") == 0
    assert window.run("return document.querySelector('h1').textContent") == f"{HOSTILE} v1"
    assert window.run("return document.title") == f"{HOSTILE} v1"
    window.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for place in range(1, 400, 20):
        window.run(
            "const box = document.querySelector('.panel canvas').getBoundingClientRect();"
            "document.querySelector('.panel canvas').dispatchEvent(new MouseEvent('mousemove', "
            "{clientX: box.left + arguments[0], clientY: box.top + box.height / 2, "
            "bubbles: true}))",
            place,
        )
    assert window.run("return window.hacked") is None
    assert window.run("return document.querySelectorAll('img').length") == 0
    assert window.errors() == []


def column(window: Browser, place: int) -> list[str]:
    found: list[str] = window.run(
        "return [...document.querySelectorAll('#trials tbody tr:not(.spacer)')]"
        ".map(one => one.children[arguments[0]].textContent)",
        place,
    )
    return found


def headings(window: Browser) -> list[str]:
    found: list[str] = window.run(
        "return [...document.querySelectorAll('#trials th')]"
        ".map(one => one.textContent.split(' ')[0])"
    )
    return found


def click(window: Browser, heading: str) -> None:
    window.run(
        "document.querySelectorAll('#trials th button')[arguments[0]].click()",
        headings(window).index(heading),
    )


def search(window: Browser, text: str) -> None:
    window.run(
        "const input = document.getElementById('filter'); input.value = arguments[0];"
        "input.dispatchEvent(new Event('input'))",
        text,
    )


def test_trials_are_sorted_and_filtered(window: Browser, tmp_path: Path) -> None:
    """By a click on a heading, once more for the other way; by words and by comparisons."""
    path, _ = written(tmp_path, experiment(40))
    window.open(path.as_uri())
    names = headings(window)
    at = names.index("objective")
    click(window, "objective")
    assert column(window, 0)[:3] == ["38", "37", "36"]
    click(window, "objective")
    assert column(window, 0)[:3] == ["0", "1", "2"]
    assert window.run("return document.querySelectorAll('[aria-sort=descending]').length") == 1
    search(window, "broken")
    assert column(window, names.index("status")) == ["broken"] * 4
    assert column(window, at) == ["\u2013"] * 4
    search(window, "objective<400 status=completed lr>0.000355")
    assert sorted(map(int, column(window, 0))) == [35, 36, 37, 38]
    assert window.run("return document.getElementById('count').textContent") == "4 of 40 trials"


def test_ten_thousand_trials_are_no_burden(window: Browser, tmp_path: Path) -> None:
    """Only the rows that are seen are in the page; the end of the list can be scrolled to."""
    path, _ = written(tmp_path, experiment(10_000))
    window.open(path.as_uri())
    assert window.errors() == []
    assert (
        window.run("return document.getElementById('count').textContent")
        == "10,000 of 10,000 trials"
    )
    rows = "return document.querySelectorAll('#trials tbody tr').length"
    assert window.run(rows) < 100
    window.run("const room = document.getElementById('trials'); room.scrollTop = room.scrollHeight")
    window.driver.set_script_timeout(20)
    window.driver.execute_async_script(
        "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
    )
    assert column(window, 0)[-1] == "9999"
    assert window.run(rows) < 100


def test_both_themes(window: Browser, tmp_path: Path) -> None:
    """A button changes them, and the charts with them."""
    path, _ = written(tmp_path, experiment(20))
    window.open(path.as_uri())
    back = "return getComputedStyle(document.body).backgroundColor"
    light = window.run(back)
    window.run("document.getElementById('theme').click()")
    dark = window.run(back)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 23, 28)")
    assert window.errors() == []


@pytest.mark.parametrize("state", [experiment(0), experiment(1), experiment(6, objectives=2)],
                         ids=["none", "one", "two-objectives"])  # fmt: skip
def test_little_to_show(window: Browser, tmp_path: Path, state: ExperimentState) -> None:
    """Whatever there is, the page shows it."""
    path, data = written(tmp_path, state)
    window.open(path.as_uri())
    assert window.errors() == []
    if state.trials and len(state.trials) > 1:
        assert "pareto_front" in [chart["kind"] for chart in data["charts"]]
    else:
        assert window.run("return document.getElementById('best').textContent") != ""


def test_data_ends_no_script() -> None:
    """Whatever texts it has; it is read back as it was."""
    data = {"a": [HOSTILE, "\u2028", "<!--", "]]>"]}
    text = as_script(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data


def test_it_is_small(tmp_path: Path) -> None:
    """Without the data."""
    path, data = written(tmp_path, experiment(40))
    assert path.stat().st_size - len(as_script(data)) < 1_500_000
