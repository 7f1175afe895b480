"""Stop notices: trials learn of them, save their state in the time that they have, and go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orion_hpc.client import build_experiment
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.trial_record import COMPLETED, INTERRUPTED, TrialRecord
from tests.rigs.command import COMMAND, orion_hpc, project
from tests.rigs.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_slurm")

CONFIG = """\
name: quick
{run}
space: {{x: "uniform(0, 1)"}}
algorithm: {{random: {{seed: 1}}}}
max_trials: 2
worker: {{heartbeat: 5, idle_timeout: 30, executor: {executor}, grace: {grace}}}
"""
FUNCTION = "function: quick:main\ntrial_arg: trial"
KINDS = ["single", "joblib", "poolexecutor", "dask"]

SAVING = """\
import os, time
from orion_hpc import TrialInterrupted

def main(x, trial):
    state = os.path.join(trial.working_dir, "state")
    assert os.path.exists(state) == trial.resumed
    open(f"started-{trial.number}-{trial.attempt}", "w").close()
    while not os.path.exists("go"):
        if trial.stop_requested:
            if os.path.exists("finish"):
                break
            open(state, "w").close()
            raise TrialInterrupted("saved")
        time.sleep(0.01)
    return x
"""

DEAF = """\
import time

def main(x, trial):
    open(f"started-{trial.number}-{trial.attempt}", "w").close()
    while True:
        time.sleep(0.01)
"""

SCRIPT = """\
trap 'echo noticed > noticed; exit 0' TERM
touch started-$ORION_HPC_TRIAL_NUMBER-$ORION_HPC_ATTEMPT
while [ ! -e go ]; do sleep 0.05; done
echo 1
"""


def trials_of(config: Path) -> list[TrialRecord]:
    """Return the trials of the project's experiment."""
    return PickledDB(str(config.parent / "db.pkl")).refresh().experiments[1].trials


def make(folder: Path, source: str, executor: str, grace: float, run: str = FUNCTION) -> Path:
    """Make a project whose trials have ``grace`` seconds."""
    text = CONFIG.format(run=run, executor=executor, grace=grace)
    config = project(folder / "p", text, quick=source)
    (config.parent / "run.sh").write_text(SCRIPT)
    return config


@contextlib.contextmanager
def running(config: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``orion-hpc WORDS`` and wait for a trial; on the way out nothing of it may run."""
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=config.parent, env={**os.environ, **environment}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: any(config.parent.glob("started-*")), 60, "a trial runs")
        below = psutil.Process(process.pid).children(recursive=True)
        yield process
        _, alive = psutil.wait_procs(below, timeout=5)
        assert alive == []
    finally:
        process.kill()
        process.communicate()


def begun(config: Path) -> list[str]:
    """Complete the budget, raise it by one, and return the words of a worker by hand."""
    go = config.parent / "go"
    go.touch()
    assert orion_hpc("submit", config, cwd=config.parent).returncode == 0
    go.unlink()
    for file in config.parent.glob("started-*"):
        file.unlink()
    database = str(config.parent / "db.pkl")
    build_experiment("quick", storage=database, max_trials=3).close()
    return ["worker", "--storage", database, "--name", "quick"]


@pytest.mark.parametrize("executor", KINDS)
def test_a_function_saves_its_state_and_goes_on_another_time(tmp_path, executor):
    """By stop_requested and TrialInterrupted; the next attempt finds what it left."""
    config = make(tmp_path, SAVING, executor, 120)
    with running(config, "submit", str(config)) as process:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    (trial,) = trials_of(config)
    assert (trial.status, trial.cause) == (INTERRUPTED, "cancelled")
    assert "saved" in trial.message
    assert list((tmp_path / "p/db.pkl.files/quick-v1/notices").iterdir()) == []
    (config.parent / "go").touch()
    done = orion_hpc("submit", config, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    assert [(trial.status, trial.attempt) for trial in trials_of(config)] == [
        (COMPLETED, 2),
        (COMPLETED, 1),
    ]


@pytest.mark.parametrize("executor", ["single", "joblib"])
def test_a_result_that_comes_in_time_counts(tmp_path, executor):
    """A trial that was nearly through completes, and none begins after it."""
    config = make(tmp_path, SAVING, executor, 120)
    (config.parent / "finish").touch()
    with running(config, "submit", str(config)) as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert [trial.status for trial in trials_of(config)] == [COMPLETED]


@pytest.mark.parametrize("executor", KINDS)
def test_a_function_that_does_not_listen_is_ended_when_its_time_is_over(tmp_path, executor):
    config = make(tmp_path, DEAF, executor, 1)
    with running(config, "submit", str(config)) as process:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert [(trial.status, trial.cause) for trial in trials_of(config)] == [
        (INTERRUPTED, "cancelled")
    ]


@pytest.mark.parametrize("executor", ["single", "joblib"])
def test_a_second_ctrl_c_does_not_wait(tmp_path, executor):
    """Of a worker by hand: what runs is ended at once, and released."""
    config = make(tmp_path, SAVING, executor, 120)
    command = begun(config)
    (config.parent / "quick.py").write_text(DEAF)
    with running(config, *command) as process:
        process.send_signal(signal.SIGINT)
        notices = config.parent / "db.pkl.files/quick-v1/notices"
        wait_until(lambda: any(notices.glob("*:*")), 30, "the trial has its time")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    last = trials_of(config)[-1]
    assert (last.number, last.status, last.cause) == (2, INTERRUPTED, "cancelled")


@pytest.mark.parametrize("executor", ["single", "joblib", "dask"])
def test_a_command_gets_the_signal(tmp_path, executor):
    """Forwarded to its process group: a shell's trap runs, and its end is no result."""
    config = make(tmp_path, "", executor, 120, 'command: ["sh", "run.sh"]')
    with running(config, "submit", str(config)) as process:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert (config.parent / "noticed").exists()
    assert [trial.status for trial in trials_of(config)] == [INTERRUPTED]


@pytest.mark.parametrize("executor", ["single", "joblib"])
def test_the_notice_comes_before_the_jobs_time_limit(tmp_path, executor):
    """By the end that Slurm tells; nobody sends a signal."""
    config = make(tmp_path, SAVING, executor, 120)
    command = begun(config)
    end = str(int(time.time()) + 8)
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": end}
    with running(config, *command, **job) as process:
        process.communicate(timeout=60)
    last = trials_of(config)[-1]
    assert (last.number, last.status, last.cause) == (2, INTERRUPTED, "timed out")
    assert "saved" in last.message
