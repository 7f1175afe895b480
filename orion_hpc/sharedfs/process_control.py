"""Processes of this host: ending a whole tree of them, dying with a parent, the memory's victims.

Knows the kernel's and psutil's ways. Who is to be ended, and why, is left to the callers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

import psutil

VMSTAT = "/proc/vmstat"

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h; see prctl(2)."""

_LONGEST_DEATH = 5.0
"""Seconds to wait for killed processes. One that hangs in a dead NFS takes longer to die."""


def kill_tree(pid: int, grace: float = 0.0) -> None:
    """End ``pid`` and all that descend from it; returns when they are gone.

    A direct child of this process is left as a zombie, for its owner to collect the exit code.
    What a double fork detached from the tree isn't found; see :func:`kill_group`.

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
    # A process that forks between the look and the kill would leave an orphan that nobody finds.
    # Stopped ones can't fork: the tree is complete when a look finds nobody new.
    frozen: set[psutil.Process] = set()
    while new := {process for process in known if process not in frozen and not _gone(process)}:
        _each(new, psutil.Process.suspend)
        frozen |= new
        known |= _descendants(known)
    _each(frozen, psutil.Process.kill)
    _await_end(frozen, _LONGEST_DEATH)


def kill_group(leader: int) -> None:
    """Kill what is left of the process group of ``leader``, which may be dead already.

    The number can't have been given to another process while the group has members; an empty group
    is gone, and this does nothing.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send ``number`` to this process when its parent ``parent`` ends.

    The kernel's "parent" is the *thread* that started this process (prctl(2)): that one has to live
    as long as the process is wanted. The setting doesn't pass on to children.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    # The parent may have died before the call: then nobody sends the signal any more.
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def oom_kills(path: str = VMSTAT) -> int:
    """Return how many processes the kernel has killed for want of memory since this host's boot.

    Counts those of a control group's limit too (mm/oom_kill.c); 0 where the kernel doesn't tell.
    """
    with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


class OomWatch:
    """Tells whether the kernel killed processes for want of memory since a mark.

    The count is read at most once a second for marks (it takes 0.1 ms, as much as a short trial),
    so a kill may seem to be a second later than it was.
    """

    __slots__ = ("_count", "_next", "_path")

    def __init__(self, path: str = VMSTAT) -> None:
        self._path = path
        self._count = 0
        self._next = 0.0

    def mark(self) -> int:
        """Return what :meth:`risen` compares with."""
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
        with suppress(psutil.Error):  # gone meanwhile, or not ours
            action(process)


def _await_end(processes: Iterable[psutil.Process], timeout: float) -> None:
    # Not psutil.wait_procs: it would collect our children's exit codes from under their owners.
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

    The environment is inherited, so this finds what a dead parent's signal, its process group and
    its session don't reach: grandchildren, daemons. A process that only forked from one without the
    mark isn't found, nor is another user's.
    """
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(variable) == value:
                found.add(process)
    _each(found, psutil.Process.kill)
    _await_end(found, _LONGEST_DEATH)
    return len(found)


class Below(NamedTuple):
    """What the living processes below this one have used: processor seconds, bytes of memory."""

    cpu: float
    memory: int


def below() -> Below:
    """Return what all processes below this one have used together, as far as it can be seen."""
    cpu, memory = 0.0, 0
    with suppress(psutil.Error, OSError):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error, OSError):
                times = child.cpu_times()
                cpu += times.user + times.system + times.children_user + times.children_system
                memory += child.memory_info().rss
    return Below(cpu, memory)


def own_memory() -> int:
    """Return the bytes of memory that this process has now."""
    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return 0
