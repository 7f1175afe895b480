"""``orion-hpc cancel`` and ``resume`` without a cluster: local workers, and Slurm's bad answers."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import COMPLETED, INTERRUPTED
from tests.rigs.command import COMMAND, orion_hpc, project, status_of
from tests.rigs.fake_slurm import FakeSlurm
from tests.rigs.waiting import wait_until

SLOW = """\
import os, time

def main(x):
    open(f"started-{os.getpid()}", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
    return x
"""


def trials_of(config: Path):
    return PickledDB(str(config.parent / "db.pkl")).refresh().experiments[1].trials


@pytest.mark.usefixtures("no_slurm")
def test_local_workers_are_stopped_from_another_terminal(tmp_path: Path) -> None:
    """Their trials are interrupted, ``submit`` ends, and ``resume`` completes what is left."""
    config = project(tmp_path / "p", quick=SLOW)
    folder = config.parent
    command = [*COMMAND, "submit", str(config), "--array", "2"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as running:
        try:
            wait_until(lambda: len(list(folder.glob("started-*"))) == 2, 60, "two trials run")
            done = orion_hpc("cancel", config, cwd=folder)
            assert done.returncode == 0, done.stderr
            assert "was cancelled: 0 completed, 2 interrupted, 0 reserved." in done.stdout
            assert f"Next: orion-hpc resume {config}" in done.stdout
            running.communicate(timeout=60)
        finally:
            running.send_signal(signal.SIGINT)
    assert running.returncode != 0
    assert [trial.status for trial in trials_of(config)] == [INTERRUPTED] * 2
    again = orion_hpc("cancel", config, "--name", "quick", cwd=folder)  # harmless
    assert f"Next: orion-hpc resume {config} --name quick" in again.stdout
    assert "was cancelled: 0 completed, 2 interrupted" in again.stdout
    (folder / "go").touch()
    resumed = orion_hpc("resume", config, "--array", "2", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 8


@pytest.mark.usefixtures("no_slurm")
def test_there_is_nothing_to_keep_on_this_machine(tmp_path: Path) -> None:
    config = project(tmp_path / "p")
    done = orion_hpc("submit", config, "--keep")
    assert done.returncode == 2
    assert "--keep is for Slurm" in done.stderr
    assert not (config.parent / "db.pkl").exists()


@pytest.mark.usefixtures("no_slurm")
def test_a_done_experiment_stays_done(tmp_path: Path) -> None:
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config).returncode == 0
    done = orion_hpc("cancel", config)
    assert done.returncode == 0, done.stderr
    assert "is done; nothing of it runs: 8 completed" in done.stdout
    assert status_of(config)["state"] == "done"
    resumed = orion_hpc("resume", config)
    assert (resumed.returncode, "Done: 8 trials are completed" in resumed.stdout) == (0, True)


@pytest.mark.usefixtures("no_slurm")
@pytest.mark.parametrize("command", ["cancel", "resume"])
def test_what_is_not_there_is_told(tmp_path: Path, command: str) -> None:
    """Exit code 2, a next step, and nothing is written."""
    config = project(tmp_path / "p")
    done = orion_hpc(command, config)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (config.parent / "db.pkl").exists()
    assert orion_hpc("submit", config, "--max-trials", "1").returncode == 0
    done = orion_hpc(command, config, "--name", "other")
    assert done.returncode == 2
    assert "there is no experiment 'other'" in done.stderr


def test_where_slurm_does_not_answer_all_that_is_known_is_cancelled(
    fake_slurm: FakeSlurm, tmp_path: Path
) -> None:
    """The stop stands in the database in any case; what scancel said is told, exit code 1."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config, "--array", "3").returncode == 0
    (job,) = status_of(config)["jobs"][0]["ids"]
    fake_slurm.fail("squeue", "slurm_load_jobs error: Access/permission denied")
    fake_slurm.fail("scancel", f"scancel: error: Kill job error on job id {job}: Access denied")
    done = orion_hpc("cancel", config)
    assert done.returncode == 1
    assert "Cancelled" not in done.stderr
    assert f"Slurm job {job} wasn't cancelled: scancel: error: Kill job error" in done.stderr
    assert [call.argv for call in fake_slurm.calls("scancel")] == [[job]]
    assert status_of(config)["state"] == "stopped"
    fake_slurm.restore("scancel")
    resumed = orion_hpc("resume", config, "--array", "3")
    assert resumed.returncode == 0
    assert "squeue doesn't answer" in resumed.stderr
    assert "--array=0-2" in fake_slurm.calls("sbatch")[1].script


def test_only_as_many_tasks_as_lack_are_submitted(fake_slurm: FakeSlurm, tmp_path: Path) -> None:
    """Five of eight still wait, say."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config, "--array", "8").returncode == 0
    (job,) = status_of(config)["jobs"][0]["ids"]
    fake_slurm.answer(
        "squeue", f"{job}|0-4|PENDING|0|Priority|quick|\n{job}|5-7|COMPLETING|0|None|quick|\n"
    )
    done = orion_hpc("submit", config, "--array", "20")
    assert "3 of 20 tasks are enough for the trials that are left, beside 5 in the queue." in (
        done.stderr
    )
    assert "--array=0-2" in fake_slurm.calls("sbatch")[1].script


@pytest.mark.usefixtures("no_slurm")
def test_a_job_that_is_faster_than_its_resumption_waits_for_it(tmp_path):
    """It may run before the database knows that the experiment goes on; it must not leave."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", "--max-trials", "1", config).returncode == 0
    assert orion_hpc("cancel", config).returncode == 0
    storage = PickledDB(str(config.parent / "db.pkl"))
    words = ("worker", "--storage", storage.path, "--name", "quick", "--reopens")
    process = subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: runs_for(process.pid, 1.0), 30, "it waits")
        limits = ev.ChangeLimits(3, 3, 1.0)
        storage.transact(1, lambda state: [limits, ev.ResumeExperiment(1.0)])
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, told
    assert storage.refresh().experiments[1].count(COMPLETED) == 3


def runs_for(pid: int, seconds: float) -> bool:
    """Return whether the process has used so much time, and is there."""
    process = psutil.Process(pid)
    return process.is_running() and time.time() - process.create_time() > seconds
