"""`orion-hpc clean`: what is gone afterwards, and what never is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import COMPLETED
from tests.rigs.command import COMMAND, CONFIG, orion_hpc, project, status_of
from tests.rigs.processes import kill
from tests.rigs.slurm import SlurmCluster
from tests.rigs.waiting import wait_until

SAVING = """\
import pathlib, time

def main(x, trial):
    pathlib.Path(trial.working_dir, "model").write_text("m")
    place = pathlib.Path(__file__).parent
    (place / "running").touch()
    while trial.number > 1 and not (place / "go").exists():
        time.sleep(0.05)
    return x
"""
LISTENING = CONFIG.replace("quick:main", "quick:main\ntrial_arg: trial")


def listing(folder: Path) -> set[str]:
    """Return all files below the experiment's folder."""
    root = folder / "db.pkl.files" / "quick-v1"
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


@pytest.mark.usefixtures("no_slurm")
def test_a_finished_run_leaves_logs_and_models_only(tmp_path):
    """Nothing of submitit's, before clean is ever called."""
    config = project(tmp_path / "p", LISTENING, quick=SAVING)
    (config.parent / "go").touch()
    assert orion_hpc("submit", "--array", "2", config).returncode == 0
    left = listing(config.parent)
    assert {name for name in left if name.endswith((".pkl", ".sh"))} == set()
    assert orion_hpc("clean", config).stdout == "There is nothing to be removed of quick-v1.\n"
    assert listing(config.parent) == left
    shown = orion_hpc("clean", config, "--logs", "--trials", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "Nothing was removed" in shown.stdout
    assert listing(config.parent) == left
    done = orion_hpc("clean", config, "--logs", "--trials", "--json")
    told = json.loads(done.stdout)
    assert {entry["kind"] for entry in told["litter"]} == {
        "logs of jobs that are over", "working directories of trials that are over",
    }  # fmt: skip
    assert listing(config.parent) == set()
    trials = PickledDB(str(config.parent / "db.pkl")).refresh().experiments[1].trials
    assert [trial.status for trial in trials] == [COMPLETED] * 8


@pytest.mark.usefixtures("no_slurm")
def test_after_a_kill_of_everything_what_can_go_on_stays(tmp_path):
    config = project(tmp_path / "p", LISTENING, quick=SAVING)
    folder = config.parent
    process = subprocess.Popen(
        [*COMMAND, "submit", "--array", "2", str(config)], stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: len(list(folder.glob("db.pkl.files/*/trials/*/model"))) == 4, 60, "four")
        # While they live nothing of theirs is touched.
        assert "nothing to be removed" in orion_hpc("clean", config).stdout
        below = psutil_children(process.pid)
        process.send_signal(signal.SIGKILL)
        kill(below)
    finally:
        process.kill()
        process.wait()
    # Who holds a trial may come back from another host's point of view; this host knows better.
    done = orion_hpc("clean", config, "--trials")
    assert done.returncode == 0, done.stderr
    left = listing(folder)
    assert {"trials/2/model", "trials/3/model"} <= left
    assert not {"trials/0/model", "trials/1/model"} & left
    (folder / "go").touch()
    assert orion_hpc("submit", config).returncode == 0
    assert status_of(config)["state"] == "done"
    orion_hpc("clean", config)
    assert not [name for name in listing(folder) if name.endswith((".pkl", ".sh"))]
    assert not [name for name in listing(folder) if name.startswith("workers/")]


@pytest.mark.usefixtures("no_slurm")
def test_what_a_trial_may_go_on_from_stays(tmp_path):
    """A halving search that was stopped has its checkpoints still when it is resumed."""
    halving = LISTENING.replace("random", "asha").replace(
        "space: {", 'space: {epochs: "fidelity(1, 9, base=3)", '
    )
    config = project(tmp_path / "p", halving, quick=SAVING.replace("(x,", "(x, epochs,"))
    folder = config.parent
    (folder / "go").touch()
    assert orion_hpc("submit", "--max-trials", "2", config).returncode == 0
    storage = PickledDB(folder / "db.pkl")
    (number,) = storage.refresh().experiments
    storage.transact(number, lambda state: [ev.ChangeLimits(9, 3, 0.0)])
    storage.close()
    done = orion_hpc("clean", config, "--trials")
    assert "others go on from them" in done.stdout + done.stderr
    assert {"trials/0/model", "trials/1/model"} <= listing(folder)
    assert orion_hpc("submit", "--max-trials", "9", config).returncode == 0
    done = orion_hpc("clean", config, "--trials")
    assert done.returncode == 0
    assert "with a higher --max-trials" in done.stdout + done.stderr
    assert "trials/0/model" not in listing(folder)


@pytest.mark.usefixtures("no_slurm")
def test_what_workers_kept_for_themselves_goes_once_the_database_has_it_for_a_week(tmp_path):
    """Only files that are old; the search can go on afterwards."""
    config = project(tmp_path / "p", CONFIG + "lock: lease\n")
    assert orion_hpc("submit", config).returncode == 0
    folder = config.parent / "db.pkl.files" / "write-ahead"
    files = [path for path in folder.glob("*/*") if path.is_file()]
    assert files
    assert "nothing to be removed" in orion_hpc("clean", config).stdout
    week = time.time() - 8 * 86400
    os.utime(files[0], (week, week))
    done = orion_hpc("clean", config, "--json")
    kinds = {entry["kind"] for entry in json.loads(done.stdout)["litter"]}
    assert kinds == {"workers' own copies of what the database has"}
    assert [path for path in files if path.exists()] == files[1:]
    assert orion_hpc("submit", "--max-trials", "12", config).returncode == 0
    assert status_of(config)["state"] == "done"


def psutil_children(pid: int):
    import psutil

    return psutil.Process(pid).children(recursive=True)


@pytest.mark.usefixtures("no_slurm")
def test_links_arent_followed_and_strangers_stay(tmp_path):
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config).returncode == 0
    root = config.parent / "db.pkl.files" / "quick-v1"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "h:1:abcdef.9").write_text("{}")
    (root / "notices").symlink_to(outside)
    (root / "workers" / "notes").write_text("mine")
    (root / "trials").mkdir(exist_ok=True)
    os.symlink(outside, root / "trials" / "0")
    done = orion_hpc("clean", config, "--trials", "--logs")
    assert done.returncode == 0, done.stderr
    assert (outside / "h:1:abcdef.9").exists()
    assert (root / "workers" / "notes").exists()
    assert (root / "trials" / "0").is_symlink()


