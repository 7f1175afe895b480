"""Building and opening experiments from Python: what is taken from where, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment, create_experiment, get_experiment, workon
from orion_hpc.errors import (
    ConfigurationError,
    ExperimentConflict,
    NoConfigurationError,
)
from tests.rigs.command import CONFIG, orion_hpc, project

SPACE = {"x": "uniform(0, 1)"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ORION_HPC_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "storage",
    [
        "some/db.pkl",
        {"type": "pickleddb", "host": "some/db.pkl"},
        {"type": "legacy", "database": {"type": "PickledDB", "host": "some/db.pkl"}},
    ],
)
def test_the_forms_of_a_storage(storage, tmp_path):
    """A path, and Oríon's mappings, relative to the working directory."""
    experiment = build_experiment("e", space=SPACE, storage=storage)
    assert experiment.storage == str(tmp_path / "some" / "db.pkl")
    assert os.path.exists(experiment.storage)


@pytest.mark.parametrize(
    "given",
    [
        {"debug": True},
        {"storage": {"type": "ephemeraldb"}},
        {"storage": {"type": "legacy", "database": {"type": "EphemeralDB"}}},
        {"storage": "db.pkl", "debug": True},
    ],
)
def test_a_storage_in_memory_writes_no_file(given, tmp_path):
    """And each is its own."""
    one = build_experiment("e", space=SPACE, **given)
    two = build_experiment("e", space=SPACE, **given)
    one.insert({"x": 0.5})
    assert (len(one.fetch_trials()), len(two.fetch_trials())) == (1, 0)
    assert os.listdir(tmp_path) == []
    assert one.storage == "ephemeraldb"


def test_what_is_not_given_is_as_recorded():
    """The name is enough for an experiment that is there; limits may be changed."""
    build_experiment("e", space=SPACE, algorithm={"random": {"seed": 7}}, max_trials=4)
    again = create_experiment("e")
    assert (again.max_trials, again.max_broken) == (4, 3)
    assert again.configuration["algorithm"] == {"random": {"seed": 7}}
    more = build_experiment("e", space=SPACE, max_trials=6, max_broken=5)
    assert (more.max_trials, more.max_broken) == (6, 5)
    assert not again.is_done
    assert (again.max_trials, again.max_broken) == (6, 5), "whoever looks sees it"
    assert get_experiment("e").max_trials == 6


def test_another_search_is_refused_with_what_differs():
    """Nothing is changed; another version is another experiment."""
    build_experiment("e", space=SPACE, algorithm="random")
    with pytest.raises(ExperimentConflict, match=r"space.x is uniform\(0, 1\) in the database"):
        build_experiment("e", space={"x": "uniform(0, 2)"})
    with pytest.raises(ExperimentConflict, match="algorithm is"):
        build_experiment("e", algorithm="gridsearch")
    second = build_experiment("e", version=2, space={"x": "uniform(0, 2)"})
    assert second.version == 2
    assert get_experiment("e").version == 2
    assert get_experiment("e", version=1).space["x"].interval() == (0.0, 1.0)


def test_a_version_that_is_not_there_yet_is_the_newest(caplog):
    """As in Oríon, with a warning; one between others isn't there."""
    for version in (1, 3):
        build_experiment("e", version=version, space={"x": f"uniform(0, {version})"})
    found = get_experiment("e", version=5)
    assert (found.version, found.space["x"].interval()) == (3, (0.0, 3.0))
    assert "e has no version 5; its newest one, 3, is taken" in caplog.text
    with pytest.raises(NoConfigurationError, match="version 2"):
        get_experiment("e", version=2)


def test_what_is_missing_is_told_with_what_there_is():
    """A space, a database, a name."""
    with pytest.raises(NoConfigurationError, match="no space is given"):
        build_experiment("e")
    assert os.listdir() == [], "nothing was made"
    with pytest.raises(NoConfigurationError, match="no experiment 'e': there is no database"):
        get_experiment("e")
    assert os.listdir() == [], "nothing was made"
    build_experiment("svm", space=SPACE)
    with pytest.raises(NoConfigurationError, match="did you mean svm") as caught:
        get_experiment("svn")
    assert caught.value.hint == "There are: svm."
    with pytest.raises(NoConfigurationError, match="in memory"):
        get_experiment("svm", storage={"type": "ephemeraldb"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"space": {"x": "unifrm(0, 1)"}}, "did you mean uniform"),
        ({"algorithm": "randm"}, "did you mean random"),
        ({"algorithm": {"random": {"sed": 1}}}, "no option 'sed'"),
        ({"max_trials": 0}, "max_trials"),
        ({"max_trials": "many"}, "max_trials"),
        ({"storage": {"type": "mongodb"}}, "unknown storage 'mongodb'"),
        ({"storage": {"type": "pickledb"}}, "did you mean pickleddb"),
        ({"heartbeat": -1}, "heartbeat"),
        ({"executor": "jobli"}, "did you mean joblib"),
        ({"executor": {"n_workers": 2}}, "has no name"),
        ({"executor": 7}, "isn't an executor"),
        ({"algorithm": "random", "algorithms": "random"}, "mean the same"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(given, told):
    """One clear sentence, before anything is there."""
    with pytest.raises(ConfigurationError, match=told):
        build_experiment(**{"name": "e", "space": SPACE, **given})
    if "executor" not in given:
        assert os.listdir() == []


def test_a_bad_name_is_told():
    """It has a line break."""
    with pytest.raises(ConfigurationError, match="name"):
        build_experiment("a\ne", space=SPACE)


@pytest.mark.parametrize("name", ["../e", "a b", "lr=0.1", "-x"])
def test_a_name_may_have_any_characters(name, tmp_path):
    """As in Oríon; all files are beside the database."""
    experiment = build_experiment(name, space=SPACE, max_trials=1, storage=tmp_path / "db.pkl")
    experiment.workon(lambda x: x)
    assert (experiment.name, experiment.is_done) == (name, True)
    (trial,) = experiment.fetch_trials()
    assert Path(trial.working_dir).parent.parent.parent == tmp_path / "db.pkl.files"
    assert get_experiment(name, storage=tmp_path / "db.pkl").is_done
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"db"}


