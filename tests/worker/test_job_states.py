"""Of whom Slurm is asked, and how often; what becomes of what suspended workers hold."""

from __future__ import annotations

import os

import pytest

from orion_hpc.model.trial import CANCELLED, OUT_OF_MEMORY, PREEMPTED, TIMED_OUT
from orion_hpc.storage.heartbeat import Sign, Watch, signs
from orion_hpc.worker.job_states import JobStates
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


def test_a_command_asks_at_once(on_orion: FakeSlurm, tmp_path) -> None:
    """``resume`` right after ``scancel`` waits for nobody's silence."""
    assert JobStates(str(tmp_path))(sign()).gone == {HERE}


def test_workers_ask_of_those_that_missed_a_sign(on_orion: FakeSlurm, tmp_path) -> None:
    look = JobStates(str(tmp_path), for_worker=True)
    assert look(sign(age=59)).gone == set()
    assert on_orion.calls("squeue") == []
    assert look(sign(age=61)).gone == {HERE}


def test_workers_take_turns(on_orion: FakeSlurm, tmp_path) -> None:
    """A thousand idle workers ask once in a minute, all together."""
    looks = [JobStates(str(tmp_path), for_worker=True) for _ in range(3)]
    assert [look(sign(age=61)).gone for look in looks] == [{HERE}, set(), set()]
    assert len(on_orion.calls("squeue")) == 1
    os.utime(tmp_path / ".turn", (1, 1))
    assert looks[1](sign(age=61)).gone == {HERE}


@pytest.mark.parametrize("cluster", ["andromeda", None, ""])
def test_another_clusters_job_of_this_number_proves_nothing(
    on_orion: FakeSlurm, tmp_path, cluster
) -> None:
    """Clusters that share a file system each begin to count jobs at 1."""
    assert JobStates(str(tmp_path))(sign(cluster=cluster)).gone == set()
    assert on_orion.calls("squeue") == []


def test_the_login_node_learns_its_clusters_name(fake_slurm: FakeSlurm, tmp_path) -> None:
    fake_slurm.answer("squeue", QUEUE)
    assert JobStates(str(tmp_path))(sign()).gone == set()
    fake_slurm.answer("scontrol", "ClusterName             = orion\n")
    assert JobStates(str(tmp_path))(sign()).gone == {HERE}


def test_a_local_worker_isnt_asked_of(on_orion: FakeSlurm, tmp_path) -> None:
    assert JobStates(str(tmp_path))(sign(worker="elsewhere:7:abcdef.9:local-77")).gone == set()
    assert JobStates(str(tmp_path))(sign(worker="elsewhere:7:abcdef.9")).gone == set()
    assert on_orion.calls("squeue") == []


def test_a_watch_believes_it(on_orion: FakeSlurm, tmp_path) -> None:
    """At its first look, though the sign of life is fresh."""
    (tmp_path / HERE).write_text('{"interval": 60, "cluster": "orion"}')
    assert signs(str(tmp_path))[HERE].age < 60
    assert Watch(str(tmp_path), 60.0).lost([HERE]) == set()
    assert Watch(str(tmp_path), 60.0, JobStates(str(tmp_path))).lost([HERE]) == {HERE}


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("12|3|PREEMPTED|0", PREEMPTED),
        ("12|3|RUNNING|1", PREEMPTED),
        ("12|3|TIMEOUT|0", TIMED_OUT),
        ("12|3|CANCELLED|0", CANCELLED),
        ("12|3|OUT_OF_MEMORY|0", OUT_OF_MEMORY),
        ("12|3|FAILED|0", None),
        ("12|3|COMPLETING|0", None),
    ],
)
def test_why_a_worker_is_gone(on_orion: FakeSlurm, tmp_path, said, cause) -> None:
    """Also of one that is gone from this very host; nothing is asked twice."""
    on_orion.answer("squeue", f"{said}|None|quick|\n")
    gone = ["elsewhere:7:abcdef.9", HERE]
    (tmp_path / HERE).write_text('{"interval": 60, "cluster": "orion"}')
    ended = JobStates(str(tmp_path), for_worker=True)
    assert ended.causes(gone) == ({HERE: cause} if cause else {})
    assert len(on_orion.calls("squeue")) == 1
    assert ended.causes(gone[:1]) == {}
    assert len(on_orion.calls("squeue")) == 1


def test_what_was_told_before_isnt_asked_again(on_orion: FakeSlurm, tmp_path) -> None:
    ended = JobStates(str(tmp_path))
    assert ended(sign()).gone == {HERE}
    assert ended.causes([HERE]) == {HERE: CANCELLED}
    assert len(on_orion.calls("squeue")) == 1
