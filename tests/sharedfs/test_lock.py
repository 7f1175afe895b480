"""The lock: exclusion, the holder's death, and giving up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from orion_hpc.errors import ConfigurationError, LockTimeout
from orion_hpc.sharedfs.lock import KINDS, DatabaseLock, lock_path
from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE
from tests.rigs.waiting import wait_until

HOLDER = """
import sys
from orion_hpc.sharedfs import lock
lock.LEASE_DURATION = float(sys.argv[3])
with lock.DatabaseLock(sys.argv[1], sys.argv[2], 5).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path, kind: str, lease: float = 30) -> subprocess.Popen[bytes]:
    """Start a process that holds the lock until its standard input ends; return when it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), kind, str(lease)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline() == b"held\n"
    return process


def locked_file(folder, kind: str):
    """Return the file that is locked; the database itself is there before."""
    database = folder / "db.pkl"
    if kind == FLOCK_DATABASE:
        database.touch()
    return type(folder)(lock_path(str(database), kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_lock_keeps_others_out_and_names_itself(tmp_path, kind):
    """Who waits too long is told which file, and how to find the holder."""
    path = locked_file(tmp_path, kind)
    with holder(path, kind) as process:
        late = DatabaseLock(str(path), kind, 0.05).held()
        with pytest.raises(LockTimeout, match=r"wasn't free within 0\.\d+ s") as caught:
            late.__enter__()
        assert str(path) in caught.value.hint
        process.stdin.close()
        process.wait()
    with DatabaseLock(str(path), kind, 5).held():
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_holder_holds_nothing(tmp_path, kind):
    """SIGKILL in the critical section blocks nobody of this host, lease or not."""
    path = locked_file(tmp_path, kind)
    with holder(path, kind) as process:
        process.kill()
        process.wait()
        with DatabaseLock(str(path), kind, 5).held():
            pass


def test_the_lock_file_is_private_and_stays(tmp_path):
    """Nobody else can hold the lock, and no waiter ends up on an unlinked file."""
    path = tmp_path / "db.pkl.lock"
    lock = DatabaseLock(str(path), FLOCK, 5)
    with lock.held():
        pass
    assert path.stat().st_mode & 0o777 == 0o600
    inode = os.stat(path).st_ino
    with lock.held():
        assert os.stat(path).st_ino == inode


def test_an_unknown_kind_names_what_to_do(tmp_path):
    """A database of a later version isn't locked in a way that others don't see."""
    with pytest.raises(ConfigurationError, match="'lease2'"):
        DatabaseLock(str(tmp_path / "lock"), "lease2", 5)


def test_a_stopped_holder_loses_its_lease_and_not_before(tmp_path, monkeypatch):
    """A holder that gives no sign is waited for as long as the lease, by the waiter's own clock."""
    path = tmp_path / "db.pkl.lock"
    monkeypatch.setattr("orion_hpc.sharedfs.lock.LEASE_DURATION", 1.0)
    with holder(path, "lease", lease=1.0) as process:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            with DatabaseLock(str(path), "lease", 20).held():
                waited = time.monotonic() - start
            assert waited >= 1.0
        finally:
            os.kill(process.pid, signal.SIGCONT)
        process.stdin.close()
        assert process.wait(20) == 0, "it goes on, and doesn't remove what isn't its own any more"


UNWRITABLE = """
import os, sys, time
from orion_hpc.sharedfs import lock
lock.LEASE_DURATION = 1.0
with lock.DatabaseLock(sys.argv[1], "lease", 30).held():
    pass  # all modules are loaded: another user may be unable to read them
if os.geteuid() == 0:
    os.seteuid(65534)
os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL, 0))
os.utime(sys.argv[1], (1972000000, 1972000000))
start = time.monotonic()
with lock.DatabaseLock(sys.argv[1], "lease", 30).held():
    print(time.monotonic() - start >= 1.0)
"""


