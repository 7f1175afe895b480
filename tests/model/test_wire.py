"""The wire form of events, old and new."""

from __future__ import annotations

import pytest

from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE, State

EVENTS = [
    ev.CreateExperiment("e", 1, {"max_trials": 3, "max_broken": 2}, 1.0),
    ev.RegisterTrial(0, {"x": 1}, 1.0),
    ev.RegisterTrial(0, {"x": 1}, 1.0, "abc"),
    ev.ReserveTrial(0, 1, "w", None),
    ev.CompleteTrial(0, 1, [{"name": "o", "type": "objective", "value": 1.0}], None),
    ev.ReleaseTrial(0, 1, "broken", "user error", "why", None),
    ev.ChangeLimits(None, 3, 1.0),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back(event):
    """Of the same kind, with the same fields."""
    assert ev.decode(ev.encode(event)) == event
    assert type(ev.decode(ev.encode(event))) is type(event)


def test_a_registration_of_before_ids_is_read():
    """Four fields: code, number, params and time; its id is that of its parameters."""
    old = ev.decode((2, 0, {"x": 1}, 1.0))
    assert old == ev.RegisterTrial(0, {"x": 1}, 1.0, None)
    state = State()
    state.apply(CATALOGUE, "w", 0, EVENTS[:1])
    state.apply(1, "w", 0, [old])
    assert state.experiments[1].trials[0].id == "c80e73528d6b100719fd51cf23630dcd"
