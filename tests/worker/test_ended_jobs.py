"""Of whom Slurm is asked, and how often."""

from __future__ import annotations

import os

import pytest

from orion_hpc.storage.heartbeat import Sign, Watch, signs
from orion_hpc.worker.ended_jobs import EndedJobs
from tests.rigs.fake_slurm import FakeSlurm

HERE = "elsewhere:7:abcdef.9:12_3.0"
QUEUE = "12|3|CANCELLED|0|None|quick|\n"


def sign(age: float = 0.0, cluster: str | None = "orion", worker: str = HERE) -> dict[str, Sign]:
    about = {} if cluster is None else {"cluster": cluster}
    return {worker: Sign(worker, age, 0.0, 60.0, about)}


@pytest.fixture
def on_orion(fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake_slurm.answer("squeue", QUEUE)
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "orion")
    return fake_slurm


def test_a_command_asks_at_once(on_orion: FakeSlurm) -> None:
    """``resume`` right after ``scancel`` waits for nobody's silence."""
    assert EndedJobs()(sign()) == {HERE}


def test_workers_ask_of_those_that_missed_a_sign(on_orion: FakeSlurm, tmp_path) -> None:
    look = EndedJobs(str(tmp_path))
    assert look(sign(age=59)) == set()
    assert on_orion.calls("squeue") == []
    assert look(sign(age=61)) == {HERE}


def test_workers_take_turns(on_orion: FakeSlurm, tmp_path) -> None:
    """A thousand idle workers ask once in a minute, all together."""
    looks = [EndedJobs(str(tmp_path)) for _ in range(3)]
    assert [look(sign(age=61)) for look in looks] == [{HERE}, set(), set()]
    assert len(on_orion.calls("squeue")) == 1
    os.utime(tmp_path / ".turn", (1, 1))
    assert looks[1](sign(age=61)) == {HERE}


@pytest.mark.parametrize("cluster", ["andromeda", None, ""])
def test_another_clusters_job_of_this_number_proves_nothing(on_orion: FakeSlurm, cluster) -> None:
    """Clusters that share a file system each begin to count jobs at 1."""
    assert EndedJobs()(sign(cluster=cluster)) == set()
    assert on_orion.calls("squeue") == []


def test_the_login_node_learns_its_clusters_name(fake_slurm: FakeSlurm) -> None:
    fake_slurm.answer("squeue", QUEUE)
    assert EndedJobs()(sign()) == set()
    fake_slurm.answer("scontrol", "ClusterName             = orion\n")
    assert EndedJobs()(sign()) == {HERE}


def test_a_local_worker_isnt_asked_of(on_orion: FakeSlurm) -> None:
    assert EndedJobs()(sign(worker="elsewhere:7:abcdef.9:local-77")) == set()
    assert EndedJobs()(sign(worker="elsewhere:7:abcdef.9")) == set()
    assert on_orion.calls("squeue") == []


def test_a_watch_believes_it(on_orion: FakeSlurm, tmp_path) -> None:
    """At its first look, though the sign of life is fresh."""
    (tmp_path / HERE).write_text('{"interval": 60, "cluster": "orion"}')
    assert signs(str(tmp_path))[HERE].age < 60
    assert Watch(str(tmp_path), 60.0).lost([HERE]) == set()
    assert Watch(str(tmp_path), 60.0, EndedJobs()).lost([HERE]) == {HERE}
