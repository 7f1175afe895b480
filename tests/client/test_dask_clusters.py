"""dask clusters that aren't made here: one that runs already, and one of Slurm's jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment
from orion_hpc.errors import ConfigurationError
from orion_hpc.executors.base import ExecutorLost
from tests.rigs.waiting import wait_until

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _environment():
    """Undo what dask does to this process's environment: later tests look at it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Return an experiment of six trials."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    space = {"x": "uniform(0, 1)"}
    made = build_experiment("e", space=space, max_trials=6, storage=tmp_path / "db.pkl")
    yield made
    made.close()


@pytest.fixture
def cluster():
    """Return a cluster of two workers, which somebody else has started."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as made:
        yield made


def test_a_cluster_that_runs_is_used_and_left(experiment, cluster):
    """By its address, itself, or a client."""
    with distributed.Client(cluster, set_as_default=False) as client:
        for number, given in enumerate(
            ({"address": cluster.scheduler_address}, {"cluster": cluster}, {"client": client})
        ):
            with experiment.tmp_executor("dask", n_workers=2, **given):
                assert experiment.workon(lambda x: x, max_trials=2 * number + 2) == 2
        assert client.submit(len, "abc").result(30) == 3
    assert experiment.is_done


def test_a_scheduler_that_is_not_there_is_told(experiment, monkeypatch):
    """With its address; nothing was reserved."""
    monkeypatch.setattr("orion_hpc.executors.dask._START_TIMEOUT", 0.5)
    with (
        pytest.raises(ConfigurationError, match=r"scheduler tcp://127.0.0.1:9 doesn't answer"),
        experiment.tmp_executor("dask", n_workers=2, address="tcp://127.0.0.1:9"),
    ):
        experiment.workon(lambda x: x)
    assert experiment.fetch_trials() == []


@pytest.mark.slurm
@pytest.mark.timeout(300)
def test_a_cluster_of_slurm_jobs(slurm, experiment, tmp_path):
    """dask-jobqueue's options go to SLURMCluster; its jobs end with the executor."""
    pytest.importorskip("dask_jobqueue")
    options = {
        "cores": 1,
        "processes": 1,
        "memory": "500MB",
        "walltime": "00:10:00",
        "interface": "lo",
        "python": sys.executable,
        "log_directory": str(tmp_path),
        "local_directory": str(tmp_path),
        "scheduler_options": {"dashboard_address": None},
    }

    def node(x):
        import os

        return float(os.environ["SLURM_JOB_ID"])

    with experiment.tmp_executor("dask", n_workers=2, cluster={"slurm": options}):
        assert experiment.workon(node) == 6
    jobs = {trial.objective.value for trial in experiment.fetch_trials()}
    assert 1 <= len(jobs) <= 2
    queue = ["squeue", "--noheader"]
    wait_until(lambda: not subprocess.check_output(queue).strip(), 60, "the jobs to end")


def test_wrong_options_of_a_cluster_are_told(experiment, fake_slurm):
    """In the words of the library whose they are."""
    pytest.importorskip("dask_jobqueue")
    with (
        pytest.raises(ConfigurationError, match="options of the dask cluster are wrong"),
        experiment.tmp_executor("dask", n_workers=2, cluster={"slurm": {"cors": 1}}),
    ):
        experiment.workon(lambda x: x)
    assert experiment.fetch_trials() == []


def test_a_cluster_that_vanishes_breaks_no_trial(experiment):
    """What ran there is released, and the caller is told."""
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )

    def function(x):
        time.sleep(1000)

    def vanish():
        wait_until(lambda: len(reader.fetch_trials_by_status("reserved")) == 2, 60, "two to run")
        time.sleep(0.3)
        cluster.close()

    reader = build_experiment("e", storage=experiment.storage)
    thread = threading.Thread(target=vanish)
    thread.start()
    with (
        pytest.raises(ExecutorLost, match="cluster is gone"),
        experiment.tmp_executor("dask", n_workers=2, address=cluster.scheduler_address),
    ):
        experiment.workon(function)
    thread.join(30)
    assert [trial.status for trial in reader.fetch_trials()] == ["interrupted"] * 2
    reader.close()


def test_a_trial_that_kills_its_process_is_not_begun_again(experiment, tmp_path):
    """Whatever the scheduler of others' cluster would do."""

    def function(x, trial):
        with open(tmp_path / f"begun-{trial.number}", "a") as file:
            file.write("x")
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        experiment.tmp_executor("dask", n_workers=2, address=cluster.scheduler_address),
    ):
        experiment.workon(function, trial_arg="trial", max_trials=3)
    statuses = [trial.status for trial in experiment.fetch_trials()]
    assert statuses[:2] == ["completed", "broken"]
    assert {path.read_text() for path in tmp_path.glob("begun-*")} == {"x"}