def test_the_environment_gives_what_the_call_does_not(monkeypatch, tmp_path):
    """As for the commands."""
    monkeypatch.setenv("ORION_HPC_STORAGE", "other.pkl")
    monkeypatch.setenv("ORION_HPC_WORKER__EXECUTOR", "single")
    monkeypatch.setenv("ORION_HPC_WORKER__HEARTBEAT", "7")
    experiment = build_experiment("e", space=SPACE)
    assert experiment.storage == str(tmp_path / "other.pkl")
    assert experiment.executor.name == "single"
    assert experiment.heartbeat == 7
    assert build_experiment("e", heartbeat=8).heartbeat == 8


def test_an_experiment_of_the_command_line_goes_on_from_python(tmp_path):
    """Its trials count, and its function isn't asked for."""
    config = project(tmp_path / "p")
    assert orion_hpc("submit", "--executor", "debug", config).returncode == 0
    experiment = build_experiment("quick", storage=tmp_path / "p" / "db.pkl", max_trials=10)
    assert experiment.stats.trials_completed == 8
    with experiment.tmp_executor("single"):
        assert experiment.workon(lambda x: x) == 2
    assert experiment.is_done


def test_the_command_line_shows_an_experiment_of_python(tmp_path):
    """And says of one that it can't run what it needs."""
    experiment = build_experiment("e", space=SPACE, max_trials=2, storage="db.pkl")
    with experiment.tmp_executor("single"):
        experiment.workon(lambda x: x)
    shown = orion_hpc("status", "--storage", tmp_path / "db.pkl")
    assert shown.returncode == 0
    assert "2/2" in shown.stdout
    exported = orion_hpc("db", "export", tmp_path / "db.pkl", "--format", "csv")
    assert len(exported.stdout.splitlines()) == 3
    worker = orion_hpc("worker", "--storage", tmp_path / "db.pkl", "--name", "e", "--wait", "0")
    assert worker.returncode == 2
    assert "Traceback" not in worker.stderr
    assert "nothing says what its trials run" in worker.stderr


def test_the_command_line_takes_an_experiment_of_python_over(tmp_path):
    """With the same space it goes on from there."""
    config = project(tmp_path / "p", CONFIG)
    experiment = build_experiment(
        "quick", space=SPACE, algorithm={"random": {"seed": 1}}, max_trials=8,
        storage=tmp_path / "p" / "db.pkl",
    )  # fmt: skip
    experiment.observe(experiment.suggest(), 1.0)
    experiment.close()
    done = orion_hpc("submit", "--executor", "debug", config)
    assert done.returncode == 0, done.stderr
    assert [trial.status for trial in experiment.fetch_trials()] == ["completed"] * 8
    assert experiment.fetch_trials()[0].objective.value == 1.0


def test_workon_in_memory_returns_the_experiment(tmp_path):
    """Oríon's shortest way."""
    experiment = workon(lambda x, y=1: x + y, SPACE, name="short", max_trials=7, y=2)
    assert (experiment.name, experiment.is_done) == ("short", True)
    assert len(experiment.fetch_trials()) == 7
    assert all(
        trial.objective.value == trial.params["x"] + 2 for trial in experiment.fetch_trials()
    )
    assert os.listdir(tmp_path) == []
    assert len(workon(lambda k: k, {"k": "choices([1, 2, 3])"}).fetch_trials()) == 3
    with pytest.raises(ConfigurationError, match="would never end"):
        workon(lambda x: x, SPACE)


def test_an_imported_experiment_is_read_from_python(tmp_path):
    """One whose algorithm isn't here, too; and one of a learning algorithm goes on."""
    old = Path(__file__).parents[1] / "assets" / "orion-0.2.7.pkl"
    assert orion_hpc("db", "import", old, "--storage", "db.pkl", cwd=tmp_path).returncode == 0
    experiment = get_experiment("nested", storage="db.pkl")
    assert experiment.stats.trials_completed == 12
    assert experiment.fetch_trials()[0].params["optimizer"].keys() == {"lr", "momentum"}
    assert build_experiment("nested", storage="db.pkl").algorithm is not None
