"""``orion-hpc logs`` as a user calls it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.rigs.command import COMMAND, CONFIG, orion_hpc, project
from tests.rigs.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_slurm")

LOUD = """\
import os, time

def main(x):
    print(f"loud and clear: {x}", flush=True)
    while os.path.exists("wait"):
        time.sleep(0.02)
    if os.path.exists("fail"):
        raise RuntimeError("this went wrong")
    return x
"""


def test_what_functions_print_is_in_their_jobs_logs(tmp_path: Path) -> None:
    config = project(tmp_path / "p", CONFIG.replace("max_trials: 8", "max_trials: 3"), quick=LOUD)
    assert orion_hpc("submit", config, cwd=config.parent).returncode == 0
    shown = orion_hpc("logs", config)
    assert shown.returncode == 0, shown.stderr
    heading, *lines = shown.stdout.splitlines()
    assert heading.startswith("==> ")
    assert heading.endswith("_0_log.out")
    assert len(lines) == 10
    job = heading.rpartition("/")[2].partition("_")[0]
    whole = orion_hpc("logs", config, "--worker", f"local-{job}")
    assert whole.stdout.count("loud and clear") == 3
    assert orion_hpc("logs", config, "-n", "0").stdout == whole.stdout
    assert orion_hpc("logs", config, "--failed").stderr == "No trial is broken.\n"


@pytest.mark.parametrize("executor", ["joblib", "poolexecutor", "single"])
def test_a_trials_part_of_its_workers_log(tmp_path: Path, executor: str) -> None:
    """From its start to its end, with what the function left in a buffer, and nothing else."""
    text = CONFIG.replace("max_trials: 8", "max_trials: 3")
    text = text.replace("{heartbeat", f"{{executor: {executor}, heartbeat")
    text = text.replace("quick:main", "quick:main\ntrial_arg: trial")
    config = project(tmp_path / "p", text, quick=QUIET)
    assert orion_hpc("submit", config, cwd=config.parent).returncode == 0
    for number in range(3):
        one = orion_hpc("logs", config, "--trial", str(number))
        assert f"Trial {number}, attempt 1: completed, by " in one.stderr
        assert "at the same time" not in one.stderr
        heading, start, printed, end = one.stdout.splitlines()
        assert heading.startswith("==> ")
        assert f"trial {number}: attempt 1 starts: " in start
        assert printed.startswith(f"this is trial {number} and ")
        assert f" trial {number}: attempt 1 completed: " in end
    last = orion_hpc("logs", config, "--trial", "2", "-n", "1").stdout.splitlines()
    assert last == [heading, end]


QUIET = """\
def main(x, trial):
    print(f"this is trial {trial.number} and its value {x}")
    return x
"""


def test_trials_that_run_at_once_are_not_told_apart(tmp_path: Path) -> None:
    """Their output is in one log: that is said."""
    text = CONFIG.replace("max_trials: 8", "max_trials: 4").replace(
        "{heart", "{n_workers: 4, heart"
    )
    config = project(tmp_path / "p", text, quick=LOUD)
    (config.parent / "wait").touch()
    with subprocess.Popen([*COMMAND, "submit", str(config)], cwd=config.parent) as running:
        try:
            logs = config.parent / "db.pkl.files/quick-v1/jobs"
            wait_until(
                lambda: "".join(one.read_text() for one in logs.glob("*/*.out")).count("loud") == 4,
                60, "all trials print",
            )  # fmt: skip
        finally:
            (config.parent / "wait").unlink()
            running.wait(60)
    one = orion_hpc("logs", config, "--trial", "3")
    assert "trial 3: attempt 1 starts" in one.stdout
    assert "Its worker ran other trials at the same time" in one.stderr


def test_tracebacks_of_broken_trials(tmp_path: Path) -> None:
    """Whole, and each once for all trials that it broke."""
    config = project(tmp_path / "p", quick=LOUD)
    (config.parent / "fail").touch()
    assert orion_hpc("submit", config, cwd=config.parent).returncode == 1
    shown = orion_hpc("logs", config, "--failed")
    assert shown.returncode == 0, shown.stderr
    assert "==> trials 0, 1 and 2: broken (user error)\n" in shown.stdout
    assert shown.stdout.count("Traceback (most recent call last)") == 1
    assert shown.stdout.count('raise RuntimeError("this went wrong")') == 1
    one = orion_hpc("logs", config, "--trial", "1")
    assert "RuntimeError: this went wrong" in one.stderr


def test_a_scripts_output_is_its_trials(tmp_path: Path) -> None:
    text = CONFIG.replace("function: quick:main", 'command: [sh, -c, "echo this is {x}; echo {x}"]')
    config = project(tmp_path / "p", text.replace("max_trials: 8", "max_trials: 2"))
    assert orion_hpc("submit", config).returncode == 0
    shown = orion_hpc("logs", config, "--trial", "1")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(f"==> {config.parent}/db.pkl.files/quick-v1/trials/1/log.txt\n")
    assert shown.stdout.count("this is ") == 1


def test_following_ends_with_the_experiment(tmp_path: Path) -> None:
    """And shows what is written meanwhile."""
    config = project(tmp_path / "p", quick=LOUD)
    wait = config.parent / "wait"
    wait.touch()
    submit = [*COMMAND, "submit", str(config)]
    with subprocess.Popen(submit, cwd=config.parent, stderr=subprocess.DEVNULL) as running:
        try:
            logs = config.parent / "db.pkl.files/quick-v1/jobs"
            wait_until(
                lambda: any("loud" in path.read_text() for path in logs.glob("*/*.out")),
                60, "the first trial prints",
            )  # fmt: skip
            follow = [*COMMAND, "logs", str(config), "--follow"]
            with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as following:
                assert following.stdout is not None
                first = [following.stdout.readline() for _ in range(2)]
                wait.unlink()
                rest = following.stdout.read()
        finally:
            wait.unlink(missing_ok=True)
            running.wait(60)
    assert first[0].startswith("==> ")
    assert ("".join(first) + rest).count("loud and clear") == 8
    assert following.returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trial", "99"], "there is no trial '99'"),
        (["--worker", "12_3"], "there is no log of a worker or job '12_3'"),
        (["--trial", "0", "--failed"], "Give one of --trial, --worker and --failed."),
        (["--failed", "--follow"], "it can't be followed"),
        (["--name", "other"], "there is no experiment 'other'"),
        (["--lines", "-1"], "-1 is not in the range"),
    ],
)
def test_bad_input_is_told(tmp_path: Path, words: list[str], told: str) -> None:
    config = project(tmp_path / "p", CONFIG.replace("max_trials: 8", "max_trials: 1"))
    assert orion_hpc("submit", config).returncode == 0
    done = orion_hpc("logs", config, *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""
