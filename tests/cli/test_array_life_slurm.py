"""The life of an array on a real Slurm cluster: time limits, requeues, an early end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.trial_record import COMPLETED
from tests.rigs.command import COMMAND, CONFIG, orion_hpc, project, status_of
from tests.rigs.slurm import SlurmCluster
from tests.rigs.waiting import wait_until

pytestmark = pytest.mark.slurm

#: The first trial runs until it was interrupted so often as the file "wanted" says; the others are
#: over at once. Each attempt notes where it ran, and removes the note when it ends: never two in
#: one place.
ONE_LONG = """\
import os, time
from orion_hpc import TrialInterrupted

def main(x, trial):
    task = os.environ.get("SLURM_ARRAY_TASK_ID", "-")
    with open("attempts", "a") as file:
        file.write(f"{task} {os.environ.get('SLURM_RESTART_COUNT', '0')} {trial.number}\\n")
    here = f"running-{task}"
    os.close(os.open(here, os.O_CREAT | os.O_EXCL))
    try:
        while trial.number == 0 and trial.attempt <= int(open("wanted").read()):
            if trial.stop_requested:
                raise TrialInterrupted("saved")
            time.sleep(0.02)
        return x
    finally:
        os.unlink(here)
"""
LISTENING = CONFIG.replace("quick:main", "quick:main\ntrial_arg: trial").replace(
    "heartbeat: 5, idle_timeout: 30", "heartbeat: 5, idle_timeout: 1"
)


def make(folder: Path, max_trials: int, wanted: int) -> Path:
    """Make the project; return its configuration."""
    text = LISTENING.replace("max_trials: 8", f"max_trials: {max_trials}")
    config = project(folder, text, quick=ONE_LONG)
    (folder / "wanted").write_text(str(wanted))
    return config


def attempts(config: Path) -> list[tuple[str, str, str]]:
    """Return task, restart count and trial of each attempt, in the order of their beginnings."""
    path = config.parent / "attempts"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(task, restarts, trial) for task, restarts, trial in map(str.split, lines)]


def logs(config: Path) -> str:
    """Return what all jobs wrote, for a failure's message."""
    found = config.parent.glob("db.pkl.files/*/jobs/*/*.out")
    return "\n".join(path.read_text() for path in sorted(found))


def trials_of(config: Path):
    return PickledDB(str(config.parent / "db.pkl")).refresh().experiments[1].trials


