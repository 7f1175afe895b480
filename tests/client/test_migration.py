"""What a program written for Oríon 0.2.7 does, with one import changed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment, get_experiment
from orion_hpc.client.executor_choice import AsyncException, AsyncResult
from orion_hpc.errors import ConfigurationError, LazyWorkers, ReservationLost

SPACE = {"x": "uniform(0, 10)", "m": {"k": "choices(['a'])"}, "epochs": "fidelity(1, 9, 3)"}

TRIAL = (
    "id", "hash_name", "hash_params", "full_name", "params", "status", "experiment", "working_dir",
    "exp_working_dir", "results", "objective", "gradient", "constraints", "statistics",
    "submit_time", "start_time", "end_time", "heartbeat", "duration", "execution_interval",
    "worker", "parent",
)  # fmt: skip
"""The attributes of Oríon's trials that trials have here."""


@pytest.fixture
def experiment(tmp_path):
    """Return an experiment of four trials in a file."""
    made = build_experiment("e", space=SPACE, max_trials=4, storage=tmp_path / "db.pkl")
    yield made
    made.close()


@pytest.mark.parametrize("executor", ["single", "joblib"])
def test_the_trial_of_a_function_is_a_full_one(experiment, tmp_path, executor):
    """It has what the client's trial has, with the same values but for those of its end."""

    def function(x, m, epochs, trial):
        values = {name: getattr(trial, name) for name in TRIAL}
        for shown in (values, trial.to_dict(), trial.params_repr(ignore_fidelity=True)):
            with (tmp_path / "seen").open("a") as file:
                file.write(f"{shown!r}\n")
        return [{"name": "loss", "type": "objective", "value": x}]

    with experiment.tmp_executor(executor):
        experiment.workon(function, trial_arg="trial", max_trials_per_worker=1)
    import datetime

    values, mapping, line = (
        eval(one, {"datetime": datetime}) for one in (tmp_path / "seen").read_text().splitlines()
    )
    (trial,) = experiment.fetch_trials()
    running = {"status": "reserved", "results": [], "objective": None, "end_time": None}
    running |= {"heartbeat": trial.start_time, "duration": timedelta()}
    running["execution_interval"] = (trial.start_time, trial.start_time)
    assert values == {name: getattr(trial, name) for name in TRIAL} | running
    wanted = {name: value for name, value in trial.to_dict().items() if name not in running}
    assert {name: value for name, value in mapping.items() if name not in running} == wanted
    assert line == f"m.k:a,x:{trial.params['x']}"
    assert trial.full_name == f"epochs:9-m.k:a-x:{trial.params['x']}"
    assert trial.exp_working_dir == experiment.working_dir


def test_trials_of_one_point_share_a_checkpoint(experiment):
    """The folder that ``exp_working_dir`` names is there, also before any trial has used its
    own; ``hash_params`` is the same at each budget."""

    def function(x, m, epochs, trial):
        checkpoint = Path(trial.exp_working_dir, trial.hash_params)
        seen = checkpoint.read_text() if checkpoint.exists() else ""
        checkpoint.write_text(f"{seen}{epochs} ")
        return len(seen.split())

    for epochs in (1, 3, 9):
        experiment.insert({"x": 0.5, "m": {"k": "a"}, "epochs": epochs})
    with experiment.tmp_executor("single"):
        experiment.workon(function, trial_arg="trial", max_trials=3)
    trials = experiment.fetch_trials_by_status("completed")
    assert [trial.objective.value for trial in trials] == [0, 1, 2]
    assert Path(experiment.working_dir, trials[0].hash_params).read_text() == "1 3 9 "


def test_what_a_trial_gives_is_the_callers_own(experiment):
    """A list that is changed doesn't change the trial."""
    space = {"x": "uniform(0, 1, shape=2)"}
    made = build_experiment("shape", space=space, storage=experiment.storage)
    trial = made.insert({"x": [0.25, 0.5]})
    trial.params["x"].clear()
    trial.to_dict()["params"]["x"].clear()
    assert trial.params == {"x": [0.25, 0.5]}
    made.close()


def square(x, m, epochs):
    return x**2


@pytest.mark.parametrize("executor", ["single", "joblib"])
def test_a_suggestion_that_was_only_looked_at_runs_at_last(experiment, executor):
    """``workon`` of the thread that holds it completes all trials, and doesn't wait."""
    looked = experiment.suggest()
    with experiment.tmp_executor(executor):
        assert experiment.workon(square, idle_timeout=0) == 4
    assert experiment.is_done
    trials = experiment.fetch_trials_by_status("completed")
    assert [(trial.number, trial.attempt) for trial in trials] == [(0, 2), (1, 1), (2, 1), (3, 1)]
    with pytest.raises(ReservationLost):
        experiment.observe(looked, 1)
    experiment.close()


