"""``orion-hpc insert``, and ``warm_start``: what a user knows already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment
from orion_hpc.errors import ConfigurationError
from orion_hpc.journal.pickleddb import PickledDB
from tests.rigs.command import orion_hpc, status_of

pytestmark = pytest.mark.usefixtures("no_slurm")

CONFIG = """\
name: {name}
function: quick:main
space:
  lr: loguniform(1e-4, 1)
  kind: choices(['a', 'b', None])
  size: randint(1, 9, shape=2, default_value=[1, 2])
algorithm: {algorithm}
max_trials: {max_trials}
worker: {{executor: single}}
{more}
"""


def project(folder: Path, name: str = "e", max_trials: int = 5, more: str = "") -> Path:
    """Write a configuration; return its path."""
    (folder / "quick.py").write_text("def main(lr, kind, size):\n    return lr + sum(size)\n")
    config = folder / f"{name}.yaml"
    algorithm = "{tpe: {seed: 1, n_initial_points: 3}}"
    config.write_text(
        CONFIG.format(name=name, max_trials=max_trials, more=more, algorithm=algorithm)
    )
    return config


def experiment(folder: Path, number: int = 1):
    """Return an experiment of the database."""
    return PickledDB(str(folder / "db.pkl")).refresh().experiments[number]


def test_inserted_points_are_tried_first(tmp_path):
    """Before anything was submitted; defaults fill gaps; the same point isn't there twice."""
    config = project(tmp_path)
    done = orion_hpc("insert", config, "lr=0.1", "kind=None")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Inserted 1 trial into e v1: number 0.",
        f"Next: orion-hpc submit {config}",
    ]
    again = orion_hpc("insert", config, "lr=0.1", "kind=None", "size=[1, 2]")
    assert "Inserted 0 trials into e v1.\nThere before: 1 trial.\n" in again.stdout
    (tmp_path / "points.csv").write_text('lr,kind,size\n0.2,a,"[3, 4]"\n0.3,b,\n')
    (tmp_path / "points.json").write_text(json.dumps({"lr": 0.4, "kind": None, "size": [5, 6]}))
    for name in ("points.csv", "points.json"):
        assert orion_hpc("insert", config, "--from", tmp_path / name).returncode == 0
    assert orion_hpc("submit", config).returncode == 0
    trials = experiment(tmp_path).trials
    assert [trial.params for trial in trials[:4]] == [
        {"kind": None, "lr": 0.1, "size": [1, 2]},
        {"kind": "a", "lr": 0.2, "size": [3, 4]},
        {"kind": "b", "lr": 0.3, "size": [1, 2]},
        {"kind": None, "lr": 0.4, "size": [5, 6]},
    ]
    assert [trial.status for trial in trials] == ["completed"] * 5
    assert [trial.number for trial in sorted(trials, key=lambda one: one.start_time)] == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lr=5", "kind=a"], "lr can't be 5"),
        (["lr=0.1"], "kind is missing"),
        (["lr=0.1", "kind=a", "sise=[1, 2]"], "there is no dimension 'sise' (did you mean size?)"),
        (["lr=0.1", "kind"], "'kind' isn't of the form NAME=VALUE"),
        (["lr=0.1", "lr=0.2"], "lr is given twice"),
        (["--from", "no.csv"], "can't read no.csv: No such file"),
        (["--from", "bad.json"], "bad.json isn't readable"),
        (["--from", "bad.csv"], "bad.csv, point 2: lr can't be 7"),
        (["--from", "wide.csv"], "a line has more cells than the header"),
        (
            ["--from", "worse.csv"],
            "2 of 3 points are wrong:\n  worse.csv, point 1: lr can't be 7\n",
        ),
        (["--from", "odd.csv"], "odd.csv: there is no dimension 'lrr' (did you mean lr?)"),
        (["--from", "empty.csv"], "empty.csv contains no point"),
        (["--from", "many.csv"], "1,001 points are too many for one transaction"),
        ([], "Give either NAME=VALUE"),
    ],
)
def test_bad_points_leave_nothing(tmp_path, words, told):
    """One clear sentence, exit code 2, and no database."""
    config = project(tmp_path)
    (tmp_path / "bad.json").write_text("[{]")
    (tmp_path / "bad.csv").write_text("lr,kind\n0.1,a\n7,a\n")
    (tmp_path / "wide.csv").write_text("lr,kind\n0.1,a,3\n")
    (tmp_path / "worse.csv").write_text("lr,kind\n7,a\n0.1,a\n8,a\n")
    (tmp_path / "odd.csv").write_text("lrr,kind\n0.1,a\n")
    (tmp_path / "empty.csv").write_text("lr,kind\n")
    many = "".join(f"{number / 9999},a\n" for number in range(1, 1002))
    (tmp_path / "many.csv").write_text(f"lr,kind\n{many}")
    done = orion_hpc("insert", config, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "db.pkl").exists()


def test_more_points_than_the_budget_has_room_for(tmp_path):
    """None is inserted; with a larger budget all are."""
    config = project(tmp_path, max_trials=1)
    (tmp_path / "points.csv").write_text("lr,kind\n0.1,a\n0.2,a\n")
    words = ["insert", config, "--from", tmp_path / "points.csv"]
    done = orion_hpc(*words)
    assert done.returncode != 0
    assert "has room for 1 further trials, not for 2: max_trials is 1" in done.stderr
    assert experiment(tmp_path).trials == []
    assert orion_hpc(*words, "--max-trials", "2").returncode == 0
    assert len(experiment(tmp_path).trials) == 2


