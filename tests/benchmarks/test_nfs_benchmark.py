"""The benchmark on NFS runs and tells what it found; how fast anything is isn't looked at."""

from __future__ import annotations

import pytest

from tests.benchmarks import nfs, optuna_peer
from tests.rigs.nfs.rig import NfsRig


@pytest.mark.nfs
def test_ours_and_each_peer_are_measured_on_both_clients(nfs_rig: NfsRig):
    """Each line compares one pair on the same mounts, and nothing was wrong on either side."""
    lines = nfs.measure(nfs_rig, "3", trials=16, optuna_trials=8, rounds=1)
    assert len(lines) == (len(nfs.PEERS) if optuna_peer.available() else 1)
    for line in lines:
        (pair,) = line.runs
        assert line.problems == []
        assert pair["ours"]["per_second"] == line.ours > 0
        if optuna_peer.available():
            assert pair["peer"]["problems"] == []
            assert pair["peer"]["per_second"] == line.peer > 0