def test_a_run_of_its_own_limit_takes_what_was_looked_at(experiment):
    """It counts as one of the limit, and is no trial too many."""
    experiment.suggest()
    with experiment.tmp_executor("single"):
        assert experiment.workon(square, max_trials=2, idle_timeout=0) == 2
    assert [trial.status for trial in experiment.fetch_trials()] == ["completed"] * 2


def test_what_another_thread_holds_is_left_to_it(experiment):
    """It may be running there: its result counts."""
    held = []
    thread = threading.Thread(target=lambda: held.append(experiment.suggest()))
    thread.start()
    thread.join()
    with experiment.tmp_executor("single"), pytest.raises(LazyWorkers):
        experiment.workon(square, idle_timeout=0)
    experiment.observe(held[0], 7)
    assert experiment.is_done
    assert [trial.attempt for trial in experiment.fetch_trials()] == [1, 1, 1, 1]


def test_the_stats_have_orions_names(experiment):
    """With the values of Oríon 0.2.7 for the same trials; and JSON takes them."""
    assert experiment.stats.trial_status_count == {}
    assert experiment.stats.eta_milliseconds is None
    assert experiment.stats.to_json()["eta"] == "infinite"
    experiment.observe(experiment.suggest(), 3)
    experiment.release(experiment.suggest(), "broken")
    running = experiment.suggest()
    stats = experiment.stats
    experiment.release(running)
    assert stats.trial_status_count == {"reserved": 1, "completed": 1, "broken": 1}
    assert stats.progress == 1 / (4 - 1)
    assert stats.eta_milliseconds == pytest.approx(stats.eta.total_seconds() * 1000)
    told = json.loads(json.dumps(stats.to_json()))
    assert list(told) == [
        "trials_completed", "best_trials_id", "best_evaluation", "start_time", "finish_time",
        "max_trials", "nb_trials", "progress", "trial_status_count", "elapsed_time",
        "sum_of_trials_time", "eta", "eta_milliseconds",
    ]  # fmt: skip
    assert (told["max_trials"], told["nb_trials"], told["best_evaluation"]) == (4, 3, 3.0)
    for name in ("start_time", "finish_time", "elapsed_time", "sum_of_trials_time", "eta"):
        assert told[name] == str(getattr(stats, name))


def test_the_progress_stays_within_its_bounds(tmp_path):
    """Also where more trials broke than are to be completed."""
    made = build_experiment(
        "e", space=SPACE, max_trials=2, max_broken=9, storage=tmp_path / "db.pkl"
    )
    for done in (0, 1):
        assert made.stats.progress == done
        for _ in range(2):
            made.release(made.suggest(), "broken")
        made.observe(made.suggest(), 1)
    assert made.stats.progress == 1
    made.close()


def test_the_space_draws_trials(experiment):
    """As many as are asked for, the same for one seed; each is a point of the space."""
    space = experiment.space
    trials = space.sample(3, seed=1)
    assert [trial.params for trial in space.sample(n_samples=3, seed=1)] == [
        trial.params for trial in trials
    ]
    assert len({trial.params["x"] for trial in trials}) == 3
    assert [trial.status for trial in trials] == ["new"] * 3
    assert all(trial in space for trial in trials)
    assert space.sample(0) == []
    assert len(space.sample(2)) == len(space.sample(seed=1)) + 1 == 2
    assert [name in space for name in ("x", "m.k", "m")] == [True, True, False]
    assert experiment.insert(trials[0].params) in space
    with pytest.raises(ConfigurationError, match="n_samples"):
        space.sample(-1)


def test_a_trial_of_another_space_is_not_in_it(experiment, tmp_path):
    """``assert_contains`` says why."""
    other = build_experiment("o", space={"x": "uniform(20, 30)"}, storage=tmp_path / "db.pkl")
    (trial,) = other.space.sample(1)
    assert trial not in experiment.space
    with pytest.raises(ValueError, match="epochs is missing"):
        experiment.space.assert_contains(trial)
    experiment.space.assert_contains(experiment.space.sample(1)[0])
    other.close()


def test_a_dimension_has_orions_names(experiment):
    """Those that programs read."""
    assert experiment.space["m.k"].categories == ("a",)
    assert experiment.space["x"].get_string() == "x~uniform(0, 10)"


def test_errors_are_of_the_kinds_that_programs_catch(experiment):
    """A wrong status is a ValueError and changes nothing; a known point a RuntimeError."""
    trial = experiment.suggest()
    with pytest.raises(ValueError, match="'bad'"):
        experiment.release(trial, "bad")
    assert trial.status == "reserved"
    experiment.observe(trial, 1)
    with pytest.raises(RuntimeError, match="there is a trial with these"):
        experiment.insert(trial.params)


