"""One trial at a time from Python: suggest, observe, insert, reserve, release; in a file and in
memory."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import datetime, timedelta

import pytest

from orion_hpc.client import build_experiment, get_experiment
from orion_hpc.client.trial import Result
from orion_hpc.errors import (
    AlreadyReleased,
    BrokenExperiment,
    CompletedExperiment,
    ConfigurationError,
    DuplicateKeyError,
    InvalidParams,
    InvalidResult,
    ReservationLost,
    UnsupportedOperation,
    WaitingForTrials,
)

SPACE = {"x": "uniform(0, 10)", "model": {"kind": "choices(['a', 'b'])"}}


@pytest.fixture(params=["file", "memory"])
def storage(request, tmp_path):
    """Return what to give as ``storage``."""
    if request.param == "memory":
        return {"type": "legacy", "database": {"type": "EphemeralDB"}}
    return {"type": "legacy", "database": {"type": "pickleddb", "host": str(tmp_path / "db.pkl")}}


@pytest.fixture
def experiment(storage):
    """Return an experiment of five trials."""
    made = build_experiment("e", space=SPACE, max_trials=5, storage=storage)
    yield made
    for trial in made.fetch_trials_by_status("reserved"):
        if made._session.holds(trial._trial):
            made.release(trial)
    made.close()


def test_a_loop_of_suggest_and_observe_runs_to_the_end(experiment):
    """A number is an objective; the end is told by an error that says so."""
    for number in range(5):
        trial = experiment.suggest()
        assert (trial.number, trial.status, trial.attempt) == (number, "reserved", 1)
        assert trial.params["model"]["kind"] in "ab"
        experiment.observe(trial, trial.params["x"])
        assert trial.status == "completed"
        assert trial.objective == Result("objective", "objective", trial.params["x"])
    assert experiment.is_done
    with pytest.raises(CompletedExperiment, match="e-v1 is done"):
        experiment.suggest()


def test_a_number_may_have_another_name(experiment):
    """As in Oríon; a name that can't be recorded costs nothing."""
    trial = experiment.suggest()
    for name in ("\ud800", "", 3):
        with pytest.raises(InvalidResult):
            experiment.observe(trial, 0.1, name)
    experiment.observe(trial, 0.1, name="err")
    assert trial.objective == Result("err", "objective", 0.1)


def test_the_limit_of_trials_is_the_fourth_argument(experiment):
    """As in Oríon 0.2.7: ``workon(fct, n_workers, pool_size, max_trials)``."""
    with experiment.tmp_executor("single"):
        assert experiment.workon(lambda x, model: x, 1, 0, 2) == 2
        assert experiment.workon(lambda x, model: x, max_trials=3, reservation_timeout=5) == 1


def test_results_may_be_a_list_of_several(experiment):
    """Oríon's form."""
    trial = experiment.suggest()
    results = [
        {"name": "loss", "type": "objective", "value": 0.5},
        {"name": "limit", "type": "constraint", "value": 1},
        {"name": "slope", "type": "gradient", "value": [1.0, 2.0]},
        {"name": "size", "type": "statistic", "value": 7},
    ]
    experiment.observe(trial, results)
    found = experiment.get_trial(uid=trial.id)
    assert [one.to_dict() for one in found.results] == results
    assert found.objective.value == 0.5
    assert [one.name for one in found.constraints] == ["limit"]
    assert found.gradient.value == [1.0, 2.0]
    assert [one.value for one in found.statistics] == [7]


def test_a_trial_may_have_several_objectives(experiment):
    """All are there in order; the first is the one of Oríon's programs."""
    trial = experiment.suggest()
    experiment.observe(
        trial,
        [
            {"name": name, "type": "objective", "value": value}
            for name, value in (("b", 2), ("a", 1))
        ],
    )
    found = experiment.get_trial(uid=trial.id)
    assert found.objectives == [Result("b", "objective", 2.0), Result("a", "objective", 1.0)]
    assert found.objective == found.objectives[0]
    assert experiment.stats.best_evaluation == 2.0