def submit(config: Path, *words: str) -> str:
    """Submit; return the job id."""
    done = orion_hpc("submit", config, *words, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    job: str = status_of(config)["jobs"][-1]["ids"][0]
    return job


@pytest.mark.timeout(400)
def test_a_time_limit_requeues_the_task(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Slurm's real limit, the shortest there is: the task comes back and its trial goes on.

    The other task isn't touched, and nothing is run twice.
    """
    config = make(tmp_path / "p", max_trials=4, wanted=1)
    # The other one has left long before: Slurm's own signal comes half a minute early, and to all.
    config.write_text(config.read_text().replace("heartbeat: 5", "heartbeat: 1"))
    submit(config, "--array", "2", "--time", "1")
    slurm.wait_for_jobs(timeout=300)
    trials = trials_of(config)
    assert [trial.status for trial in trials] == [COMPLETED] * 4, logs(config)
    assert [trial.attempt for trial in trials] == [2, 1, 1, 1]
    (first, second) = [entry for entry in attempts(config) if entry[2] == "0"]
    assert first[1] == "0"
    assert (second[0], second[1]) == (first[0], "1"), logs(config)
    assert logs(config).count("goes back into the queue") == 1


def test_a_signal_of_the_limit_requeues_so_often_as_wanted(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """The second time, the task doesn't come back; the experiment stays as it is."""
    config = make(tmp_path / "p", max_trials=1, wanted=9)
    text = config.read_text().replace("idle_timeout: 1", "idle_timeout: 1, max_requeues: 1")
    config.write_text(text)
    job = submit(config, "--array", "0-0")
    for number in (1, 2):
        wait_until(lambda n=number: len(attempts(config)) == n, 90, "the trial runs")
        slurm.run("scancel", "--signal=USR2", job)
    slurm.wait_for_jobs()
    assert "was requeued 1 times and isn't any more" in logs(config)
    (trial,) = trials_of(config)
    assert (trial.status, trial.attempt, trial.cause) == ("interrupted", 2, "timed out")


def test_a_cancelled_experiment_is_resumed(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Running trials save their state, tasks that wait go, and ``resume`` does the rest.

    Submitting again meanwhile adds nothing to tasks that are enough.
    """
    config = make(tmp_path / "p", max_trials=6, wanted=1)
    job = submit(config, "--array", "6%1")
    wait_until(lambda: attempts(config), 60, "the first trial runs")
    again = orion_hpc("submit", config, "--array", "6%1", cwd=config.parent)
    assert (again.returncode, len(status_of(config)["jobs"])) == (0, 1)
    assert "6 tasks are in the queue already: none is submitted." in again.stdout
    done = orion_hpc("cancel", config, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    assert f"Cancelled Slurm job {job}, 6 tasks." in done.stderr
    assert "was cancelled: 0 completed, 1 interrupted, 0 reserved." in done.stdout, logs(config)
    slurm.wait_for_jobs()
    assert attempts(config) == [("0", "0", "0")]
    assert status_of(config)["state"] == "stopped"
    assert "saved" in trials_of(config)[0].message

    resumed = orion_hpc("resume", config, "--array", "2", cwd=config.parent)
    assert resumed.returncode == 0, resumed.stderr
    assert "stopped (cancelled) -> resumed" in resumed.stderr
    slurm.wait_for_jobs()
    trials = trials_of(config)
    assert [trial.status for trial in trials] == [COMPLETED] * 6, logs(config)
    assert [trial.attempt for trial in trials] == [2, 1, 1, 1, 1, 1]

    more = orion_hpc("resume", config, "--array", "2", "--max-trials", "8", cwd=config.parent)
    assert more.returncode == 0, more.stderr
    slurm.wait_for_jobs()
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 8, logs(config)


@contextlib.contextmanager
def staying(config: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``submit`` with a flag that makes it stay."""
    command = [*COMMAND, "submit", str(config), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=config.parent, text=True, **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_tasks_that_are_gone_are_replaced(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Cancelled behind the back of ``submit --keep``, which stays until all is done."""
    config = make(tmp_path / "p", max_trials=4, wanted=1)
    with staying(config, "--array", "2", "--keep") as process:
        wait_until(
            lambda: "0" in [trial for _, _, trial in attempts(config)], 60, "the first trial runs"
        )
        slurm.run("scancel", status_of(config)["jobs"][0]["ids"][0])
        out, told = process.communicate(timeout=120)
    assert process.returncode == 0, (out, told, logs(config))
    assert "Tasks are gone: submitted " in told
    assert "Done: 4 trials are completed" in out
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 4
    assert len(status_of(config)["jobs"]) == 2


@pytest.mark.parametrize("array", [1, 4])
def test_tasks_that_die_at_once_are_not_replaced_for_ever(
    slurm: SlurmCluster, tmp_path: Path, array: int
) -> None:
    """A template that fails before it starts a worker: after three tasks ``submit --keep`` stops
    and shows the reason, and so does ``status``. Once it is fixed, the same command does all."""
    config = make(tmp_path / "p", max_trials=4, wanted=0)
    template, good = tmp_path / "site.j2", orion_hpc("template").stdout
    template.write_text(good.replace("# module load python", "module load nothing || exit 1"))
    words = ("--keep", "--array", str(array), "--template", str(template))
    with staying(config, *words) as process:
        out, told = process.communicate(timeout=240)
    assert process.returncode == 1, (out, told, logs(config))
    launches = status_of(config)["jobs"]
    assert len(launches) == (3 if array == 1 else 1)
    job = launches[-1]["ids"][0]
    tasks = max(3, array)
    assert f"no more tasks are submitted: the last {tasks} tasks ended before a worker" in told
    shown = orion_hpc("status", config, cwd=config.parent).stdout
    for text in (told, shown):
        assert f"(job {job}); " in text
        assert "module: command not found" in text
    assert "no worker is running" not in shown
    template.write_text(good)
    with staying(config, *words) as process:
        out, told = process.communicate(timeout=240)
    assert process.returncode == 0, (out, told, logs(config))
    assert "Done: 4 trials are completed" in out


def test_who_watches_can_go(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Ctrl-C ends the command and no job; watching again shows the end."""
    config = make(tmp_path / "p", max_trials=2, wanted=1)
    with staying(config, "--array", "2", "--watch") as process:
        wait_until(lambda: attempts(config), 60, "the first trial runs")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "The jobs go on without this command. Next: orion-hpc status" in told
    assert slurm.jobs()
    (config.parent / "wanted").write_text("0")
    again = orion_hpc("submit", config, "--array", "1", "--watch", cwd=config.parent)
    assert again.returncode == 0, again.stderr
    assert "Done: 2 trials are completed" in again.stdout


def test_no_trial_begins_that_does_not_fit(slurm: SlurmCluster, tmp_path: Path) -> None:
    """One trial in each life of the job: the rest of its minute isn't enough for another."""
    config = make(tmp_path / "p", max_trials=2, wanted=0)
    text = config.read_text().replace("idle_timeout: 1", "idle_timeout: 1, trial_time: 50")
    config.write_text(text)
    quick = config.parent / "quick.py"
    quick.write_text(quick.read_text().replace("return x", "time.sleep(12); return x"))
    submit(config, "--array", "1", "--time", "1")
    slurm.wait_for_jobs(timeout=120)
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 2, logs(config)
    assert attempts(config) == [("-", "0", "0"), ("-", "1", "1")], logs(config)
    assert "unlikely to be enough for another trial" in logs(config)


def test_tasks_that_wait_are_cancelled_when_all_is_done(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """One at a time, and the first one does it all: the others never start."""
    config = make(tmp_path / "p", max_trials=6, wanted=0)
    submit(config, "--array", "6%1")
    slurm.wait_for_jobs()
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 6, logs(config)
    assert {task for task, _, _ in attempts(config)} == {"0"}
    assert len(list(config.parent.glob("db.pkl.files/*/jobs/*/*.out"))) == 1
