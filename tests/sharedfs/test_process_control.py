"""Ending processes: whole trees, groups without their leader, and the kernel's own killings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil

from orion_hpc.sharedfs.process_control import OomWatch, kill_group, kill_tree, oom_kills

TREE = """
import os, subprocess, sys, signal
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"], start_new_session=sys.argv[2] == "session")
print(child.pid, flush=True)
if sys.argv[2] == "leave":
    os._exit(0)
while True:
    signal.pause()
"""


def tree(manner: str, child: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process with a child; return both once they run."""
    process = subprocess.Popen(
        [sys.executable, "-c", TREE, manner, child], stdout=subprocess.PIPE, start_new_session=True
    )
    with process.stdout as output:
        return process, int(output.readline())


def gone(pid: int) -> bool:
    try:
        psutil.Process(pid).wait(5)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_tree_is_killed_across_sessions():
    """The child ends too, and the exit status is left for the process's owner."""
    process, child = tree("meek", "session")
    kill_tree(process.pid)
    assert gone(child)
    assert process.wait() == -signal.SIGKILL


def test_grace_comes_first():
    """With time to spare a process ends by SIGTERM, and one that ignores it by SIGKILL after it."""
    for manner, status in (("meek", -signal.SIGTERM), ("stubborn", -signal.SIGKILL)):
        process, child = tree(manner, "session")
        kill_tree(process.pid, grace=0.3)
        assert process.wait() == status, manner
        assert gone(child)


def test_a_group_is_killed_without_its_leader():
    """What a dead process left behind is found by its group; an empty group is no error."""
    process, child = tree("meek", "leave")
    process.wait()
    assert os.getpgid(child) == process.pid
    kill_group(process.pid)
    assert gone(child)
    kill_group(process.pid)
    kill_tree(process.pid)


def test_the_kernels_killings_are_read(tmp_path):
    """The exact counter is taken, and none where the kernel tells none."""
    path = tmp_path / "vmstat"
    assert oom_kills(str(path)) == 0
    path.write_text("pgfault 5\noom_kill 3\n")
    assert oom_kills(str(path)) == 3
    watch = OomWatch(str(path))
    mark = watch.mark()
    assert not watch.risen(mark)
    path.write_text("oom_kill 4\n")
    assert watch.risen(mark)