@pytest.mark.parametrize("results", ["good", [], None, float("nan"), [{"value": 1}]])
def test_what_is_no_result_leaves_the_trial_reserved(experiment, results):
    """It can be observed again, rightly."""
    trial = experiment.suggest()
    with pytest.raises(InvalidResult):
        experiment.observe(trial, results)
    with pytest.raises(ValueError, match=r".+"):
        experiment.observe(trial, results)
    assert experiment.get_trial(trial).status == "reserved"
    experiment.observe(trial, 1)
    assert experiment.get_trial(trial).status == "completed"


def test_a_with_block_releases_what_it_leaves(experiment):
    """Observed: nothing happens. Left: interrupted. An error: broken, with the traceback."""
    with experiment.suggest() as trial:
        experiment.observe(trial, 1.0)
    assert trial.status == "completed"
    with experiment.suggest() as trial:
        pass
    assert (trial.status, trial.cause) == ("interrupted", "cancelled")
    with pytest.raises(KeyboardInterrupt), experiment.suggest() as trial:
        raise KeyboardInterrupt
    assert (trial.number, trial.attempt, trial.resumed) == (1, 2, True)
    assert trial.status == "interrupted"
    with pytest.raises(ZeroDivisionError), experiment.suggest() as trial:
        1 / 0  # noqa: B018
    assert (trial.status, trial.cause) == ("broken", "user error")
    assert trial.message.startswith("ZeroDivisionError: division by zero\nTraceback")
    assert experiment.get_trial(trial).message == trial.message
    assert not experiment._session.held


def test_what_is_interrupted_comes_first(experiment):
    """Before a fresh point; a suspended and an inserted one, too."""
    first = experiment.suggest()
    experiment.release(first, "suspended")
    inserted = experiment.insert({"x": 1, "model": {"kind": "b"}})
    assert inserted.status == "new"
    assert experiment.suggest() == first
    assert experiment.suggest() == inserted


def test_too_many_broken_trials_are_told(experiment):
    """The number counts for the experiment, whoever broke them."""
    for _ in range(3):
        experiment.release(experiment.suggest(), "broken")
    assert experiment.is_broken
    with pytest.raises(BrokenExperiment, match="3 trials are"):
        experiment.suggest()


def test_all_taken_is_no_end(experiment):
    """Somebody may release one; then it can be had."""
    taken = [experiment.suggest() for _ in range(5)]
    with pytest.raises(WaitingForTrials, match="5 of them"):
        experiment.suggest()
    experiment.release(taken[3])
    assert experiment.suggest() == taken[3]


def test_a_released_trial_is_not_ours_any_more(experiment):
    """Releasing or observing again is told as what it is."""
    trial = experiment.suggest()
    experiment.release(trial)
    with pytest.raises(AlreadyReleased, match="it is interrupted"):
        experiment.release(trial)
    with pytest.raises(RuntimeError):
        experiment.observe(trial, 1)
    with pytest.raises(ConfigurationError, match="'completed'"):
        experiment.release(experiment.suggest(), "completed")


def test_a_certain_trial_can_be_reserved(experiment):
    """Once; of a completed one it is said."""
    trial = experiment.insert({"x": 1, "model.kind": "a"})
    experiment.reserve(trial)
    assert (trial.status, trial.attempt) == ("reserved", 1)
    experiment.reserve(trial)  # it is ours already
    assert trial.attempt == 1
    experiment.observe(trial, 1)
    with pytest.raises(ReservationLost, match="completed"):
        experiment.reserve(trial)


def test_insert_takes_points_of_the_space_only(experiment):
    """Nothing half is inserted; ValueError, as in Oríon."""
    for params in ({"x": 11, "model": {"kind": "a"}}, {"x": 1}, {"x": 1, "y": 2}, [1]):
        with pytest.raises(InvalidParams):
            experiment.insert(params)
        with pytest.raises(ValueError, match=r".+"):
            experiment.insert(params)
    with pytest.raises(InvalidResult):
        experiment.insert({"x": 1, "model": {"kind": "a"}}, results="no")
    with pytest.raises(ValueError, match="can't be reserved"):
        experiment.insert({"x": 1, "model": {"kind": "a"}}, results=1, reserve=True)
    assert experiment.fetch_trials() == []


