"""The progress bar of ``workon``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.rigs.terminal import on_a_terminal

PROGRAM = """
import sys
from orion_hpc.client import build_experiment

def main(x):
    if x > 0.9:
        raise ValueError("too large")
    return x

experiment = build_experiment(
    "demo", space={"x": "uniform(0, 1)"}, max_trials=5, max_broken=9, debug=True,
    executor="single", algorithm={"random": {"seed": 3}},
)
experiment.workon(main, on_error=lambda *words: False, progress=PROGRESS)
"""


def shown(progress: str) -> str:
    """Run the program with its standard error on a terminal; return what that shows."""
    code, text = on_a_terminal(
        [sys.executable, "-c", PROGRAM.replace("PROGRESS", progress)],
        columns=100, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert code == 0, text
    return text


def test_a_terminal_shows_it() -> None:
    """Its counts, and the best objective, up to the last trial."""
    text = shown("None")
    assert "demo-v1" in text
    assert "5/5" in text
    assert "best 0." in text


def test_it_can_be_left_out() -> None:
    """Then only what the worker says is shown."""
    assert "demo-v1" not in shown("False")


@pytest.mark.parametrize(("progress", "there"), [("None", False), ("True", True)])
def test_elsewhere_only_on_demand(progress: str, there: bool) -> None:
    """A log has no use for it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("PROGRESS", progress)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == ""
    assert ("5/5" in done.stderr) == there
