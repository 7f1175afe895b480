"""Jobs that a Python program submits: on this machine, and as an array of a real Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment
from orion_hpc.errors import ConfigurationError, LaunchError
from tests.rigs.waiting import wait_until

SPACE = {"x": "uniform(0, 1)"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Return an experiment of six trials, with short heartbeats."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = build_experiment(
        "e", space=SPACE, max_trials=6, storage=tmp_path / "db.pkl", heartbeat=5
    )
    yield made
    made.close()


def sleeper():
    """Return a function that waits for a file beside its trial's directory."""

    def function(x, trial, offset=0):
        started = os.path.join(os.path.dirname(trial.working_dir), f"started-{trial.number}")
        os.close(os.open(started, os.O_CREAT))
        while not os.path.exists(os.path.join(os.path.dirname(started), "go")):
            time.sleep(0.02)
        return x + offset

    return function


def same(x):
    return x


def running(experiment) -> int:
    return len(experiment.fetch_trials_by_status("reserved"))


def test_local_jobs_run_a_function_without_a_name(experiment, outside_slurm):
    """With constants and the executor that the client has; the handle tells and waits."""
    with experiment.tmp_executor("joblib", backend="threading", n_workers=2):
        jobs = experiment.submit(
            lambda x, offset: x + offset, array=2, executor="local", kwargs={"offset": 2}
        )
    assert len(jobs.job_ids) == jobs.tasks == 2
    assert jobs.wait(60)
    assert jobs.status()["state"] == "done"
    for trial in experiment.fetch_trials():
        assert trial.objective.value == trial.params["x"] + 2
    wait_until(jobs._jobs.ended, 30, "the jobs to end")
    again = experiment.submit(lambda x: x, array=2, executor="local")
    assert (again.job_ids, again.tasks, again.wait()) == ((), 0, True)


def test_no_more_jobs_than_trials(experiment, outside_slurm):
    """As with the command."""
    jobs = experiment.submit(sleeper(), array=50, executor="local", trial_arg="trial")
    assert jobs.tasks == 6
    wait_until(lambda: running(experiment) == 6, 60, "all to run")
    assert not jobs.wait(0.2)
    jobs.cancel()
    assert jobs._jobs.ended()
    assert [one.status for one in experiment.fetch_trials()] == ["interrupted"] * 6


def test_a_program_may_end_before_its_jobs(experiment, tmp_path):
    """The function is its own, of a file that has no place on Python's path."""
    (tmp_path / "helper.py").write_text("def helped(x):\n    return x + 1\n")
    (tmp_path / "program.py").write_text(
        "import sys\n"
        "from helper import helped\n"
        "from orion_hpc.client import build_experiment\n"
        "def main(x):\n"
        "    return helped(x)\n"
        "build_experiment('e', storage=sys.argv[1]).submit(main, array=2, executor='local')\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "db.pkl")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: experiment.is_done, 60, "the jobs to finish")
    for trial in experiment.fetch_trials():
        assert trial.objective.value == trial.params["x"] + 1


def test_what_is_wrong_is_told_before_anything_starts(experiment, fake_slurm, tmp_path):
    """And nothing is recorded."""
    fake_slurm.fail("sbatch", "sbatch: error: no such partition")
    cases = [
        (lambda: experiment.submit("main"), ConfigurationError, "isn't a function"),
        (lambda: experiment.submit(same, y=1), ConfigurationError, "long name"),
        (lambda: experiment.submit(same, x=1), ConfigurationError, "argument of the function"),
        (
            lambda: experiment.submit(same, cpus_per_tsk=1),
            ConfigurationError,
            "did you mean cpus_per_task",
        ),
        (lambda: experiment.submit(lambda y: y), ConfigurationError, "takes no argument 'x'"),
        (lambda: experiment.submit(same, kwargs=5), ConfigurationError, "must be a mapping"),
        (lambda: experiment.submit(same, array=0), ConfigurationError, "array"),
        (lambda: experiment.submit(same, time="soon"), ConfigurationError, "time"),
        (lambda: experiment.submit(same, executor="pbs"), ConfigurationError, "launcher 'pbs'"),
        (lambda: experiment.submit(same, executor="slurm"), LaunchError, "no such partition"),
        (lambda: experiment.submit(same, output="no/%j"), ConfigurationError, "there is no folder"),
        (
            lambda: build_experiment("m", space=SPACE, debug=True).submit(same),
            ConfigurationError,
            "'ephemeraldb' can't be run by jobs",
        ),
    ]
    for call, kind, told in cases:
        with pytest.raises(kind, match=told):
            call()
    assert experiment._state.jobs == []


def test_the_function_of_somebody_else_is_not_loaded(tmp_path, monkeypatch):
    """It would run what they like."""
    from orion_hpc.worker.portable import pack, read_packed, write_packed

    path = write_packed(pack(len), str(tmp_path))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert read_packed(path) == pack(len)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigurationError, match="isn't a file of yours"):
        read_packed(path)
    monkeypatch.undo()
    link = tmp_path / "link"
    link.symlink_to(path)
    for bad in (str(link), str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(ConfigurationError):
            read_packed(bad)


@pytest.mark.slurm
def test_an_array_of_slurm_does_what_the_command_does(slurm, experiment):
    """Ten tasks of two CPUs are asked for, six are enough; what they get is theirs."""
    jobs = experiment.submit(
        lambda x, trial: len(os.sched_getaffinity(0)) and int(os.environ["SLURM_CPUS_PER_TASK"]),
        array=10, cpus_per_task=2, executor="slurm", trial_arg="trial",
    )  # fmt: skip
    assert jobs.tasks == 6
    assert jobs.wait(120)
    assert {trial.objective.value for trial in experiment.fetch_trials()} == {2.0}
    wait_until(jobs._jobs.ended, 60, "the array to leave the queue")


@pytest.mark.slurm
def test_an_array_of_slurm_is_cancelled(slurm, experiment):
    """Its trials are released, and can be run again."""
    jobs = experiment.submit(sleeper(), array=2, executor="slurm", trial_arg="trial")
    wait_until(lambda: running(experiment) == 2, 60, "two trials to run")
    jobs.cancel()
    assert not jobs.wait(60), "the jobs end before the experiment"
    wait_until(lambda: running(experiment) == 0, 30, "them to be released")
    assert [one.status for one in experiment.fetch_trials()] == ["interrupted"] * 2


def test_threads_submit_at_once(experiment, outside_slurm):
    """The same function, from one program."""
    found, errors = [], []

    def submit():
        try:
            found.append(experiment.submit(same, array=1, executor="local"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=submit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert all(jobs.wait(60) for jobs in found)
    for jobs in found:
        wait_until(jobs._jobs.ended, 60, "the jobs to end")
