"""Fixtures that more than one part of the tests needs; how they work is in `tests.rigs`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from orion_hpc.executors import limits
from orion_hpc.sharedfs import host_queue
from tests import options
from tests.rigs.cephfs import CephFS, missing_for_cephfs
from tests.rigs.fake_slurm import FakeSlurm, path_without_slurm
from tests.rigs.glusterfs import GlusterFS, missing_for_glusterfs
from tests.rigs.nfs.rig import NfsRig, missing_for_nfs
from tests.rigs.slurm import CLIENT_VARIABLES, SlurmCluster, missing_for_slurm
from tests.rigs.sshfs import Sshfs, missing_for_sshfs
from tests.rigs.two_mounts import Shared, TwoMounts

# How long an example takes says something of the machine and its other users, not of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


# Settings of the developer's own, and of their site, are no settings of the tests.
os.environ.update(ORION_HPC_SITE_CONFIG=os.devnull, XDG_CONFIG_HOME=os.devnull)
for _name in limits.THREADS:
    os.environ.pop(_name, None)
# Each of some thousand processes would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

_CHANGED_BY_OTHERS = {
    *("PYTEST_CURRENT_TEST", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK", "MPLCONFIGDIR"),
}
"""Variables that pytest sets, and joblib, scikit-learn and matplotlib when they are imported."""


@pytest.fixture(autouse=True)
def environment_kept() -> Iterator[None]:
    """Fail a test that leaves the environment changed: others would run on its settings."""
    before = dict(os.environ)
    yield
    names = set(before) ^ set(os.environ) | {k for k, v in before.items() if os.environ.get(k) != v}
    changed = {name: os.environ.get(name) for name in names - _CHANGED_BY_OTHERS}
    assert not changed, f"the test left variables changed (None: removed): {changed}"


_GROUPS = {
    "slurm_cluster": "slurm",
    "slurm_with_accounting": "slurm",
    "nfs_rig": "nfs",
    "glusterfs_mounts": "shared file systems",
    "sshfs_mounts": "shared file systems",
    "cephfs_mounts": "shared file systems",
}
"""Tests by a fixture that one process runs: a cluster is started once, and one test has it."""

_MARKED = {"slurm": "slurm", "nfs": "nfs", "sharedfs": "shared file systems"}
"""The same by a mark: tests that start such a cluster themselves."""

_SECOND_CLUSTER = {"test_disasters_slurm", "test_submit_slurm", "test_slurm_rig"}
"""Half of the tests on Slurm, by time, which have a cluster of their own: they mostly wait."""


_QUICK = {"config", "doctor", "experiments", "importers", "jobs", "journal", "maintenance", "model",
          "sharedfs", "slurm", "worker"}  # fmt: skip
"""Folders of tests that are marked as quick, those of clusters and the following modules aside."""

_SLOW = {"test_contest", "test_database_repair_kept", "test_fault_injection", "test_fuzz",
         "test_kill_storm", "test_late_writes", "test_lock_interrupted", "test_pickleddb",
         "test_recovery", "test_stateful"}  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick, and what one process runs of several (``-n 4 --dist loadgroup``)."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        groups = [_GROUPS[name] for name in fixtures if name in _GROUPS]
        groups += [group for mark, group in _MARKED.items() if item.get_closest_marker(mark)]
        if groups:
            item.add_marker(pytest.mark.xdist_group(_group(item, groups[0])))
        elif item.path.parent.name in _QUICK and item.path.stem not in _SLOW:
            item.add_marker("quick")


def _group(item: pytest.Item, group: str) -> str:
    return f"{group} 2" if group == "slurm" and item.path.stem in _SECOND_CLUSTER else group


class _Cluster(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


_running: dict[str, _Cluster] = {}
"""The clusters that run, by the fixture. An idle one takes processor time from other tests."""

_left: Counter[tuple[str, str]] = Counter()
"""How many tests that need a fixture are left, by the fixture and the group."""


def _needed(item: pytest.Item) -> list[tuple[str, str]]:
    # Of several processes each has all tests of a group, or none.
    several = hasattr(item.config, "workerinput")
    return [
        (name, _group(item, _GROUPS[name]) if several else "")
        for name in getattr(item, "fixturenames", ())
        if name in _GROUPS
    ]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the tests that need each cluster."""
    _left.update(one for item in session.items for one in _needed(item))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Stop a cluster behind the last test that needs it."""
    yield
    for one in _needed(item):
        _left[one] -= 1
        if not _left[one] and (cluster := _running.pop(one[0], None)) is not None:
            cluster.stop()


def _kept(name: str, cluster: _Cluster) -> None:
    """Have the cluster run until the last test that needs it."""
    if name not in _running:
        cluster.start()
        _running[name] = cluster


def _need(reason: str | None, promise: str) -> None:
    """Skip where something is missing; fail if it was promised, lest a full check skips it."""
    if reason is not None:
        if promise in options.REQUIRED:
            pytest.fail(f"ORION_HPC_REQUIRE_{promise}=1, but {reason}")
        pytest.skip(reason)


def _need_slurm(accounting: bool = False) -> None:
    _need(missing_for_slurm(accounting), "SLURM")


_QUEUES = Path(host_queue.FOLDER) / f"orion-hpc-{os.geteuid()}"
_QUEUES_BEFORE = set(_QUEUES.glob("*"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the files of the host's queues: workers that are killed leave theirs.

    Only when all processes that run tests have ended: what others use stays.
    """
    if hasattr(session.config, "workerinput"):
        return
    for path in set(_QUEUES.glob("*")) - _QUEUES_BEFORE:
        path.unlink()
    if _QUEUES.exists() and not _QUEUES_BEFORE:
        _QUEUES.rmdir()


