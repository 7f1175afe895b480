"""What a process has to do first to be a trial's: bound to its worker, and deaf to its notices.

Called in the new process by the pool that started it. Which pool that is doesn't matter here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from orion_hpc.sharedfs.processes import die_with_parent

_NOTICES = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


_seen = 0


def notices() -> int:
    """Return how many stop notices this process has had and left to its worker."""
    return _seen


def exit_status(process: Any) -> int | None:
    """Return the exit code of one of multiprocessing's processes that has ended, or None."""
    # multiprocessing polls all children whenever one is started, in whichever thread: that thread
    # may have collected the status and not have noted it yet.
    for _ in range(200):
        status: int | None = process.exitcode
        if status is not None:
            return status
        time.sleep(0.005)
    return None


def become_trial(worker: int) -> None:
    """Set this process up to run the trials of the worker with the process id ``worker``."""
    # A session of its own: Ctrl-C in the terminal is the worker's, and after a crash all that is
    # left of the trial is found by its process group.
    os.setsid()
    die_with_parent(worker)
    _leave_notices_to_the_worker()


def leave_terminal() -> None:
    """Put this process out of reach of a terminal's Ctrl-C and of a job's stop notices."""
    os.setsid()
    if threading.current_thread() is threading.main_thread():
        _leave_notices_to_the_worker()


def become_inner(trial: int) -> None:
    """Set this process up as one of the inner pool of the trial in the process ``trial``."""
    _leave_notices_to_the_worker(parent=trial)
    # Not SIGKILL: a thread of the trial that used the pool and ended would take the pool with it.
    die_with_parent(trial, signal.SIGTERM)


def _leave_notices_to_the_worker(parent: int | None = None) -> None:
    """Outlive the signals that Slurm sends to every process of a job: the worker acts on them.

    Handlers and not SIG_IGN, which programs started from here would inherit; and none in forks,
    where SIGTERM is how multiprocessing's pools end.
    """
    mask = threading.local()

    def note(number: int, frame: object) -> None:
        global _seen
        _seen += 1
        if parent is not None and number == signal.SIGTERM and os.getppid() != parent:
            os._exit(1)

    def hold() -> None:
        # Between the fork and ``forget`` the handler would swallow a signal meant for the child;
        # blocked, the signal stays pending.
        mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, _NOTICES)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def forget() -> None:
        for number in _NOTICES:
            if signal.getsignal(number) is note:
                default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, default)
        release()

    for number in _NOTICES:
        signal.signal(number, note)
    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=forget)
