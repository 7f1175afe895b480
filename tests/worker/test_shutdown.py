"""A worker's shutdown: signals, the time that trials have, and the file that notifies them."""

from __future__ import annotations

import os
import signal
import time

import pytest

from orion_hpc.model.trial_record import CANCELLED
from orion_hpc.worker import shutdown
from orion_hpc.worker.shutdown import (
    NO_GRACE,
    Grace,
    NoticeFile,
    StopNotice,
    grace_of,
    read_notice,
    time_to_notice,
)
from orion_hpc.worker.task import CallableTarget, CommandTarget, FunctionTarget

COMMAND = CommandTarget(("x",), "/")
FUNCTION = FunctionTarget("/", "a:b", {})
LISTENING = FunctionTarget("/", "a:b", {}, "trial")


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


def test_a_notice_is_seen_until_it_is_withdrawn(tmp_path):
    path = str(tmp_path / "notices" / "me")
    notice = NoticeFile(path)
    assert read_notice(path) == ""
    notice.post("SIGTERM")
    notice.post("SIGINT")
    assert read_notice(path) == "SIGTERM"
    assert os.listdir(tmp_path / "notices") == ["me"]
    notice.withdraw()
    notice.post("SIGTERM")  # by a thread that was late
    assert read_notice(path) == ""
    assert os.listdir(tmp_path / "notices") == []


def test_nothing_happens_without_a_place_or_where_it_cannot_be(tmp_path):
    """A trial that can't be told is ended in the end; that is no reason for the worker to fail."""
    NoticeFile(None).post("SIGTERM")
    assert read_notice(None) == ""
    (tmp_path / "file").touch()
    notice = NoticeFile(str(tmp_path / "file" / "me"))
    notice.post("SIGTERM")
    notice.withdraw()
    assert read_notice(notice.path) == ""


def test_what_stands_in_the_file_is_bounded(tmp_path):
    (tmp_path / "me").write_bytes(b"\xff" * 100_000)
    assert len(read_notice(str(tmp_path / "me"))) == 32
