"""The benchmark on NFS runs and tells what it found; how fast anything is isn't looked at."""

from __future__ import annotations

import pytest

from tests.benchmarks import nfs, optuna_peer
from tests.rigs.nfs.rig import NfsRig


@pytest.mark.nfs
@pytest.mark.timeout(600)
def test_ours_and_a_peer_are_measured_on_both_clients(nfs_rig: NfsRig):
    """The line compares one pair on the same mounts, and nothing was wrong on either side."""
    (line,) = nfs.measure(nfs_rig, "3", trials=16, optuna_trials=8, rounds=1, peers=["open"])
    (pair,) = line.runs
    assert line.problems == []
    assert pair["ours"]["per_second"] == line.ours > 0
    if optuna_peer.available():
        assert pair["peer"]["problems"] == []
        assert pair["peer"]["per_second"] == line.peer > 0
