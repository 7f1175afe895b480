"""Of whom Slurm is asked, and how often; what becomes of what suspended workers hold."""

from __future__ import annotations

import os

import pytest

from orion_hpc.journal.heartbeat import Liveness, Sign, Watch, read_suspended, signs, take_turn
from orion_hpc.model.trial_record import (
    CANCELLED,
    OUT_OF_MEMORY,
    PREEMPTED,
    TIMED_OUT,
    WORKER_SUSPENDED,
)
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


SUSPENDED = "12|3|SUSPENDED|0|None|quick|\n"


def suspended_sign(on_suspend: str | None, age: float = 61) -> dict[str, Sign]:
    about = {"cluster": "orion"} | ({} if on_suspend is None else {"on_suspend": on_suspend})
    return {HERE: Sign(HERE, age, 0.0, 60.0, about)}


@pytest.mark.parametrize("on_suspend", ["auto", "keep", "release", None, 7])
@pytest.mark.parametrize("silent", [False, True])
def test_whether_a_suspended_worker_keeps_its_trials(
    on_orion: FakeSlurm, tmp_path, on_suspend, silent
) -> None:
    """As its own sign of life says, if need be after a lost one's silence; its trial isn't to
    blame."""
    on_orion.answer("squeue", SUSPENDED)
    states = JobStates(str(tmp_path), for_worker=True)
    verdict = states(suspended_sign(on_suspend), {HERE} if silent else ())
    handed_on = on_suspend == "release" or (silent and on_suspend != "keep")
    assert verdict == (Liveness({HERE}, set()) if handed_on else Liveness(set(), {HERE}))
    if handed_on:
        assert states.causes([HERE]) == {HERE: WORKER_SUSPENDED}
    assert len(on_orion.calls("squeue")) == 1


def test_a_command_hands_nothing_on(on_orion: FakeSlurm, tmp_path) -> None:
    """There must be a worker to take it."""
    on_orion.answer("squeue", SUSPENDED)
    assert JobStates(str(tmp_path))(suspended_sign("release"), {HERE}) == Liveness(set(), {HERE})


def test_silence_is_asked_of_out_of_turn_and_the_answer_is_shared(
    on_orion: FakeSlurm, tmp_path
) -> None:
    """Before it counts, and once for all who wait for the same."""
    on_orion.answer("squeue", SUSPENDED)
    assert take_turn(str(tmp_path), 60.0)
    looks = [JobStates(str(tmp_path), for_worker=True) for _ in range(3)]
    verdicts = [look(suspended_sign("keep"), {HERE}) for look in looks]
    assert verdicts == [Liveness(set(), {HERE})] * 3
    assert len(on_orion.calls("squeue")) == 1
    for name in (".turn", ".suspended"):
        os.utime(tmp_path / name, (1, 1))
    on_orion.answer("squeue", "12|3|RUNNING|0|None|quick|\n")
    assert looks[0](suspended_sign("keep"), {HERE}) == Liveness(set(), set())
    assert read_suspended(str(tmp_path), 60.0) == set()


def test_without_an_answer_it_is_as_it_was(on_orion: FakeSlurm, tmp_path) -> None:
    """A controller that is away for a while doesn't make a suspended worker a lost one; a new sign
    of life does away with what was known."""
    on_orion.answer("squeue", SUSPENDED)
    states = JobStates(str(tmp_path), for_worker=True)
    states(suspended_sign("keep"), {HERE})
    os.utime(tmp_path / ".suspended", (1, 1))
    on_orion.fail("squeue", "Access denied")
    assert states(suspended_sign("keep"), {HERE}).spared == {HERE}
    os.utime(tmp_path / ".suspended", (1, 1))
    states(suspended_sign("keep", age=1))
    assert states(suspended_sign("keep"), {HERE}).spared == set()
    assert states.causes([HERE]) == {}


def test_a_python_programs_worker_is_in_its_job(on_orion: FakeSlurm, tmp_path) -> None:
    """It has a number of its own there."""
    name = f"{HERE}+2"
    on_orion.answer("squeue", SUSPENDED)
    found = {name: Sign(name, 0.0, 0.0, 60.0, {"cluster": "orion"})}
    assert JobStates(str(tmp_path))(found) == Liveness(set(), {name})
