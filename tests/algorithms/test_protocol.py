"""The examples of the protocol are algorithms."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import textwrap
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from orion_hpc.algorithms import base
from orion_hpc.model.space import Space
from tests.rigs.history import simulate

PRIORS = {"lr": "loguniform(1e-4, 1)", "n": "uniform(1, 9, discrete=True)", "x": "uniform(-1, 1)"}


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module with the classes that the documentation shows, registered by their names."""
    assert base.__doc__ is not None
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", base.__doc__)
    module = ModuleType("examples_of_protocol")
    for block in map(textwrap.dedent, blocks):
        if "class " in block:
            exec("from orion_hpc.model.space import Space\n" + block, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def entry_points(group: str) -> list[EntryPoint]:
        return [
            EntryPoint(name.lower(), f"{module.__name__}:{name}", group)
            for name in ("Corners", "Climb")
        ]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return module


def test_corners(examples: ModuleType) -> None:
    """Two of them, and then the space is exhausted."""
    space = Space.parse(PRIORS)
    state = simulate({"corners": {"seed": 1}}, space, 10)
    assert [list(trial.params.values()) for trial in state.trials] == [
        [1e-4, 1, -1.0],
        [1.0, 9, 1.0],
    ]
    assert state.exhausted


def test_climb(examples: ModuleType) -> None:
    """It is given reals, though there are integers and logarithms, and comes near the minimum."""

    def ends_at(configuration: Any) -> float:
        state = simulate(configuration, Space.parse(PRIORS), 100)
        assert all(isinstance(trial.params["n"], int) for trial in state.trials)
        assert len(state.trials) == 100
        assert state.best is not None
        assert state.best.objective is not None
        return state.best.objective

    assert ends_at({"climb": {"step": 0.05}}) < ends_at("random")
