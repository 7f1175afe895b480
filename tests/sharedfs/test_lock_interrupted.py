"""Ctrl-C while a lock is acquired: a notebook lives on, and nobody else may wait for it.

The interruption is raised in every place where Python looks for signals, one by one.
"""

from __future__ import annotations

import dis
import sys

import pytest

from orion_hpc.errors import LockTimeout
from orion_hpc.sharedfs import host_queue
from orion_hpc.sharedfs.host_queue import HostQueue
from orion_hpc.sharedfs.lock import KINDS, DatabaseLock
from orion_hpc.sharedfs.mounts import FLOCK_DATABASE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["free", "waiting", "coming"])
@pytest.mark.parametrize("queued", [False, True])
def test_an_interruption_anywhere_leaves_nothing_held(tmp_path, monkeypatch, kind, when, queued):
    """Ctrl-C at any line of acquiring, which a notebook outlives, blocks nobody."""
    monkeypatch.setattr(host_queue, "FOLDER", str(tmp_path))
    steps = 0
    # Who waits goes round in circles.
    while steps < 60 and interrupted_at(tmp_path / f"{steps}.lock", kind, when, queued, steps):
        steps += 1
    assert steps > 3


def interrupted_at(path, kind: str, when: str, queued: bool, step: int) -> bool:
    """Raise KeyboardInterrupt in so many lines; see that all is well; False if there are fewer.

    While the lock is ``free``, while it is ``waiting`` for it, or while the lock is ``coming``.
    """
    if kind == FLOCK_DATABASE:
        path.touch()
    queue = HostQueue(str(path)) if queued else None
    timeout = 20 if when == "coming" else 0.2
    lock = DatabaseLock(str(path), kind, timeout, local=not queued, queue=queue)
    other = DatabaseLock(str(path), kind, 20).held()
    interruption = Interruption(step)

    def meanwhile() -> None:
        sys.settrace(None)  # the other's lines aren't meant
        if when == "coming":
            other.__exit__(None, None, None)
            frame = sys._getframe(1)
            while frame is not None:
                frame.f_trace = interruption.enter(frame)
                frame = frame.f_back
            sys.settrace(interruption)

    if when != "free":
        other.__enter__()
    try:
        if when != "coming":
            sys.settrace(interruption)
        with lock.held(meanwhile):
            sys.settrace(None)
    except (KeyboardInterrupt, LockTimeout):
        pass
    finally:
        sys.settrace(None)
    if when == "waiting":
        other.__exit__(None, None, None)
    assert free(DatabaseLock(str(path), kind, 5)), interruption.where
    with lock.held():
        assert not free(DatabaseLock(str(path), kind, 0.0)), interruption.where
    assert free(DatabaseLock(str(path), kind, 5)), interruption.where
    if queued:
        assert HostQueue(str(path)).wait(5), interruption.where
        lock.close()
    return bool(interruption.where)


class Interruption:
    """Raises KeyboardInterrupt where a signal's handler could: after so many calls in the locks'
    code, and at their beginnings. Between other instructions Python doesn't look for signals."""

    def __init__(self, after: int) -> None:
        self._left = after
        self._calls: set[int] = set()
        self.where = ""

    def enter(self, frame):
        """Return what watches a frame that runs already."""
        if "/orion_hpc/sharedfs/" not in frame.f_code.co_filename or self.where:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self

    def __call__(self, frame, event, argument):
        name = dis.opname[frame.f_code.co_code[frame.f_lasti]] if frame.f_lasti >= 0 else "RESUME"
        if event == "call":
            return self.enter(frame)
        if event == "opcode" and not self.where:
            if id(frame) in self._calls:
                self._left -= 1
            if self._left < 0:
                self.where = f"{frame.f_code.co_name}, line {frame.f_lineno}"
                raise KeyboardInterrupt
            looks = name.startswith(("CALL", "RESUME", "JUMP_BACKWARD"))
            (self._calls.add if looks else self._calls.discard)(id(frame))
        return self


def free(lock: DatabaseLock) -> bool:
    """Return whether the lock can be had, and let go of it at once."""
    try:
        with lock.held():
            return True
    except LockTimeout:
        return False
