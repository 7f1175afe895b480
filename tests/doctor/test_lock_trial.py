"""Locks of each kind, held here and tried for by another process or through another client."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from orion_hpc.doctor import lock_trial
from orion_hpc.doctor.lock_trial import EXCLUDED, HAD, KINDS
from tests.rigs.two_mounts import Shared


def test_on_one_host_all_exclude(tmp_path: Path) -> None:
    """Each open file is another holder, also within one process; afterwards all are free."""
    with lock_trial.held(str(tmp_path)) as trouble:
        assert trouble == {}
        assert lock_trial.tried(str(tmp_path)) == dict.fromkeys(KINDS, EXCLUDED)
    found = lock_trial.tried(str(tmp_path))
    assert (found["flock"], found["flock-database"]) == (HAD, HAD)


def test_what_excludes_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flock that everybody has, and names that can be created twice."""
    with lock_trial.held(str(tmp_path)):
        monkeypatch.setattr(fcntl, "flock", lambda fd, how: None)
        for name in ("trial.marker", "trial.name"):
            os.unlink(tmp_path / name)
        assert lock_trial.tried(str(tmp_path)) == dict.fromkeys(KINDS, HAD)


def test_a_lock_that_isnt_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told in the system's words, by who holds and by who tries."""

    def refuse(*words: object) -> None:
        raise OSError(37, "No locks available")

    with lock_trial.held(str(tmp_path)):
        monkeypatch.setattr(fcntl, "flock", refuse)
        assert lock_trial.tried(str(tmp_path))["flock"] == "No locks available"
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(os, "link", refuse)
    with lock_trial.held(str(tmp_path / "other")) as trouble:
        assert trouble == dict.fromkeys(KINDS, "No locks available")


@pytest.mark.sharedfs
@pytest.mark.parametrize(
    ("filesystem", "flock"), [("glusterfs", EXCLUDED), ("sshfs", HAD), ("cephfs", EXCLUDED)]
)
def test_two_clients(request: pytest.FixtureRequest, filesystem: str, flock: str) -> None:
    """flock reaches the other client of GlusterFS and CephFS, not that of sshfs; a lease does."""
    shared: Shared = request.getfixturevalue(filesystem)
    with lock_trial.held(str(shared.first)) as trouble:
        assert trouble == {}
        found = lock_trial.tried(str(shared.second))
    assert found == {"flock": flock, "flock-database": flock, "lease": EXCLUDED}