def test_insert_completes_reserves_or_leaves_it_to_any(experiment):
    """Its results, if any, count."""
    done = experiment.insert({"x": 1, "model": {"kind": "a"}}, results=0.5)
    assert (done.status, done.objective.value, done.attempt) == ("completed", 0.5, 1)
    ours = experiment.insert({"x": 2, "model": {"kind": "a"}}, reserve=True)
    experiment.observe(ours, 0.25)
    assert experiment.stats.best_evaluation == 0.25
    with pytest.raises(DuplicateKeyError, match="x"):
        experiment.insert({"x": 1, "model": {"kind": "a"}})


def test_insert_keeps_to_the_budget(experiment):
    """Exact limits hold for points of the user's own, too."""
    for number in range(5):
        experiment.insert({"x": number, "model": {"kind": "a"}})
    with pytest.raises(CompletedExperiment, match="max_trials is 5"):
        experiment.insert({"x": 7, "model": {"kind": "a"}}, results=1)
    assert len(experiment.fetch_trials()) == 5


def test_a_dimension_that_is_not_given_takes_its_default(storage):
    """As in Oríon's insert."""
    space = {"x": "uniform(0, 10, default_value=3)", "y": "randint(0, 9)"}
    experiment = build_experiment("d", space=space, storage=storage)
    assert experiment.insert({"y": 2}).params == {"x": 3.0, "y": 2}
    experiment.close()


def test_values_of_numpy_are_taken(storage):
    """A result of numpy.linspace is a number like any other."""
    numpy = pytest.importorskip("numpy")
    experiment = build_experiment("n", space={"x": "uniform(0, 10)"}, storage=storage)
    trial = experiment.insert({"x": numpy.float64(2.5)}, results=numpy.float32(1))
    assert (trial.params, trial.objective.value) == ({"x": 2.5}, 1.0)
    experiment.close()


def test_trials_are_found_by_status_and_id(experiment):
    """What Oríon's fetch methods give."""
    experiment.insert({"x": 1, "model": {"kind": "a"}}, results=1)
    experiment.insert({"x": 2, "model": {"kind": "a"}})
    running = experiment.suggest()  # number 1
    experiment.release(experiment.suggest(), "broken")
    experiment.release(experiment.suggest())

    def numbers(trials):
        return [trial.number for trial in trials]

    assert numbers(experiment.fetch_trials()) == [0, 1, 2, 3]
    assert numbers(experiment.fetch_trials_by_status("completed")) == [0]
    assert numbers(experiment.fetch_trials_by_status("reserved")) == [1]
    assert numbers(experiment.fetch_pending_trials()) == [3]
    assert numbers(experiment.fetch_noncompleted_trials()) == [1, 2, 3]
    assert experiment.get_trial(running) == running
    assert experiment.get_trial(uid=running.id) == running
    assert experiment.get_trial(uid="0" * 32) is None
    assert experiment.get_trial(running.id) == running
    with pytest.raises(ValueError, match="must be given"):
        experiment.get_trial()
    with pytest.raises(ValueError, match="not 0"):
        experiment.get_trial(running, uid="0")
    with pytest.raises(ConfigurationError, match="did you mean broken"):
        experiment.fetch_trials_by_status("brokn")


def test_a_trial_tells_what_orions_does(experiment):
    """Times are UTC without a zone; the hash leaves out the fidelity, of which there is none."""
    before = datetime.utcnow() - timedelta(seconds=1)
    trial = experiment.suggest()
    assert (trial.end_time, trial.objective, trial.results) == (None, None, [])
    experiment.observe(trial, 2)
    assert before < trial.submit_time <= trial.start_time <= trial.end_time
    assert trial.end_time < datetime.utcnow() + timedelta(seconds=1)
    assert trial.id == trial.hash_params
    assert trial.experiment == "e"
    assert trial.to_dict()["params"].keys() == {"x", "model.kind"}
    assert not trial.stop_requested
    assert trial.duration == trial.end_time - trial.start_time
    for call in (lambda: experiment.observe(5, 1), lambda: experiment.release(trial.id)):
        with pytest.raises(ConfigurationError, match="isn't a trial"):
            call()
    trial.params["x"] = "changed"
    assert trial.params["x"] != "changed"