@pytest.fixture(scope="session")
def slurm_of_the_session() -> Iterator[SlurmCluster]:
    """A real Slurm cluster, which may be stopped."""
    _need_slurm()
    cluster = SlurmCluster()
    yield cluster
    cluster.stop()


@pytest.fixture
def slurm_cluster(slurm_of_the_session: SlurmCluster) -> SlurmCluster:
    """A real Slurm cluster of four nodes. Tests should take `slurm`, which cleans up after each."""
    _kept("slurm_cluster", slurm_of_the_session)
    return slurm_of_the_session


@pytest.fixture
def slurm(
    slurm_cluster: SlurmCluster, outside_slurm: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlurmCluster]:
    """The real cluster, idle, with this process's environment pointing to it."""
    for name, value in slurm_cluster.env.items():
        monkeypatch.setenv(name, value)
    yield slurm_cluster
    slurm_cluster.reset()


@pytest.fixture
def slurm_with_accounting() -> Iterator[SlurmCluster]:
    """A real Slurm cluster of one node whose `sacct` works, to be spoken to by its `run`."""
    _need_slurm(accounting=True)
    with SlurmCluster(nodes=1, accounting=True) as cluster:
        yield cluster


@pytest.fixture
def outside_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable in the environment of the kind that a Slurm job sets."""
    for name in [name for name in os.environ if name.startswith(CLIENT_VARIABLES)]:
        monkeypatch.delenv(name)


@pytest.fixture
def no_slurm(outside_slurm: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Slurm: all programs are there except Slurm's."""
    monkeypatch.setenv("PATH", path_without_slurm(tmp_path / "path-without-slurm"))


@pytest.fixture
def fake_slurm(outside_slurm: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSlurm:
    """Fakes of Slurm's commands, first on PATH, that note how they were called."""
    fake = FakeSlurm(tmp_path / "fake-slurm")
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    return fake


@pytest.fixture(scope="session")
def glusterfs_mounts() -> Iterator[TwoMounts]:
    """A real GlusterFS that two nodes have mounted. Tests should take `glusterfs`."""
    _need(missing_for_glusterfs(), "SHAREDFS")
    with GlusterFS() as two:
        _running["glusterfs_mounts"] = two
        yield two


@pytest.fixture(scope="session")
def sshfs_mounts() -> Iterator[TwoMounts]:
    """A directory that two nodes have mounted with sshfs. Tests should take `sshfs`."""
    _need(missing_for_sshfs(), "SHAREDFS")
    with Sshfs() as two:
        _running["sshfs_mounts"] = two
        yield two


@pytest.fixture(scope="session")
def cephfs_mounts() -> Iterator[TwoMounts]:
    """A real CephFS that two nodes have mounted. Tests should take `cephfs`."""
    _need(missing_for_cephfs(), "SHAREDFS")
    with CephFS() as two:
        _running["cephfs_mounts"] = two
        yield two


@pytest.fixture
def glusterfs(glusterfs_mounts: TwoMounts) -> Shared:
    """A fresh directory on GlusterFS, seen from two nodes."""
    return glusterfs_mounts.folder()


@pytest.fixture
def sshfs(sshfs_mounts: TwoMounts) -> Shared:
    """A fresh directory on sshfs, seen from two nodes, whose `flock` doesn't reach each other."""
    return sshfs_mounts.folder()


@pytest.fixture(scope="session")
def nfs_rig() -> Iterator[NfsRig]:
    """A file server and two clients with kernels of their own, connected by NFS."""
    _need(missing_for_nfs(), "NFS")
    with NfsRig() as rig:
        _running["nfs_rig"] = rig
        yield rig


@pytest.fixture
def cephfs(cephfs_mounts: TwoMounts) -> Shared:
    """A fresh directory on CephFS, seen from two nodes."""
    return cephfs_mounts.folder()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be filled and remounted."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount], check=False)
    if done.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield mount
    subprocess.run(["umount", "-l", mount], check=True)
