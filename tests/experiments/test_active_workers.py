"""Who is at work on a database, and how to stop them."""

from __future__ import annotations

import os

import pytest

from orion_hpc.errors import WorkersAlive
from orion_hpc.experiments.active_workers import how_to_stop, living_workers, refuse_if_alive
from orion_hpc.sharedfs import process_identity
from tests.rigs.database import give_sign
from tests.rigs.fake_slurm import FakeSlurm

HERE = str(process_identity.own({}))


def far(pid: int, job: str = "") -> str:
    """Return the name of a worker on another host."""
    return f"far:{pid}:{'0' * 6}.1" + (f":{job}" if job else "")


def test_workers_are_found_in_every_folder_beside_the_database(tmp_path):
    """Whatever the database says of experiments: it may be damaged. Silent ones don't count."""
    path = tmp_path / "db.pkl"
    assert living_workers(str(path)) == {}
    refuse_if_alive(str(path), "x")
    give_sign(path, "e-v1", far(1, "7_1.0"))
    give_sign(path, "f-v2", HERE)
    silent = give_sign(path, "g-v1", far(2))
    os.utime(silent.path, (1, 1))
    (tmp_path / "db.pkl.files" / "text").write_text("x")
    found = living_workers(str(path))
    assert {title: [sign.worker for sign in signs] for title, signs in found.items()} == {
        "e-v1": [far(1, "7_1.0")],
        "f-v2": [HERE],
    }
    assert list(living_workers(str(path), "f-v2")) == ["f-v2"]
    assert living_workers(str(path), "none-v1") == {}


def test_the_refusal_names_some_and_counts_all(tmp_path):
    """A hundred names would hide what to type."""
    path = tmp_path / "db.pkl"
    for task in range(9):
        give_sign(path, "e-v1", far(task + 1, f"7_{task}.0"))
    with pytest.raises(WorkersAlive, match=r"^it can't while 9 workers run on e-v1: far:1:"
                       r".*, …\n") as caught:  # fmt: skip
        refuse_if_alive(str(path), "it can't")
    assert "'scancel 7'" in caught.value.hint
    assert caught.value.exit_code == 2


def test_jobs_are_cancelled_and_other_processes_killed(tmp_path):
    """Each array once; processes by their host."""
    path = tmp_path / "db.pkl"
    for name in (far(1, "7_1.0"), far(2, "7_2.1"), far(3, "9.0"), far(4), far(5, "local-4")):
        give_sign(path, "e-v1", name)
    assert how_to_stop(living_workers(str(path))) == "scancel 7 9; kill 4 5  # on far"


def test_a_suspended_worker_lives(fake_slurm: FakeSlurm, monkeypatch, tmp_path):
    """It has been silent for a day, and comes back; what is silent without a reason doesn't."""
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "orion")
    fake_slurm.answer("squeue", "7|1|SUSPENDED|0|None|q|\n7|2|RUNNING|0|None|q|\n")
    path = tmp_path / "db.pkl"
    for task in (1, 2):
        beat = give_sign(path, "e-v1", far(task, f"7_{task}.0"), {"cluster": "orion"})
        os.utime(beat.path, (1, 1))
    assert [sign.worker for sign in living_workers(str(path))["e-v1"]] == [far(1, "7_1.0")]
