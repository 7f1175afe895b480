"""Which trials still fit in a job, and the stop notice before its time limit."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import TIMED_OUT
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.slurm.own_job import OwnJob
from orion_hpc.worker.shutdown import StopNotice
from orion_hpc.worker.walltime import JobTime, durations, is_too_late, notice_before_limit
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.waiting import wait_until


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


class Suspended:
    """A job of ten minutes, whose process comes back at some moment as if from an hour of sleep."""

    def __init__(self) -> None:
        self._jump = 0.0
        self.awake = AwakeClock(lambda: time.monotonic() + self._jump)
        self.notice = StopNotice()
        self.job = OwnJob("12_3", "12", "quick", 0, time.time() + 600)

    def come_back(self) -> None:
        self._jump += 3600.0


def test_after_a_suspension_slurm_is_asked_for_the_new_limit(fake_slurm: FakeSlurm) -> None:
    """Slurm stops the clock of a suspended job: what is left then is more than was thought."""
    fake_slurm.answer("squeue", "9:58\n")
    one = Suspended()
    with notice_before_limit(one.notice, one.job, 60.0, one.awake):
        wait_until(lambda: one.notice.limit is not None, 10, "the limit is known")
        before = one.notice.limit
        assert before is not None
        asked = time.monotonic()
        one.come_back()
        wait_until(lambda: one.notice.limit not in (None, before), 10, "it is asked for anew")
        assert one.notice.limit is not None
        assert asked + 597.5 < one.notice.limit < time.monotonic() + 598.5
        assert len(fake_slurm.calls("squeue")) == 1
    assert one.notice.cause is None


def test_a_limit_that_has_come_near_meanwhile_is_heeded(fake_slurm: FakeSlurm) -> None:
    """As after SIGSTOP by hand, for which Slurm's clock doesn't stop."""
    fake_slurm.answer("squeue", "0:20\n")
    one = Suspended()
    with notice_before_limit(one.notice, one.job, 60.0, one.awake):
        wait_until(lambda: one.notice.limit is not None, 10, "the limit is known")
        one.come_back()
        wait_until(lambda: one.notice.cause is not None, 10, "the notice is given")
    assert one.notice.cause == TIMED_OUT


def test_without_an_answer_the_old_limit_holds(fake_slurm: FakeSlurm) -> None:
    """It is the earlier one: to be wrong is to leave too soon, not to be killed."""
    fake_slurm.fail("squeue", "Access denied")
    one = Suspended()
    with notice_before_limit(one.notice, one.job, 60.0, one.awake):
        wait_until(lambda: one.notice.limit is not None, 10, "the limit is known")
        before = one.notice.limit
        assert before is not None
        one.come_back()
        wait_until(lambda: len(fake_slurm.calls("squeue")) == 1, 10, "Slurm is asked")
        wait_until(lambda: one.notice.limit is not None, 10, "the limit is known again")
        assert one.notice.limit == pytest.approx(before, abs=0.5)
    assert one.notice.cause is None
