"""What a progress line says."""

from __future__ import annotations

import pytest

from orion_hpc.experiments.progress import duration, progress
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState


def experiment(completed: int, max_trials: int | None = 10) -> ExperimentState:
    """Return an experiment with so many completed trials and one that runs."""
    state = ExperimentState(1, "e", 1, {}, 0.0, max_trials, 3)
    for number in range(completed + 1):
        state.apply(ev.RegisterTrial(number, {"x": number}, 0.0))
        state.apply(ev.ReserveTrial(number, 1, "w", 0.0))
        if number < completed:
            results = [{"name": "loss", "type": "objective", "value": 1.0 + number}]
            state.apply(ev.CompleteTrial(number, 1, results, 1.0))
    return state


def test_the_line_tells_all_that_the_user_asks():
    """Done, running, broken, best, elapsed, and what remains at today's pace."""
    assert str(progress(experiment(4), done_before=0, elapsed=60, last=60)) == (
        "4/10 done, 1 running, 0 broken, best 1, elapsed 1 min, remaining about 1 min 30 s"
    )


def test_the_pace_is_that_of_this_run():
    """Trials of an earlier run say nothing about how long the rest takes."""
    assert progress(experiment(4), done_before=2, elapsed=60, last=60).remaining == 180


def test_before_the_first_trial_ends_nothing_is_estimated():
    """No pace, no estimate: a question mark and not a division by zero."""
    line = str(progress(experiment(0), done_before=0, elapsed=5, last=0))
    assert line.endswith("remaining unknown")
    assert progress(experiment(3), done_before=3, elapsed=5, last=0).remaining is None


def test_what_runs_since_the_last_completion_is_not_begun_anew():
    """Half way through the last trials the estimate shrinks, and never below nothing."""
    assert progress(experiment(5), done_before=0, elapsed=60, last=50).remaining == 40


def test_what_stands_still_for_longer_than_all_was_to_take_has_no_estimate():
    """Not "about 0 s", which it would say for hours while the disk is full."""
    assert progress(experiment(9), done_before=0, elapsed=90, last=50).remaining is None


@pytest.mark.parametrize(("silent", "told"), [(25, "about 0 s"), (61, "unknown")])
def test_the_last_trial_may_be_slow(silent, told):
    """Each of two workers takes 20 s for a trial: the last one is due after 10 s of silence."""
    state = ExperimentState(1, "e", 1, {}, 0.0, 10, 3)
    for number in range(10):
        state.apply(ev.RegisterTrial(number, {"x": number}, 0.0))
        state.apply(ev.ReserveTrial(number, 1, "w", 0.0))
        if number < 9:
            results = [{"name": "loss", "type": "objective", "value": 1.0}]
            state.apply(ev.CompleteTrial(number, 1, results, 20.0))
    line = str(progress(state, done_before=0, elapsed=90 + silent, last=90))
    assert line.endswith(f"remaining {told}")


def test_without_a_budget_there_is_no_end_to_estimate():
    """max_trials may be left out where the space is finite."""
    line = str(progress(experiment(3, max_trials=None), done_before=0, elapsed=5, last=5))
    assert line.startswith("3 done, ")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_as_people_do(seconds, told):
    """Two units are enough."""
    assert duration(seconds) == told
