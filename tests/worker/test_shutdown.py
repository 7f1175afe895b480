"""What a worker does about the announcement of a suspension, and its time limit about the end of
one."""

from __future__ import annotations

import signal
import time

import pytest

from orion_hpc.model.trial import CANCELLED, TIMED_OUT
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.slurm.own_job import OwnJob
from orion_hpc.worker import shutdown
from orion_hpc.worker.shutdown import StopNotice
from orion_hpc.worker.walltime import notice_before_limit
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.waiting import wait_until


def waits(notice: StopNotice) -> float:
    """Return how many seconds it waits before a transaction."""
    begin = time.monotonic()
    notice.await_suspension()
    return time.monotonic() - begin


def test_an_announced_suspension_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTSTP stops nothing by itself; SIGCONT, or time, ends the waiting."""
    monkeypatch.setattr(shutdown, "_SUSPENSION_DELAY", 1.0)
    notice = StopNotice()
    with notice.listening(in_job=True):
        assert waits(notice) < 0.1
        signal.raise_signal(signal.SIGTSTP)
        assert 0.9 < waits(notice) < 5
        assert waits(notice) < 0.1
        signal.raise_signal(signal.SIGTSTP)
        signal.raise_signal(signal.SIGCONT)
        assert waits(notice) < 0.1
    assert notice.cause is None


def test_who_is_told_to_end_doesnt_wait() -> None:
    """What it holds has to be released before it is killed."""
    notice = StopNotice()
    with notice.listening(in_job=True):
        signal.raise_signal(signal.SIGTSTP)
        notice.give(CANCELLED, "SIGTERM")
        assert waits(notice) < 0.1


def test_outside_of_a_job_ctrl_z_stops_at_once() -> None:
    """Nobody sends a SIGSTOP after it there."""
    with StopNotice().listening(in_job=False):
        assert signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL


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
        one.come_back()
        wait_until(lambda: one.notice.limit not in (None, before), 10, "it is asked for anew")
        assert one.notice.limit is not None
        assert 590 < one.notice.limit - time.monotonic() < 598.5
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