def test_the_fidelity_does_not_count_for_hash_params(storage):
    """So trials of one point at several budgets are found together."""
    space = {"x": "uniform(0, 1)", "epochs": "fidelity(1, 10, 2)"}
    experiment = build_experiment("f", space=space, storage=storage)
    one = experiment.insert({"x": 0.5, "epochs": 1})
    two = experiment.insert({"x": 0.5, "epochs": 2})
    assert one.id != two.id
    assert one.hash_params == two.hash_params
    experiment.close()


def test_the_working_dir_is_made_for_the_trial_that_runs(experiment, tmp_path):
    """Looking at another one's makes nothing."""
    trial = experiment.insert({"x": 1, "model": {"kind": "a"}})
    assert trial.working_dir == f"{experiment.working_dir}/0"
    assert not (tmp_path / "db.pkl.files" / "e-v1" / "trials").exists()
    experiment.reserve(trial)
    with open(f"{trial.working_dir}/file", "w") as file:
        file.write("kept")
    experiment.release(trial)
    again = experiment.suggest()
    assert again.working_dir == trial.working_dir


def test_the_stats_and_the_configuration(experiment):
    """As Oríon's users print them."""
    stats = experiment.stats
    assert (stats.trials_completed, stats.best_trials_id, stats.finish_time) == (0, None, None)
    for value in (3, 1, 2):
        experiment.observe(experiment.suggest(), value)
    stats = experiment.stats
    best = experiment.get_trial(uid=stats.best_trials_id)
    assert (best.objective.value, stats.best_evaluation) == (1.0, 1.0)
    assert (stats.trials_completed, stats.nb_trials, stats.max_trials) == (3, 3, 5)
    assert stats.progress == 0.6
    assert stats.start_time <= stats.finish_time
    assert stats.elapsed_time == stats.duration
    configuration = experiment.configuration
    assert configuration["name"] == "e"
    assert configuration["space"]["x"] == "uniform(0, 10)"
    assert list(configuration["algorithm"]) == ["random"]
    assert (configuration["max_trials"], configuration["max_broken"]) == (5, 3)
    assert (experiment.name, experiment.version, experiment.id) == ("e", 1, "e-v1")
    assert str(experiment) == "Experiment(name=e, version=1)"


def test_the_space_is_a_mapping_of_dimensions(experiment):
    """With Oríon's words for them."""
    space = experiment.space
    assert list(space) == ["model.kind", "x"]
    x, kind = space["x"], space["model.kind"]
    assert (x.name, x.type, x.prior_name, x.interval()) == ("x", "real", "uniform", (0.0, 10.0))
    assert (x.shape, x.default_value) == ((), None)
    assert (kind.type, kind.interval()) == ("categorical", ("a", "b"))
    assert x.get_prior_string() == "uniform(0, 10)"
    assert 3.5 in x
    assert x.sample() in x
    experiment.insert(space.sample())
    assert 11 not in x


def test_close_refuses_while_trials_are_held(experiment):
    """They would be lost without a word."""
    trial = experiment.suggest()
    with pytest.raises(RuntimeError, match="trials 0 are still reserved"):
        experiment.close()
    experiment.release(trial)
    experiment.close()
    assert len(experiment.fetch_trials()) == 1, "it can be asked on"


def test_threads_of_one_client_get_each_trial_once(storage):
    """Ten threads, a hundred trials."""
    experiment = build_experiment("t", space=SPACE, max_trials=100, storage=storage)
    seen, errors = [], []

    def work():
        try:
            while True:
                trial = experiment.suggest()
                seen.append(trial.number)
                experiment.observe(trial, 1.0)
        except (CompletedExperiment, WaitingForTrials):
            pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(seen) == list(range(100))
    assert experiment.is_done
    experiment.close()