def cleaning(config: Path, process: subprocess.Popen[bytes]) -> int:
    """Clean over and over until the process has ended; return how often."""
    count = 0
    while process.poll() is None:
        if (config.parent / "db.pkl").exists():
            done = orion_hpc("clean", config, "--logs", "--trials")
            assert done.returncode in (0, 2), done.stderr  # 2: it isn't made yet
            count += done.returncode == 0
    return count


@pytest.mark.usefixtures("no_slurm")
def test_cleaning_harms_no_process_that_starts_or_ends(tmp_path):
    """Jobs whose workers have given no sign yet, and those whose result is yet to be read."""
    config = project(tmp_path / "p", LISTENING, quick=SAVING)
    (config.parent / "go").touch()
    for turn in (1, 2, 3):
        process = subprocess.Popen(
            [*COMMAND, "submit", "--array", "2", "--max-trials", str(8 * turn), str(config)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert cleaning(config, process)
        assert process.stderr is not None
        told = process.stderr.read().decode()
        process.stderr.close()
        assert (process.returncode, "worker process" in told) == (0, False), told
        assert status_of(config)["trials"]["completed"] == 8 * turn
    orion_hpc("clean", config, "--logs")
    assert not [name for name in listing(config.parent) if not name.startswith("trials/")]


MEANWHILE = """\
#!{python}
import pathlib
root = pathlib.Path({root!r})
(root / "workers").mkdir(exist_ok=True)
(root / "workers" / "elsewhere:9:abcdef.9:99_0.0").write_text('{{"interval": 60}}')
for launch in ("slurm-20260101-101010-5-0123abcd", "slurm-20260101-101011-5-0123abce"):
    (root / "jobs" / launch).mkdir(exist_ok=True)
    (root / "jobs" / launch / "99_0_submitted.pkl").touch()
print("12|N/A|COMPLETED|0|None|quick|")
"""


@pytest.mark.usefixtures("no_slurm")
def test_what_begins_while_slurm_is_asked_stays(tmp_path, monkeypatch):
    """A submission that the database didn't tell of yet, and a worker that nobody had seen."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config).returncode == 0
    root = config.parent / "db.pkl.files" / "quick-v1"
    launch = root / "jobs" / "slurm-20260101-101010-5-0123abcd"
    launch.mkdir()
    (launch / "12_submitted.pkl").touch()
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(MEANWHILE.format(python=sys.executable, root=str(root)))
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", str(squeue.parent), prepend=os.pathsep)
    before = listing(config.parent)
    done = orion_hpc("clean", config)
    assert done.returncode == 0, done.stderr
    assert listing(config.parent) - before == {
        "workers/elsewhere:9:abcdef.9:99_0.0",
        "jobs/slurm-20260101-101010-5-0123abcd/99_0_submitted.pkl",
        "jobs/slurm-20260101-101011-5-0123abce/99_0_submitted.pkl",
    }
    assert before - listing(config.parent) == {
        "jobs/slurm-20260101-101010-5-0123abcd/12_submitted.pkl"
    }


@pytest.mark.usefixtures("no_slurm")
def test_a_worker_elsewhere_lives_though_its_sign_is_empty(tmp_path):
    """A full disk left it so; what was silent for two days is gone."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config).returncode == 0
    root = config.parent / "db.pkl.files" / "quick-v1"
    living, old = root / "workers" / "h:9:abcdef.9:99_0.0", root / "workers" / "h:8:abcdef.9:7.0"
    living.touch()
    old.write_text('{"interval": 60}')
    notice = root / "notices" / living.name
    notice.parent.mkdir(exist_ok=True)
    notice.touch()
    two_days_ago = time.time() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    os.utime(notice, (two_days_ago, two_days_ago))
    assert orion_hpc("clean", config).returncode == 0
    assert (living.exists(), notice.exists(), old.exists()) == (True, True, False)


@pytest.mark.usefixtures("no_slurm")
def test_results_that_were_not_recorded_stay(tmp_path):
    """Though the trial is broken; and so is told."""
    broken = "def main(x, trial):\n    trial.working_dir\n    raise ValueError(x)\n"
    config = project(tmp_path / "p", LISTENING, quick=broken)
    assert orion_hpc("submit", config, "--max-broken", "2").returncode != 0
    first, second = sorted(config.parent.glob("db.pkl.files/*/trials/*"))[:2]
    (first / "unrecorded-1.json").write_text("[]")
    done = orion_hpc("clean", config, "--trials")
    assert done.returncode == 0, done.stderr
    assert f"{first} stays" in done.stderr
    assert first.exists()
    assert not second.exists()


@pytest.mark.usefixtures("no_slurm")
def test_there_is_no_such_experiment(tmp_path):
    config = project(tmp_path / "p")
    done = orion_hpc("clean", config)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.slurm
def test_an_array_leaves_nothing_of_submitits(slurm: SlurmCluster, tmp_path: Path) -> None:
    """And to clean while it runs harms nothing."""
    config = project(tmp_path / "p", LISTENING, quick=SAVING)
    folder = config.parent
    done = orion_hpc("submit", "--array", "3%2", config, cwd=folder)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(list(folder.glob("db.pkl.files/*/trials/*/model"))) == 4, 60, "four")
    cleaned = orion_hpc("clean", config)
    assert "nothing to be removed" in cleaned.stdout, cleaned
    (folder / "go").touch()
    slurm.wait_for_jobs()
    assert status_of(config)["trials"]["completed"] == 8
    # Those of the task that never began are gone with the others.
    assert {Path(name).suffix for name in listing(folder) if name.startswith("jobs/slurm")} == {
        ".out"
    }
    assert orion_hpc("clean", config).returncode == 0
    left = {Path(name).suffix for name in listing(folder) if not name.startswith("trials/")}
    assert left == {".out"}


@pytest.mark.slurm
def test_a_cancelled_array_leaves_nothing_of_submitits(slurm: SlurmCluster, tmp_path: Path) -> None:
    config = project(tmp_path / "p", LISTENING, quick=SAVING.replace("time.sleep(0.05)", """\
if trial.stop_requested:
            raise __import__("orion_hpc").TrialInterrupted("saved")
        time.sleep(0.05)"""))  # fmt: skip
    done = orion_hpc("submit", "--array", "3%2", config, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    models = "db.pkl.files/*/trials/*/model"
    wait_until(lambda: len(list(config.parent.glob(models))) == 4, 60, "four")
    cancelled = orion_hpc("cancel", config)
    assert cancelled.returncode == 0, cancelled.stderr
    slurm.wait_for_jobs()
    suffixes = {Path(name).suffix for name in listing(config.parent) if "jobs/slurm" in name}
    assert suffixes == {".out"}


@pytest.mark.slurm
def test_cleaning_harms_no_array_that_is_submitted_begins_or_ends(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """No task misses its file, of the arrays that one submission is split into neither."""
    config = project(tmp_path / "p", LISTENING, quick=SAVING)
    go = config.parent / "go"
    go.touch()
    for turn in (1, 2):
        if turn == 2:
            go.unlink()  # or all jobs are over before the last cleaning, and no log is left
        process = subprocess.Popen(
            [*COMMAND, "submit", "--array", "4%2", "--max-trials", str(8 * turn), str(config)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=config.parent,
        )  # fmt: skip
        cleaning(config, process)
        assert process.returncode == 0
        go.touch()
        while slurm.jobs():
            assert orion_hpc("clean", config).returncode == 0
        assert status_of(config)["trials"]["completed"] == 8 * turn
    logs = [path.read_text() for path in config.parent.glob("db.pkl.files/*/jobs/*/*.out")]
    assert logs
    assert not [log for log in logs if "Traceback" in log]
    assert orion_hpc("clean", config).returncode == 0
    assert {Path(name).suffix for name in listing(config.parent) if name.startswith("jobs")} == {
        ".out"
    }