def test_the_budget_of_a_submitted_experiment_stays(tmp_path):
    """The file's own ``max_trials`` doesn't take back what a submission gave."""
    config = project(tmp_path, max_trials=1)
    assert orion_hpc("submit", config, "--max-trials", "2").returncode == 0
    done = orion_hpc("insert", config, "lr=0.1", "kind=a", "--max-trials", "3")
    assert done.stdout.splitlines()[-1].endswith(" --max-trials 3")
    assert done.stderr == "e v1: max_trials: 2 -> 3\n"
    assert orion_hpc("insert", config, "lr=0.1", "kind=a").returncode == 0
    assert experiment(tmp_path).max_trials == 3


def test_a_stopped_experiment_takes_points_and_stays_stopped(tmp_path):
    """They are tried first when it goes on; nobody sees it open before."""
    config = project(tmp_path, max_trials=3)
    assert orion_hpc("insert", config, "lr=0.1", "kind=a").returncode == 0
    assert orion_hpc("cancel", config).returncode == 0
    done = orion_hpc("insert", config, "lr=0.2", "kind=a")
    assert done.stdout == (
        f"Inserted 1 trial into e v1: number 1.\nNext: orion-hpc resume {config}\n"
    )
    state = experiment(tmp_path)
    assert (state.stopped, state.count("new")) == ("cancelled", 2)
    assert orion_hpc("resume", config).returncode == 0
    assert experiment(tmp_path).count("completed") == 3


def test_an_experiment_that_takes_no_trial_says_why(tmp_path):
    """Of an exhausted space and of broken trials, and not that ``max_trials`` is too small."""
    config = project(tmp_path)
    grid = "{gridsearch: {n_values: 1}}"
    config.write_text(config.read_text().replace(
        "  size: randint(1, 9, shape=2, default_value=[1, 2])\n", "").replace(
        "{tpe: {seed: 1, n_initial_points: 3}}", grid))  # fmt: skip
    (tmp_path / "quick.py").write_text("def main(lr, kind):\n    return lr\n")
    assert orion_hpc("submit", config).returncode == 0
    done = orion_hpc("insert", config, "lr=0.2", "kind=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert "e-v1 accepts no further trial: the algorithm has no further point" in done.stderr
    (tmp_path / "quick.py").write_text("def main(lr, kind):\n    raise ValueError\n")
    words = [config, "--version", "2"]
    assert orion_hpc("submit", *words, "--max-broken", "1").returncode == 1
    done = orion_hpc("insert", *words, "lr=0.2", "kind=a")
    assert (done.returncode, done.stdout) == (1, "")
    assert "e-v2 is closed by 1 broken trials (max_broken is 1)" in done.stderr


def test_another_experiments_trials_are_history(tmp_path):
    """They are in the journal once, aren't counted, and make the model begin at once."""
    first = project(tmp_path, "first", 6)
    assert orion_hpc("submit", first).returncode == 0
    second = project(tmp_path, "second", 4, "warm_start: first")
    done = orion_hpc("submit", second)
    assert done.returncode == 0, done.stderr
    state = experiment(tmp_path, 2)
    path = tmp_path / "db.pkl"
    assert state.sources == {f"first-v1 in {path}": (1, 6)}
    assert [trial.params for trial in state.learned] == [
        trial.params for trial in experiment(tmp_path).trials
    ]
    assert (len(state.trials), state.count("completed")) == (4, 4)
    cold = project(tmp_path, "cold", 4)
    assert orion_hpc("submit", cold).returncode == 0
    assert experiment(tmp_path, 3).trials[0].params != state.trials[0].params, "no random start"
    assert orion_hpc("submit", second, "--max-trials", "5").returncode == 0
    assert experiment(tmp_path, 2).sources == state.sources, "nothing is learned twice"
    assert status_of(second)["learned"] == {f"first-v1 in {path}": 6}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("warm_start: frist", "warm_start names the experiment 'frist', which isn't in"),
        ("warm_start: {name: first, version: 2}", "'first' version 2, which isn't in"),
        ("warm_start: {name: first, storage: ./no.pkl}", "no.pkl, which doesn't exist"),
        ("warm_start: {storage: ./db.pkl}", "its name is missing"),
        ("warm_start: {name: first, verson: 1}", "no key 'verson' in it (did you mean version?)"),
        ("warm_start: {name: first, version: 0}", "its version must be a whole number"),
        ("warm_start: 3.5", "warm_start is 3.5; expected the name of an experiment"),
    ],
)
def test_a_source_that_is_not_there(tmp_path, line, told):
    """Is told before anything is written or started."""
    first = project(tmp_path, "first", 1)
    assert orion_hpc("submit", first).returncode == 0
    done = orion_hpc("submit", project(tmp_path, "second", 2, line))
    assert done.returncode == 2
    assert told in done.stderr
    assert len(PickledDB(str(tmp_path / "db.pkl")).refresh().experiments) == 1


def test_from_python(tmp_path):
    """What isn't in the new space is left out, other dimensions are refused."""
    old = build_experiment("old", space={"x": "uniform(0, 10)"}, storage=tmp_path / "a.pkl")
    for x in (1.0, 5.0, 9.0):
        old.insert({"x": x}, results=x)
    options = {"storage": tmp_path / "b.pkl",
               "warm_start": {"name": "old", "storage": str(tmp_path / "a.pkl")}}  # fmt: skip
    build_experiment("new", space={"x": "uniform(0, 6)"}, **options)
    state = PickledDB(str(tmp_path / "b.pkl")).refresh().experiments[1]
    assert [trial.objective for trial in state.learned] == [1.0, 5.0]
    with pytest.raises(ConfigurationError, match="old-v1, which has other dimensions: x"):
        build_experiment("third", space={"y": "uniform(0, 6)"}, **options)
    options["warm_start"] = "new"
    with pytest.raises(ConfigurationError, match="which is this experiment itself"):
        build_experiment("new", space={"x": "uniform(0, 6)"}, **options)