FINITE = {
    "random": ({"x": "choices([1, 2, 3])"}, "random", 3),
    "gridsearch": ({"x": "uniform(0, 1)"}, {"gridsearch": {"n_values": 5}}, 5),
    "qmc": ({"x": "randint(0, 4)"}, "qmc", 4),
    "tpe": ({"x": "randint(0, 4)"}, "tpe", 4),
    "hyperband": (
        {"x": "uniform(0, 1)", "epochs": "fidelity(1, 4, 2)"},
        {"hyperband": {"seed": 1, "repetitions": 1}},
        None,
    ),
}


@pytest.mark.parametrize("kind", FINITE)
def test_a_loop_ends_with_the_last_point(tmp_path, kind):
    """No suggestion is asked for that there can't be, and other readers see the end, too."""
    space, algorithm, wanted = FINITE[kind]
    made = build_experiment("e", space=space, algorithm=algorithm, storage=tmp_path / "db.pkl")
    while not made.is_done:
        made.observe(made.suggest(), 1)
    assert wanted in (None, made.stats.trials_completed)
    assert get_experiment("e", storage=tmp_path / "db.pkl").is_done
    made.close()


def test_asking_for_the_end_changes_nothing_before_it(tmp_path):
    """Neither while a trial is held, nor after one that will run again."""
    made = build_experiment("e", space={"x": "choices([1])"}, storage=tmp_path / "db.pkl")
    assert not made.is_done
    trial = made.suggest()
    assert not made.is_done
    made.release(trial)
    assert not made.is_done
    made.observe(made.suggest(), 1)
    assert made.is_done
    made.close()


LOOP = """
import sys, time
from orion_hpc.client import build_experiment
from orion_hpc.errors import CompletedExperiment, ReservationRaceCondition, WaitingForTrials
experiment = build_experiment("e", space={"x": "randint(0, 9)"}, storage=sys.argv[1])
while not experiment.is_done:
    try:
        with experiment.suggest() as trial:
            time.sleep(0.05)
            experiment.observe(trial, 1)
    except (CompletedExperiment, ReservationRaceCondition, WaitingForTrials):
        time.sleep(0.1)
"""


def test_the_loop_of_several_programs_ends_in_each(tmp_path):
    """The one of the README: with every point, and no error in any of them."""
    command = [sys.executable, "-c", LOOP, tmp_path / "db.pkl"]
    programs = [subprocess.Popen(command) for _ in range(4)]
    assert [program.wait(timeout=120) for program in programs] == [0, 0, 0, 0]
    found = get_experiment("e", storage=tmp_path / "db.pkl").fetch_trials()
    assert sorted(trial.params["x"] for trial in found) == list(range(9))
    assert [trial.attempt for trial in found] == [1] * 9


@pytest.mark.parametrize("name", ["singleexecutor", "joblib", "poolexecutor"])
def test_the_executor_of_a_client_runs_any_function(experiment, name):
    """By Oríon's methods, beside the trials and after them."""
    options = {} if name == "singleexecutor" else {"n_workers": 2}
    with experiment.tmp_executor(name, **options), experiment.executor as executor:
        futures = [executor.submit(lambda one, two=0: one + two, one, two=10) for one in range(3)]
        assert experiment.workon(square, n_workers=1) == 4
        assert executor.wait(futures) == [10, 11, 12]
        wrong = executor.submit(int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            executor.wait([wrong])
        futures, ended = [executor.submit(int, "11", base=2), executor.submit(int, "y")], []
        while futures:
            ended += executor.async_get(futures, timeout=60)
        (three,) = [one for one in ended if isinstance(one, AsyncResult)]
        (failed,) = [one for one in ended if isinstance(one, AsyncException)]
        assert three.value == 3
        with pytest.raises(ValueError, match="invalid literal"):
            failed.value  # noqa: B018


def test_what_has_not_ended_stays_in_the_list(experiment):
    """After the time that it may wait."""
    with experiment.tmp_executor("poolexecutor", n_workers=1, backend="thread"):
        go = threading.Event()
        futures = [experiment.executor.submit(go.wait)]
        assert experiment.executor.async_get(futures, timeout=0) == []
        assert len(futures) == 1
        go.set()
        assert experiment.executor.wait(futures) == [True]


def test_the_choice_of_an_executor_is_no_executor(experiment):
    """It is refused where trials would run in it."""
    with pytest.raises(ConfigurationError, match="isn't an executor"):
        build_experiment("o", space=SPACE, debug=True, executor=experiment.executor)


def test_more_trials_of_a_done_experiment_are_answered(tmp_path, caplog):
    """Its own limit holds; who wants more learns how."""
    experiment = build_experiment(
        "e", space={"x": "uniform(0, 1)"}, max_trials=2, storage=str(tmp_path / "db.pkl")
    )
    assert experiment.workon(lambda x: x) == 2
    assert experiment.workon(lambda x: x, max_trials=25) == 0
    (record,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert record.getMessage() == (
        "e-v1 is done: its max_trials is 2. For more, build it with max_trials=25"
    )
    caplog.clear()
    assert experiment.workon(lambda x: x) == 0
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