def test_a_fork_is_another_worker(tmp_path):
    """It holds nothing of its parent's, and both go on."""
    experiment = build_experiment("k", space=SPACE, max_trials=9, storage=tmp_path / "db.pkl")
    ours = experiment.suggest()
    results = multiprocessing.SimpleQueue()

    def child():
        try:
            experiment.observe(ours, 1)
        except ReservationLost as error:
            results.put(str(error))
        trial = experiment.suggest()
        experiment.observe(trial, 1)
        results.put(trial.number)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert "isn't reserved by this client" in results.get()
    assert results.get() == 1
    experiment.observe(ours, 2)
    assert [trial.status for trial in experiment.fetch_trials()] == ["completed"] * 2
    experiment.close()


def test_two_clients_of_one_process_are_two_workers(tmp_path):
    """Neither can end what the other holds."""
    storage = tmp_path / "db.pkl"
    one = build_experiment("e", space=SPACE, max_trials=5, storage=storage)
    two = build_experiment("e", storage=storage)
    trial = one.suggest()
    with pytest.raises(ReservationLost, match="isn't reserved by this client"):
        two.observe(two.get_trial(trial), 1)
    with pytest.raises(ReservationLost, match="is reserved by"):
        two.reserve(two.get_trial(trial))
    assert two.suggest().number == 1
    two.release(two.get_trial(uid=two.fetch_trials()[1].id))
    two.close()
    assert len(list((tmp_path / "db.pkl.files" / "e-v1" / "workers").iterdir())) == 1
    one.observe(trial, 1)
    one.close()
    assert list((tmp_path / "db.pkl.files" / "e-v1" / "workers").iterdir()) == []


def test_the_rights_of_the_modes(tmp_path):
    """To read, to write, to run."""
    path = tmp_path / "db.pkl"
    build_experiment("e", space=SPACE, storage=path).insert({"x": 1, "model.kind": "a"})
    reader = get_experiment("e", storage=path)
    assert len(reader.fetch_trials()) == 1
    for call in (
        reader.suggest,
        lambda: reader.insert({"x": 2, "model.kind": "a"}),
        lambda: reader.workon(print),
        lambda: reader.reserve(reader.fetch_trials()[0]),
        lambda: reader.release(reader.fetch_trials()[0]),
        lambda: reader.observe(reader.fetch_trials()[0], 1),
    ):
        with pytest.raises(UnsupportedOperation, match="mode 'r'"):
            call()
    writer = get_experiment("e", mode="w", storage=path)
    writer.insert({"x": 2, "model.kind": "a"}, results=1)
    with pytest.raises(UnsupportedOperation, match="mode 'w'"):
        writer.suggest()
    runner = get_experiment("e", mode="x", storage=path)
    runner.observe(runner.suggest(), 1)
    assert reader.stats.trials_completed == 2
    with pytest.raises(ConfigurationError, match="no mode 'z'"):
        get_experiment("e", mode="z", storage=path)


def test_to_pandas_gives_a_row_for_each(experiment):
    """In Oríon's columns."""
    pytest.importorskip("pandas")
    experiment.insert({"x": 1, "model": {"kind": "a"}}, results=0.5)
    experiment.insert({"x": 2, "model": {"kind": "a"}})
    table = experiment.to_pandas()
    assert list(table["objective"].fillna(-1)) == [0.5, -1]
    assert {"id", "status", "suggested", "reserved", "completed", "x", "model.kind"} <= set(table)


def test_what_an_experiment_is_called_takes_no_look_at_the_database(experiment, monkeypatch):
    """A loop may ask for its name and limits as often as it likes."""
    monkeypatch.setattr(experiment._session, "refresh", lambda: pytest.fail("it was read"))
    assert (experiment.name, experiment.version, experiment.id) == ("e", 1, "e-v1")
    assert (experiment.max_trials, experiment.max_broken) == (5, 3)
    assert repr(experiment) == "Experiment(name=e, version=1)"
    monkeypatch.undo()
