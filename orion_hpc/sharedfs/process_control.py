"""Processes of this host: killing trees and groups, dying with a parent, memory and OOM kills.

Which processes to kill, and why, is decided by the callers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psutil

VMSTAT = "/proc/vmstat"

_HANDLED = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h; see prctl(2)."""

_LONGEST_DEATH = 5.0
"""Seconds to wait for killed processes. One that hangs in a dead NFS mount takes longer to end."""


def kill_tree(pid: int, grace: float = 0.0) -> None:
    """Kill ``pid`` and all its descendants; return when they have ended.

    A direct child of this process is left as a zombie, so that its owner can get the exit code.
    Processes that a double fork detached from the tree aren't found; see :func:`kill_group`.

    Parameters
    ----------
    pid : int
    grace : float, default 0
        Seconds between SIGTERM and SIGKILL; 0 sends no SIGTERM.
    """
    known: set[psutil.Process] = set()
    with suppress(psutil.NoSuchProcess):
        known.add(psutil.Process(pid))
    if grace > 0:
        known |= _descendants(known)
        _each(known, psutil.Process.terminate)
        _await_end(known, grace)
    # If a process forked between the listing and the kill, its child would become an orphan that
    # isn't found. Stopped processes can't fork: the tree is complete once a listing has none new.
    frozen: set[psutil.Process] = set()
    while new := {process for process in known if process not in frozen and not _gone(process)}:
        _each(new, psutil.Process.suspend)
        frozen |= new
        known |= _descendants(known)
    _each(frozen, psutil.Process.kill)
    _await_end(frozen, _LONGEST_DEATH)


def kill_children() -> None:
    """Kill all descendants of this process, as :func:`kill_tree` does."""
    for child in psutil.Process().children():
        kill_tree(child.pid)


def kill_group(leader: int) -> None:
    """Kill what is left of the process group of ``leader``, which may have ended already.

    While the group has members, no other process gets that number. If the group is empty, this does
    nothing.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Make the kernel send ``number`` to this process when its parent ``parent`` ends.

    The kernel's "parent" is the *thread* that started this process (prctl(2)), so that thread has
    to live as long as the process. Children don't inherit the setting.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    # The parent may have ended before the call: then the kernel doesn't send the signal.
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off the signals that this process handles to the end of the block.

    A handler may raise KeyboardInterrupt, also between the start of a process and the assignment
    of its number; nobody could end that process then. In another thread than the main one, where no
    handler runs, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {}
    try:
        for one in _HANDLED:
            handler = signal.getsignal(one)
            if callable(handler):  # exec leaves the program the default, not this one
                before[one] = handler
                signal.signal(one, lambda number, frame: came.append(number))
        yield
    finally:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, before)
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in came:
            signal.raise_signal(number)


def oom_kills(path: str = VMSTAT) -> int:
    """Return how many processes the kernel's OOM killer has killed since this host's boot.

    Kills by a control group's limit are included (mm/oom_kill.c). 0 where there is no such count.
    """
    with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


class OomWatch:
    """Detects kills by the kernel's OOM killer since a mark.

    For marks the count is read at most once a second (it takes 0.1 ms, as much as a short trial),
    so a kill may seem to be up to a second later than it was.
    """

    __slots__ = ("_count", "_next", "_path")

    def __init__(self, path: str = VMSTAT) -> None:
        self._path = path
        self._count = 0
        self._next = 0.0

    def mark(self) -> int:
        """Return the present count, for :meth:`risen`."""
        now = time.monotonic()
        if now >= self._next:
            self._count, self._next = oom_kills(self._path), now + 1.0
        return self._count

    def risen(self, mark: int) -> bool:
        """Whether there were kills since ``mark``."""
        return oom_kills(self._path) > mark


def _descendants(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found: set[psutil.Process] = set()
    for process in processes:
        with suppress(psutil.Error):
            found.update(process.children(recursive=True))
    return found


def _each(processes: Iterable[psutil.Process], action: Callable[[psutil.Process], object]) -> None:
    for process in processes:
        with suppress(psutil.Error):  # ended meanwhile, or another user's
            action(process)


def _await_end(processes: Iterable[psutil.Process], timeout: float) -> None:
    # Not psutil.wait_procs: it would take our children's exit codes away from their owners.
    end = time.monotonic() + timeout
    for process in processes:
        while not _gone(process) and time.monotonic() < end:
            time.sleep(0.005)


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def kill_marked(variable: str, value: str) -> int:
    """Kill all processes that were started with ``variable=value``; return how many there were.

    The environment is inherited, so this finds processes that a parent's signal, its process group
    and its session don't reach: grandchildren, daemons. A process that was forked, without exec,
    from one that lacks the variable isn't found, nor is another user's.
    """
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value:
                found.add(process)
    _each(found, psutil.Process.kill)
    _await_end(found, _LONGEST_DEATH)
    return len(found)


class DescendantsUsage(NamedTuple):
    """What this process's living descendants use: seconds of processor time, bytes of memory."""

    cpu: float
    memory: int


def descendants_usage() -> DescendantsUsage:
    """Return what all descendants of this process use together, as far as it can be seen."""
    cpu, memory = 0.0, 0
    with suppress(psutil.Error, OSError):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error, OSError):
                times = child.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
                memory += child.memory_info().rss
    return DescendantsUsage(cpu, memory)


def own_memory() -> int:
    """Return how many bytes of memory this process uses now."""
    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return 0
