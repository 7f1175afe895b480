"""The lock: exclusion, the holder's death, and giving up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from orion_hpc.errors import ConfigurationError, LockTimeout
from orion_hpc.files.lock import FLOCK, DatabaseLock

HOLDER = """
import sys
from orion_hpc.files.lock import DatabaseLock
with DatabaseLock(sys.argv[1], "flock", 5).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path) -> subprocess.Popen[bytes]:
    """Start a process that holds the lock until its standard input ends; return when it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_held_lock_keeps_others_out_and_names_itself(tmp_path):
    """Who waits too long is told which file, and how to find the holder."""
    path = tmp_path / "db.pkl.lock"
    with holder(path) as process:
        late = DatabaseLock(str(path), FLOCK, 0.05).held()
        with pytest.raises(LockTimeout, match=r"wasn't free within 0\.05 s") as caught:
            late.__enter__()
        assert str(path) in caught.value.hint
        process.stdin.close()
        process.wait()
    with DatabaseLock(str(path), FLOCK, 5).held():
        pass


def test_a_killed_holder_holds_nothing(tmp_path):
    """SIGKILL in the critical section blocks nobody."""
    path = tmp_path / "db.pkl.lock"
    with holder(path) as process:
        process.kill()
        process.wait()
        with DatabaseLock(str(path), FLOCK, 5).held():
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
