"""Which trials still fit in a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.worker.walltime import JobTime, durations, is_too_late


def experiment(*took: float | None) -> ExperimentState:
    """Return an experiment whose trials took so long; None: it runs still."""
    state = ExperimentState(1, "e", 1, {}, 0.0, None, 3)
    for number, seconds in enumerate(took):
        state.apply(ev.RegisterTrial(number, {"x": number}, 100.0, worker="w"))
        if seconds is not None:
            result = {"name": "o", "type": "objective", "value": 1.0}
            state.apply(ev.CompleteTrial(number, 1, (result,), 100.0 + seconds))
    return state


@pytest.mark.parametrize(
    ("took", "left", "whole", "trial_time", "late"),
    [
        ((), 1, 3600, "auto", False),  # nothing is known
        ((600, 600), 1000, 3600, "auto", False),
        ((600, 600), 500, 3600, "auto", True),
        ((600, 600), 604, 3600, "auto", True),  # the worker needs some of it
        ((600, 100), 500, 3600, "auto", False),  # as likely as not
        ((600, 600, 100), 500, 3600, "auto", True),
        ((7200, 7200), 500, 3600, "auto", False),  # a whole job isn't enough either
        ((7200, 7200, 600), 500, 3600, "auto", True),
        ((600, None), 500, 3600, "off", False),
        ((1,), 500, 3600, 600.0, True),  # what the user says counts
        ((7200,), 700, 3600, 600.0, False),
        ((None,), -5, 3600, "auto", False),
        ((1,), -5, 3600, "auto", True),
    ],
)
def test_a_trial_that_is_unlikely_to_fit_is_not_begun(took, left, whole, trial_time, late) -> None:
    assert is_too_late(experiment(*took), JobTime(left, whole), trial_time) is late


def test_the_latest_hundred_count() -> None:
    """What the first ones took, with a cold cache say, is no matter later."""
    seen = durations(experiment(*[9999.0] * 50, *map(float, range(100))))
    assert sorted(seen) == list(range(100))


@given(st.lists(st.floats(0.1, 1e5), max_size=9), st.floats(0, 1e5), st.floats(1, 1e5))
def test_a_whole_job_is_never_too_late(took, left, whole) -> None:
    """Or no worker would begin anything; and more time never makes it later."""
    state = experiment(*took)
    assert not is_too_late(state, JobTime(whole, whole), "auto")
    if is_too_late(state, JobTime(left, whole), "auto"):
        assert is_too_late(state, JobTime(left / 2, whole), "auto")
