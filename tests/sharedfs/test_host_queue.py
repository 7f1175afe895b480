"""The queue of one host before a file server's lock: it saves questions, and excludes nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from orion_hpc.sharedfs import host_queue
from orion_hpc.sharedfs.host_queue import HostQueue
from orion_hpc.sharedfs.lock import DatabaseLock
from orion_hpc.sharedfs.mounts import FLOCK
from tests.rigs.waiting import wait_until

FIRST = """
import sys
from orion_hpc.sharedfs import host_queue
host_queue.FOLDER = sys.argv[1]
queue = host_queue.HostQueue(sys.argv[2])
assert queue.wait(5)
print("first", flush=True)
sys.stdin.read()
queue.close()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where queues are, and nobody else's."""
    monkeypatch.setattr(host_queue, "FOLDER", str(tmp_path))
    return tmp_path


def first(folder, name: str) -> subprocess.Popen[bytes]:
    """Start a process that is the first until its standard input ends; return when it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST, str(folder), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == b"first\n"
    return process


def test_the_next_one_is_woken(folder):
    """Who waits has its turn once the first has left, and not before."""
    queue = HostQueue("a")
    with first(folder, "a") as process:
        assert not queue.wait(0.1)
        process.stdin.close()
        wait_until(lambda: queue.wait(0.1), 10, "the queue to move")
    queue.close()
    assert list(folder.iterdir()) == []


def test_databases_have_queues_of_their_own(folder):
    """Nobody waits for who wants another database."""
    with first(folder, "a") as process:
        other = HostQueue("b")
        assert other.wait(0.0)
        other.close()
        process.stdin.close()
    assert list(folder.iterdir()) == []


def test_a_killed_one_holds_up_nobody(folder):
    """SIGKILL lets go of the queue, as of any lock of the kernel's."""
    queue = HostQueue("a")
    with first(folder, "a") as process:
        process.kill()
    wait_until(lambda: queue.wait(0.1), 10, "the queue to move")
    queue.close()


def test_a_stopped_one_costs_a_moment_and_only_once(folder, monkeypatch):
    """A suspended job stands in the queue, not in the way: others ask the server themselves."""
    monkeypatch.setattr("orion_hpc.sharedfs.lock.PATIENCE", 0.2)
    with first(folder, "a") as process:
        os.kill(process.pid, signal.SIGSTOP)
        lock = DatabaseLock(str(folder / "db.pkl.lock"), FLOCK, 20, queue=HostQueue("a"))
        with lock.held():
            pass
        monkeypatch.setattr(HostQueue, "wait", lambda self, seconds: pytest.fail("waits again"))
        with lock.held():
            pass
        lock.close()
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.close()


def test_the_queue_is_used_and_left(folder):
    """A lock that is waited for holds up those of this host, one that was let go of doesn't."""
    lock = DatabaseLock(str(folder / "db.pkl.lock"), FLOCK, 20, queue=HostQueue("a"))
    other = HostQueue("a")
    with lock.held():
        assert not other.wait(0.0)
    wait_until(lambda: other.wait(0.1), 10, "the queue to move")
    other.close()
    lock.close()


def test_what_isnt_this_users_is_no_queue(folder):
    """Anyone may make anything in that folder; who can't have a queue there goes without."""
    (folder / f"orion-hpc-{os.geteuid()}").symlink_to(folder)
    lock = DatabaseLock(str(folder / "db.pkl.lock"), FLOCK, 20, queue=HostQueue("a"))
    with lock.held():
        pass
    lock.close()
    assert sorted(one.name for one in folder.iterdir()) == [
        "db.pkl.lock", f"orion-hpc-{os.geteuid()}",
    ]  # fmt: skip


def test_a_host_without_that_folder_has_no_queue(monkeypatch, tmp_path):
    """No error, and nothing is waited for."""
    monkeypatch.setattr(host_queue, "FOLDER", str(tmp_path / "none"))
    queue = HostQueue("a")
    assert queue.wait(10)
    assert queue.is_avoided
    queue.close()


def test_the_queue_goes_on_when_somebody_has_closed_it(folder):
    """Who had a turn before, and stood elsewhere when the folder was removed, makes it again."""
    queue, other = HostQueue("a"), HostQueue("a")
    for one in (queue, other):
        assert one.wait(0.0)
        one.leave()
    other.close()
    assert list(folder.iterdir()) == []
    assert queue.wait(0.0)
    assert not queue.is_avoided
    assert not HostQueue("a").wait(0.0)
    queue.close()
    assert list(folder.iterdir()) == []


def test_a_host_without_threads_has_no_queue(folder, monkeypatch):
    """Where no thread can be started to wait in, the lock is had without the queue."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with first(folder, "a") as process:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        lock = DatabaseLock(str(folder / "db.pkl.lock"), FLOCK, 20, queue=HostQueue("a"))
        with lock.held():
            pass
        lock.close()
        process.stdin.close()
