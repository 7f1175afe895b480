"""``orion-hpc submit`` without Slurm: real processes that are stopped and killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.trial_record import BROKEN, COMPLETED, INTERRUPTED
from tests.rigs.command import COMMAND, CONFIG, orion_hpc, project, status_of
from tests.rigs.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_slurm")


def trials_of(config: Path):
    """Return the trials of the project's experiment."""
    return PickledDB(str(config.parent / "db.pkl")).refresh().experiments[1].trials


def descendants(pid: int) -> list[psutil.Process]:
    """Return all processes below ``pid``."""
    return psutil.Process(pid).children(recursive=True)


def test_the_command_runs_to_the_best_trial(tmp_path):
    """Says that it works here, shows the end of the progress, and prints the best point."""
    config = project(tmp_path / "p")
    done = orion_hpc("submit", "--array", "2", config)
    assert done.returncode == 0, done.stderr
    best = min(trials_of(config), key=lambda trial: trial.objective)
    assert done.stdout.splitlines() == [
        f"Best trial: {best.number}, objective {best.objective:.6g}",
        f"  x: {best.params['x']!r}",
        "Done: 8 trials are completed.",
    ]
    told = done.stderr.splitlines()
    assert told[0] == "There is no sbatch on the PATH: the workers run on this machine."
    assert told[1] == f"Experiment quick v1 was created in {config.parent}/db.pkl."
    assert re.fullmatch(r"2 workers are on this machine; logs: .*/jobs/local-.*/\*\.out", told[2])
    assert re.match(r"8/8 done, 0 running, 0 broken, best .*, elapsed \d+ s", told[-1])


def test_a_finished_experiment_starts_nothing(tmp_path):
    """The same command again tells the best trial at once; a higher budget goes on."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config).returncode == 0
    again = orion_hpc("submit", config)
    assert again.returncode == 0
    assert "Done: 8 trials are completed." in again.stdout
    assert len(status_of(config)["jobs"]) == 1
    more = orion_hpc("submit", config, "--max-trials", "10")
    assert "Changed max_trials: 8 -> 10." in more.stderr
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 10


def test_one_and_three_workers_try_the_same_points(tmp_path):
    """The seed, and not the number of workers, decides which trials there are."""
    points = []
    for tasks in ("1", "3"):
        config = project(tmp_path / tasks)
        assert orion_hpc("submit", "--array", tasks, config).returncode == 0
        points.append([trial.params for trial in trials_of(config)])
    assert points[0] == points[1]


WAITING = """\
import os, time

