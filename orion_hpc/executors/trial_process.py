"""Set-up of a trial's process: it ends with its worker, and leaves stop notices to the worker.

The pool that starts the process calls these functions in it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from orion_hpc.sharedfs.process_control import die_with_parent

_NOTICES = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

_seen = 0


def notices() -> int:
    """Return how many stop notices this process has received and left to its worker."""
    return _seen


def exit_status(process: Any) -> int | None:
    """Return the exit code of a multiprocessing process that has ended, or None if unknown."""
    # Whenever multiprocessing starts a process, in any thread, it polls all children. That thread
    # may have collected the exit status without having stored it yet.
    for _ in range(200):
        status: int | None = process.exitcode
        if status is not None:
            return status
        time.sleep(0.005)
    return None


def become_trial(worker: int) -> None:
    """Set this process up to run trials for the worker with the process id ``worker``."""
    # In a session of its own, so that Ctrl-C in the terminal reaches the worker only, and so that
    # after a crash the rest of the trial can be killed by its process group.
    os.setsid()
    die_with_parent(worker)
    _leave_notices_to_the_worker()


def leave_terminal() -> None:
    """Detach this process from the terminal's Ctrl-C and from the job's stop notices."""
    os.setsid()
    if threading.current_thread() is threading.main_thread():
        _leave_notices_to_the_worker()


def become_inner(trial: int) -> None:
    """Set this process up as part of the inner pool of the trial with the process id ``trial``."""
    _leave_notices_to_the_worker(parent=trial)
    # Not SIGKILL: the kernel sends the signal when the thread that started the process ends, and a
    # trial's thread may use the pool and end before the trial does.
    die_with_parent(trial, signal.SIGTERM)


def _leave_notices_to_the_worker(parent: int | None = None) -> None:
    """Count the signals that Slurm sends to all processes of a job, as the worker acts on them.

    With handlers and not SIG_IGN, which child programs would inherit. Forks get the default
    handlers again, as multiprocessing ends the processes of its pools by SIGTERM.
    """
    mask = threading.local()

    def note(number: int, frame: object) -> None:
        global _seen
        _seen += 1
        if parent is not None and number == signal.SIGTERM and os.getppid() != parent:
            os._exit(1)

    def hold() -> None:
        # Between the fork and ``forget``, the handler would swallow a signal meant for the child.
        # While it is blocked, the signal stays pending.
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