def test_a_marker_without_permissions_is_taken_over():
    """NFS 3 creates a file in two steps; after the first it is empty, without permissions, and its
    time is any. A server that refuses the second step, or a client that dies, leaves it so."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        done = subprocess.run(
            [sys.executable, "-c", UNWRITABLE, f"{folder}/db.pkl.lock"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_a_living_holder_keeps_its_lease(tmp_path, monkeypatch):
    """As long as the holder refreshes its marker nobody takes it, however long it works."""
    path = tmp_path / "db.pkl.lock"
    monkeypatch.setattr("orion_hpc.sharedfs.lock.LEASE_DURATION", 0.6)
    with holder(path, "lease", lease=0.6) as process:
        late = DatabaseLock(str(path), "lease", 2.0).held()
        with pytest.raises(LockTimeout):
            late.__enter__()
        process.stdin.close()


def test_who_gives_up_and_goes_leaves_the_others_alone(tmp_path):
    """The thread that still stands in the queue lets go of nothing but what it got itself."""
    path = tmp_path / "db.pkl.lock"
    with holder(path, "flock") as process:
        late = DatabaseLock(str(path), "flock", 0.05, local=True)
        with pytest.raises(LockTimeout):
            late.held().__enter__()
        del late
        other = DatabaseLock(str(tmp_path / "other.lock"), "flock", 5, local=True)
        with other.held():
            process.stdin.close()
            process.wait()
            with DatabaseLock(str(path), "flock", 10, local=True).held():
                pass
            third = DatabaseLock(str(tmp_path / "other.lock"), "flock", 0.05).held()
            with pytest.raises(LockTimeout):
                third.__enter__()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("local", [True, False])
def test_who_waits_can_do_something_meanwhile(tmp_path, kind, local):
    """It is called until the lock is had, and not when nobody holds it."""
    path = locked_file(tmp_path, kind)
    calls = 0
    with holder(path, kind) as process:

        def meanwhile() -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                process.stdin.close()

        lock = DatabaseLock(str(path), kind, 20, local=local)
        with lock.held(meanwhile):
            assert calls >= 2
    had = calls
    with lock.held(meanwhile):
        assert calls == had


def test_a_lock_that_comes_meanwhile_is_kept(tmp_path):
    """Who looks away for a moment doesn't lose its place in the queue."""
    path = tmp_path / "db.pkl.lock"
    with holder(path, FLOCK) as process:

        def meanwhile() -> None:
            process.stdin.close()
            process.wait()
            other = DatabaseLock(str(path), FLOCK, 0.0)
            wait_until(lambda: not free(other), 10, "the lock to be taken for this one")

        with DatabaseLock(str(path), FLOCK, 20, local=True).held(meanwhile):
            assert not free(DatabaseLock(str(path), FLOCK, 0.0))
        assert free(DatabaseLock(str(path), FLOCK, 5.0))


@pytest.mark.parametrize("came", [True, False])
def test_who_fails_meanwhile_holds_nothing(tmp_path, came):
    """Neither a lock that it got while it failed, nor its place in the queue."""
    path = tmp_path / "db.pkl.lock"
    lock = DatabaseLock(str(path), FLOCK, 20, local=True)
    with holder(path, FLOCK) as process:

        def meanwhile() -> None:
            if came:
                process.stdin.close()
                process.wait()
                other = DatabaseLock(str(path), FLOCK, 0.0)
                wait_until(lambda: not free(other), 10, "the lock to be taken for this one")
            raise RuntimeError("no")

        with pytest.raises(RuntimeError), lock.held(meanwhile):
            pass
        if not came:
            process.stdin.close()
            process.wait()
        assert free(DatabaseLock(str(path), FLOCK, 10.0))
        with lock.held():
            assert not free(DatabaseLock(str(path), FLOCK, 0.0))


def free(lock: DatabaseLock) -> bool:
    """Return whether the lock can be had, and let go of it at once."""
    try:
        with lock.held():
            return True
    except LockTimeout:
        return False


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_lock_keeps_nothing_open_and_can_be_used_again(tmp_path, kind):
    """A file that is open can't be removed for good on sshfs and NFS."""
    path = str(locked_file(tmp_path, kind))
    lock = DatabaseLock(path, kind, 5.0)
    for _ in range(2):
        with lock.held():
            pass
        lock.close()
        held = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert path not in held