def main(x, trial):
    open(f"started-{trial.number}-{trial.attempt}", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
    return x
"""


@pytest.fixture
def waiting(tmp_path) -> Path:
    """Return a project whose trials wait for a file called ``go``."""
    text = CONFIG.replace("max_trials: 8", "max_trials: 4\ntrial_arg: trial")
    text = text.replace("heartbeat", "grace: 0.5, heartbeat")
    return project(tmp_path / "p", text, quick=WAITING)


def start(config: Path, *words: str) -> subprocess.Popen[str]:
    """Start ``submit`` in a process group of its own, as a shell does, and wait for two trials."""
    process = subprocess.Popen(
        [*COMMAND, "submit", "--array", "2", *words, str(config)],
        cwd=config.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: len(list(config.parent.glob("started-*"))) == 2, 60, "two trials run")
    return process


@pytest.mark.parametrize("executor", ["joblib", "single"])
@pytest.mark.parametrize("whole_group", [True, False], ids=["terminal", "only-the-command"])
def test_ctrl_c_interrupts_the_trials_and_the_same_command_goes_on(waiting, executor, whole_group):
    """Ctrl-C, which a terminal sends to all: trials released, no process left, nothing lost."""
    waiting.write_text(waiting.read_text().replace("heartbeat", f"executor: {executor}, heartbeat"))
    process = start(waiting)
    below = descendants(process.pid)
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert f"Stopped. Go on from here with: orion-hpc submit --array 2 {waiting}" in told
    assert "Traceback" not in told
    _, alive = psutil.wait_procs(below, timeout=5)
    assert alive == []
    trials = trials_of(waiting)
    assert [(trial.status, trial.cause) for trial in trials] == [(INTERRUPTED, "cancelled")] * 2
    assert [trial.losses for trial in trials] == [0, 0]
    (waiting.parent / "go").touch()
    done = orion_hpc("submit", waiting, cwd=waiting.parent)
    assert done.returncode == 0, done.stderr
    trials = trials_of(waiting)
    assert [trial.status for trial in trials] == [COMPLETED] * 4
    assert [trial.attempt for trial in trials] == [2, 2, 1, 1]


def test_a_killed_worker_costs_its_attempt_and_no_more(waiting):
    """kill -9 of one of two workers: the other one takes the trial over at once."""
    process = start(waiting)
    folder = waiting.parent / "db.pkl.files" / "quick-v1" / "workers"
    victim = sorted(folder.iterdir())[0].name
    os.kill(int(victim.split(":")[1]), signal.SIGKILL)
    (waiting.parent / "go").touch()
    _, told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert "Failed: worker process" in told
    trials = trials_of(waiting)
    assert [trial.status for trial in trials] == [COMPLETED] * 4
    assert sum(trial.attempt for trial in trials) == 5
    assert sum(trial.losses for trial in trials) == 1


@pytest.mark.parametrize("executor", ["joblib", "single"])
def test_what_a_killed_worker_left_is_ended_before_its_trial_goes_on(tmp_path, executor):
    """A script's grandchild outlives its worker's kill -9; no second attempt runs beside it."""
    text = CONFIG.replace(
        "function: quick:main", 'command: ["sh", "-c", "sh run.sh; echo {x}"]'
    ).replace("{heartbeat", f"{{executor: {executor}, heartbeat")
    config = project(tmp_path / "p", text)
    (config.parent / "run.sh").write_text("test -e go || (echo $$ > left; sleep 600 & wait)\n")
    process = subprocess.Popen(
        [*COMMAND, "submit", str(config)], cwd=config.parent, stderr=subprocess.PIPE, text=True
    )
    left = config.parent / "left"
    wait_until(lambda: left.exists() and left.read_text().strip(), 60, "the script runs")
    orphan = psutil.Process(int(left.read_text()))
    (sign,) = (config.parent / "db.pkl.files" / "quick-v1" / "workers").iterdir()
    (config.parent / "go").touch()
    os.kill(int(sign.name.split(":")[1]), signal.SIGKILL)
    process.communicate(timeout=60)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    trial = trials_of(config)[0]
    assert (trial.status, trial.losses) == (INTERRUPTED, 1)
    done = orion_hpc("submit", config, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 8


def test_a_killed_command_leaves_an_experiment_that_goes_on(waiting):
    """Everything killed at once, as when the machine is switched off."""
    process = start(waiting)
    below = descendants(process.pid)
    for one in [process, *below]:
        one.kill()
    process.communicate()
    psutil.wait_procs(below, timeout=10)
    assert [trial.status for trial in trials_of(waiting)] == ["reserved"] * 2
    (waiting.parent / "go").touch()
    assert orion_hpc("submit", waiting, cwd=waiting.parent).returncode == 0
    trials = trials_of(waiting)
    assert [trial.status for trial in trials] == [COMPLETED] * 4
    assert [trial.losses for trial in trials] == [1, 1, 0, 0]


def test_too_many_broken_trials_end_it_with_the_reason(tmp_path):
    """Three exceptions stop the experiment; what to do is said, and the exit code is 1."""
    config = project(tmp_path / "p", quick="def main(x):\n    raise ValueError('no way')\n")
    done = orion_hpc("submit", "--array", "2", config)
    assert done.returncode == 1
    assert "broke (user error): ValueError: no way" in done.stderr
    assert "--max-broken 6" in done.stderr
    trials = trials_of(config)
    assert sum(trial.status == BROKEN for trial in trials) >= 3
    assert "in main" in trials[0].message, "the traceback is kept"
    assert status_of(config)["state"] == "broken"


def test_a_name_of_any_characters_has_a_folder_of_its_own(tmp_path):
    """From the first submission to the removal; a neighbour of a similar name stays."""
    folder = tmp_path / "p"
    config = project(folder, CONFIG.replace("name: quick", 'name: "lr=0.1 /../[red]50%j"'))
    script = orion_hpc("submit", "--dry-run", "--executor", "slurm", config).stdout
    (job_name,) = re.findall("^#SBATCH --job-name=(.*)$", script, re.MULTILINE)
    assert re.fullmatch(r"lr_0\.1_\.\._red_50_j\+[0-9a-f]{20}", job_name)

    for words in ((), ("--name", "lr_0.1 /../[red]50%j")):
        done = orion_hpc("submit", config, "--executor", "local", *words)
        assert done.returncode == 0, done.stderr
    files = folder / "db.pkl.files"
    assert f"{job_name}-v1" in os.listdir(files)
    assert len(os.listdir(files)) == 2
    assert sorted(os.listdir(folder)) == ["__pycache__", "config.yaml", "db.pkl", "db.pkl.files",
                                          "db.pkl.lock", "quick.py"]  # fmt: skip
    assert status_of(config)["name"] == "lr=0.1 /../[red]50%j"
    assert f"{job_name}-v1/jobs/" in orion_hpc("logs", config).stdout
    name = ("--name", "lr=0.1 /../[red]50%j")
    done = orion_hpc("db", "rm", folder / "db.pkl", *name, "--yes")
    assert done.returncode == 0, done.stderr
    assert len(os.listdir(files)) == 1
    assert f"{job_name}-v1" not in os.listdir(files)


def test_a_mended_command_goes_on_with_the_same_experiment(tmp_path):
    """Trials that broke run again with the new command; what completed before is pointed out."""
    wrong = CONFIG.replace("function: quick:main", 'command: [sh, -c, "exit 1"]')
    config = project(tmp_path / "p", wrong)
    database = tmp_path / "p" / "db.pkl"
    assert orion_hpc("submit", config, "--executor", "debug").returncode == 1
    broken = status_of(config)["trials"]["broken"]
    assert broken == 3
    assert orion_hpc("db", "set", database, "--status", "broken", "--to", "new").returncode == 0
    config.write_text(wrong.replace("exit 1", "echo {x}"))
    done = orion_hpc("submit", config, "--executor", "debug")
    assert done.returncode == 0, done.stderr
    assert "Changed command: ['sh', '-c', 'exit 1'] -> ['sh', '-c', 'echo {x}']." in done.stderr
    assert "completed before" not in done.stderr
    assert status_of(config)["trials"]["completed"] == 8

    config.write_text(CONFIG)
    done = orion_hpc("submit", config, "--executor", "debug", "--max-trials", "9")
    assert done.returncode == 0, done.stderr
    assert "Changed function: not given -> quick:main." in done.stderr
    assert "8 trials completed before this change." in done.stderr
    assert "use --version 2." in done.stderr
    done = orion_hpc("submit", config, "--executor", "debug", "--max-trials", "9")
    assert "function" not in done.stderr, "it was recorded"


def test_everyone_leaves_when_too_many_are_broken(tmp_path):
    """Also a worker that has an hour before it; the trial goes on when the cause is mended."""
    search = """
import pathlib, time
PLACE = pathlib.Path(__file__).parent

def main(x, trial):
    if (PLACE / "mended").exists():
        return x
    if trial.number == 0:
        (PLACE / "long").touch()
        time.sleep(3600)
    while not (PLACE / "long").exists():
        time.sleep(0.01)
    raise ValueError("no way")
"""
    text = CONFIG.replace("max_trials: 8", "max_trials: 4\nmax_broken: 2\ntrial_arg: trial")
    config = project(
        tmp_path / "p", text.replace("heartbeat: 5", "heartbeat: 1, grace: 1"), quick=search
    )
    done = orion_hpc("submit", "--array", "2", config)
    assert done.returncode == 1
    assert "    raise ValueError" in done.stderr
    first = trials_of(config)[0]
    assert (first.status, first.message) == (INTERRUPTED, "2 trials are broken")
    (config.parent / "mended").touch()
    done = orion_hpc("submit", "--max-broken", "5", config)
    assert done.returncode == 0, done.stderr
    assert sum(trial.status == COMPLETED for trial in trials_of(config)) == 4


def test_a_trial_that_crashes_breaks_alone(tmp_path):
    """A segmentation fault costs its trial, not its worker; a fresh trial takes its place."""
    code = "import os\ndef main(x):\n    if x < 0.2: os.kill(os.getpid(), 11)\n    return x\n"
    config = project(tmp_path / "p", CONFIG + "max_broken: 9\n", quick=code)
    done = orion_hpc("submit", config)
    assert done.returncode == 0, done.stderr
    trials = trials_of(config)
    completed = [trial for trial in trials if trial.status == COMPLETED]
    broken = [trial for trial in trials if trial.status == BROKEN]
    assert len(completed) == 8
    assert {trial.cause for trial in broken} == {"killed"}
    assert all("SIGSEGV" in trial.message for trial in broken)
    assert {trial.worker for trial in broken} == {completed[0].worker}


def test_a_script_in_any_language_is_tuned(tmp_path):
    """A shell script with a placeholder; its last line is the objective, its output is kept."""
    text = CONFIG.replace("function: quick:main", 'command: ["sh", "train.sh", "--x={x}"]')
    config = project(tmp_path / "p", text)
    (config.parent / "train.sh").write_text('echo "working on $1"\necho "${1#--x=}"\n')
    done = orion_hpc("submit", config)
    assert done.returncode == 0, done.stderr
    for trial in trials_of(config):
        assert trial.objective == trial.params["x"]
        log = config.parent / "db.pkl.files" / "quick-v1" / "trials" / str(trial.number) / "log.txt"
        assert f"working on --x={trial.params['x']}" in log.read_text()


def test_a_module_of_the_users_is_not_taken_for_pythons_own(tmp_path):
    """A queue.py in the directory where submit is typed doesn't bring down workers or trials."""
    if sys.version_info < (3, 11):
        pytest.skip("this Python can't keep the working directory out of its search path")
    config = project(tmp_path / "p")
    typed = tmp_path / "typed"
    typed.mkdir()
    (typed / "queue.py").write_text("raise ImportError('the user's own')\n")
    # Not with "python -m", which would import the user's module in this very process.
    done = subprocess.run(
        [sys.executable, "-P", *COMMAND[1:], "submit", str(config)],
        cwd=typed, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [trial.status for trial in trials_of(config)] == [COMPLETED] * 8


def test_a_trial_that_needs_no_directory_gets_none(tmp_path):
    """Ten thousand quick trials don't make ten thousand directories."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", config).returncode == 0
    assert not (config.parent / "db.pkl.files" / "quick-v1" / "trials").exists()


def test_nested_space_constants_and_the_trial_reach_the_function(tmp_path):
    """Nested mappings, kwargs and trial_arg in one call; working_dir where it was asked for."""
    text = """\
name: nested
function: quick:main
space: {optimizer: {lr: "loguniform(1e-5, 1)"}, depth: "randint(1, 4)"}
kwargs: {data: [1, 2]}
trial_arg: trial
max_trials: 2
working_dir: work
"""
    code = """\
import os
def main(optimizer, depth, data, trial):
    assert data == [1, 2] and trial.params == {"optimizer": optimizer, "depth": depth}
    open(os.path.join(trial.working_dir, "model"), "w").close()
    return optimizer["lr"] * depth
"""
    config = project(tmp_path / "p", text, quick=code)
    done = orion_hpc("submit", config)
    assert done.returncode == 0, done.stderr
    assert (config.parent / "work" / "nested-v1" / "1" / "model").exists()


def test_a_finite_space_ends_by_itself(tmp_path):
    """A grid without a budget: every point once, and the end says why."""
    text = CONFIG.replace("max_trials: 8\n", "").replace("{random: {seed: 1}}", "gridsearch")
    text = text.replace("uniform(0, 1)", "choices([3, 1, 2])")
    config = project(tmp_path / "p", text)
    done = orion_hpc("submit", "--array", "2", config)
    assert done.returncode == 0, done.stderr
    assert "Done: 3 trials are completed (every point of the space was tried)." in done.stdout
    assert "Best trial: 1, objective 1" in done.stdout


def test_a_worker_by_hand_helps_along(waiting):
    """``orion-hpc worker`` beside the others takes trials of the same experiment."""
    process = start(waiting)
    storage = waiting.parent / "db.pkl"
    (waiting.parent / "go").touch()
    by_hand = orion_hpc("worker", "--storage", storage, "--name", "quick", cwd=waiting.parent)
    assert by_hand.returncode == 0, by_hand.stderr
    assert "worker leaves" in by_hand.stderr
    _, told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert [trial.status for trial in trials_of(waiting)] == [COMPLETED] * 4


def test_status_shows_workers_and_jobs_while_they_run(waiting):
    """Two living workers, two running trials and their jobs, as a table and as JSON."""
    process = start(waiting)
    status = status_of(waiting)
    assert status["state"] == "running"
    assert status["trials"]["reserved"] == 2
    assert len(status["workers"]) == 2
    assert {worker["job"] for worker in status["workers"]} == {
        f"local-{job}" for job in status["jobs"][0]["ids"]
    }
    table = orion_hpc("status", "--storage", waiting.parent / "db.pkl").stdout.splitlines()
    assert table[0].split() == [
        "experiment", "state", "completed", "running", "waiting", "broken", "best", "workers",
    ]  # fmt: skip
    assert table[1].split()[:9] == ["quick", "v1", "running", "0/4", "2", "0", "0", "-", "2"]
    (waiting.parent / "go").touch()
    process.communicate(timeout=100)


def test_ctrl_c_in_a_debug_run_is_told_as_such(waiting):
    """The worker is in the command's own process; a script can tell it from a failure."""
    process = subprocess.Popen(
        [*COMMAND, "submit", "--executor", "debug", str(waiting)],
        cwd=waiting.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_until(lambda: bool(list(waiting.parent.glob("started-*"))), 60, "a trial runs")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert f"Stopped. Go on from here with: orion-hpc submit --executor debug {waiting}" in told
    assert [trial.status for trial in trials_of(waiting)] == [INTERRUPTED]


CHILD = """\
import multiprocessing, time

def main(x):
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(0.5)
    child.terminate()
    child.join(10)
    assert child.exitcode == -15, child.exitcode
    return x
"""


@pytest.mark.parametrize("executor", ["single", "joblib", "poolexecutor"])
def test_a_trials_children_have_none_of_the_jobs_handlers(tmp_path, executor):
    """Neither the worker's nor submitit's, which ignores SIGTERM: they end when terminated."""
    text = CONFIG.replace("max_trials: 8", "max_trials: 1")
    text = text.replace("worker: {", f"worker: {{executor: {executor}, ")
    done = orion_hpc("submit", project(tmp_path / "p", text, quick=CHILD))
    assert done.returncode == 0, done.stderr


def test_a_search_that_ends_with_broken_trials_says_why(tmp_path):
    """Fewer than stop it: its space is spent."""
    text = CONFIG.replace("uniform(0, 1)", "choices([1, 2])").replace(
        "random: {seed: 1}", "gridsearch"
    )
    text = text.replace("algorithm: {gridsearch}", "algorithm: gridsearch") + "max_broken: 9\n"
    config = project(tmp_path / "p", text, quick="def main(x):\n    return {'loss': x}\n")
    done = orion_hpc("submit", config)
    assert done.returncode == 0, done.stderr
    assert "quick v1: trial 0 broke (user error): " in done.stderr
    assert "Return a list, with the type objective" in done.stderr
    assert "Done: 0 trials are completed" in done.stdout
