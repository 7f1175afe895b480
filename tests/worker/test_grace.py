"""How long trials have to themselves after a stop notice."""

from __future__ import annotations

import pytest

from orion_hpc.worker.shutdown import NO_GRACE, Grace, grace_of, time_to_notice
from orion_hpc.worker.task import CallableTarget, CommandTarget, FunctionTarget

COMMAND = CommandTarget(("x",), "/")
FUNCTION = FunctionTarget("/", "a:b", {})
LISTENING = FunctionTarget("/", "a:b", {}, "trial")


@pytest.mark.parametrize(
    ("grace", "now", "terminated", "left"),
    [
        (NO_GRACE, 100, None, 0),
        (Grace(60), 100, None, 60),
        (Grace(60), 130, 100, 30),
        (Grace(60), 161, None, -1),
        (Grace(60, 30), 100, None, 60),
        (Grace(60, 30), 100, 100, 24),
        (Grace(10, 30), 100, 100, 10),
        (Grace(60, 30), 130, 130, 24),
        (Grace(60, 10), 100, 100, 5),
        (Grace(60, 2), 100, 100, 1),
        (Grace(600, 300), 100, 100, 290),
        (Grace(60, 0), 100, 100, 0),
    ],
)
def test_the_time_ends_with_the_grace_or_before_the_kill(grace, now, terminated, left):
    assert grace.left(now, 100.0, terminated) == left


@pytest.mark.parametrize(
    ("target", "kill_wait", "seconds"),
    [
        (COMMAND, None, 60),
        (LISTENING, None, 60),
        (FUNCTION, None, 0),
        (FUNCTION, 30.0, 60),
        (CallableTarget(print), None, 0),
        (CallableTarget(print, "trial"), None, 60),
    ],
)
def test_a_person_does_not_wait_for_who_cannot_know(target, kill_wait, seconds):
    assert grace_of(60, target, kill_wait) == Grace(seconds, kill_wait)


@pytest.mark.parametrize(
    ("left", "delay"), [(10, 8), (3600, 3600 - 70), (200, 160), (1e6, 1e6 - 70)]
)
def test_the_notice_leaves_time_before_the_limit(left, delay):
    """The grace and the worker's own ten seconds, of a short job no more than a fifth."""
    assert time_to_notice(left, 60.0) == delay


@pytest.mark.parametrize(("limit", "left"), [(170, 60), (150, 40), (108, 4), (99, 60), (None, 60)])
def test_the_time_ends_before_the_jobs_does(limit, left):
    """A worker needs some of it to release its trials, and to be requeued."""
    assert Grace(60, 30).left(100, 100.0, None, limit) == left
