"""Many trials from Python: each executor, what errors do, how much is run, how it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from orion_hpc.client import build_experiment, get_experiment
from orion_hpc.errors import (
    BrokenExperiment,
    ConfigurationError,
    InvalidResult,
    LazyWorkers,
    StorageError,
)
from orion_hpc.executors.joblib import JoblibExecutor
from orion_hpc.worker.recovery import MARK
from tests.rigs.waiting import wait_until

SPACE = {"x": "uniform(0, 10)"}
ROOT = Path(__file__).parents[2]

EXECUTORS = {
    "single": ("single", {}),
    "loky": ("joblib", {"n_workers": 2}),
    "multiprocessing": ("joblib", {"n_workers": 2, "backend": "multiprocessing"}),
    "threading": ("joblib", {"n_workers": 2, "backend": "threading"}),
    "multiprocess": ("poolexecutor", {"n_workers": 2}),
    "thread": ("poolexecutor", {"n_workers": 2, "backend": "thread"}),
    "dask": ("dask", {"n_workers": 2}),
}


@pytest.fixture
def experiment(tmp_path):
    """Return an experiment of six trials in a file."""
    made = build_experiment("e", space=SPACE, max_trials=6, storage=tmp_path / "db.pkl")
    yield made
    made.close()


@pytest.fixture
def single(experiment):
    """Return it with the executor that needs no process."""
    with experiment.tmp_executor("single"):
        yield experiment


def statuses(experiment) -> list[str]:
    return [trial.status for trial in experiment.fetch_trials()]


@pytest.mark.parametrize("kind", EXECUTORS)
def test_each_executor_runs_a_function_that_has_no_name(experiment, tmp_path, kind):
    """Closures and constants go along; exactly as many trials are run as there are to be."""
    name, options = EXECUTORS[kind]
    offset, ran = 5, tmp_path / "ran"
    ran.mkdir()
    before = psutil.Process().children(recursive=True)

    def function(x, scale, trial):
        (ran / f"{trial.number}-{trial.attempt}").touch()
        return [{"name": "y", "type": "objective", "value": x * scale + offset}]

    with experiment.tmp_executor(name, **options) as same:
        assert same is experiment
        assert experiment.executor.name == name
        assert experiment.workon(function, trial_arg="trial", scale=2) == 6
    assert experiment.executor.name == "joblib"
    assert experiment.is_done
    for trial in experiment.fetch_trials():
        assert trial.objective.value == trial.params["x"] * 2 + 5
    assert sorted(path.name for path in ran.iterdir()) == [f"{number}-1" for number in range(6)]
    # Trackers of resources that all processes share stay until this one ends.
    left = [one for one in psutil.Process().children(recursive=True) if one not in before]
    assert [one for one in left if "tracker" not in " ".join(one.cmdline())] == []


@pytest.mark.parametrize("kind", ["loky", "threading", "multiprocess", "dask"])
def test_no_more_trials_at_once_than_asked(experiment, tmp_path, kind):
    """Whatever the executor could run."""
    name, options = EXECUTORS[kind]

    def function(x):
        mine = tmp_path / f"running-{x}"
        mine.touch()
        seen = len(list(tmp_path.glob("running-*")))
        time.sleep(0.1)
        mine.unlink()
        return seen

    with experiment.tmp_executor(name, **{**options, "n_workers": 4}):
        experiment.workon(function, n_workers=2)
    most = max(trial.objective.value for trial in experiment.fetch_trials())
    assert most == 2


@pytest.mark.parametrize("kind", EXECUTORS)
def test_an_error_breaks_the_trial_and_three_the_experiment(experiment, kind):
    """The caller gets the last message; the trials keep their tracebacks."""
    name, options = EXECUTORS[kind]

    def function(x):
        raise ValueError(f"no luck with {x}")

    with (
        experiment.tmp_executor(name, **options),
        pytest.raises(BrokenExperiment, match=r"ValueError: no luck with \d"),
    ):
        experiment.workon(function, n_workers=1)
    assert statuses(experiment) == ["broken"] * 3
    assert "Traceback (most recent call last)" in experiment.fetch_trials()[0].message
    with experiment.tmp_executor("single"), pytest.raises(BrokenExperiment):
        experiment.workon(function)
    assert len(experiment.fetch_trials()) == 3


def test_a_killed_process_breaks_its_trial_alone(experiment):
    """And is told as what it is."""

    def function(x, trial):
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    for kind in ("loky", "multiprocess"):
        name, options = EXECUTORS[kind]
        with experiment.tmp_executor(name, **options):
            experiment.workon(function, trial_arg="trial")
    broken = experiment.fetch_trials_by_status("broken")
    assert [(trial.number, trial.cause) for trial in broken] == [(1, "killed")]
    assert experiment.is_done


def test_on_error_is_told_and_may_forgive(single):
    """It gets the trial, the very exception, and how many have been broken."""
    told = []

    def function(x, trial):
        if trial.number in (0, 2):
            raise KeyError(trial.number)
        return x

    def on_error(client, trial, error, broken):
        told.append((client is single, trial.number, trial.status, error.args, broken))
        return False

    single.workon(function, trial_arg="trial", on_error=on_error, max_broken=1)
    assert told == [(True, 0, "broken", (0,), 1), (True, 2, "broken", (2,), 1)]
    assert single.is_done


def test_a_trial_can_be_prepared(experiment, tmp_path):
    """Here, before it begins there; what the preparation raises ends the call."""

    def function(x, trial):
        with open(f"{trial.working_dir}/given") as file:
            return float(file.read())

    def prepare(client, trial):
        if trial.number == 2:
            raise OSError("no room")
        with open(f"{trial.working_dir}/given", "w") as file:
            file.write(str(trial.number))

    with pytest.raises(OSError, match="no room"):
        experiment.workon(function, trial_arg="trial", prepare_trial=prepare)
    assert [one.objective.value for one in experiment.fetch_trials()[:2]] == [0.0, 1.0]
    assert statuses(experiment) == ["completed", "completed", "interrupted"]


def test_max_broken_of_a_call_ends_it(experiment):
    """Without the experiment's being broken; what runs meanwhile is completed."""

    def function(x, trial):
        if trial.number == 0:
            raise ValueError("first")
        time.sleep(0.3)
        return x

    with (
        experiment.tmp_executor("joblib", n_workers=2, backend="threading"),
        pytest.raises(BrokenExperiment, match="1 trial of this call"),
    ):
        experiment.workon(function, trial_arg="trial", max_broken=1)
    assert not experiment.is_broken
    assert statuses(experiment)[:2] == ["broken", "completed"]
    assert "reserved" not in statuses(experiment)


def test_what_on_error_raises_ends_the_call(experiment):
    """What runs is released, and nothing stays reserved."""

    class Enough(Exception):
        pass

    def function(x, trial):
        if trial.number == 0:
            raise ValueError
        time.sleep(30)

    def on_error(client, trial, error, broken):
        raise Enough

    with experiment.tmp_executor("joblib", n_workers=2), pytest.raises(Enough):
        experiment.workon(function, trial_arg="trial", on_error=on_error)
    assert statuses(experiment)[:2] == ["broken", "interrupted"]
    assert "reserved" not in statuses(experiment)


def test_what_is_no_result_ends_the_call(single):
    """The function is wrong, and every trial would show the same."""
    with pytest.raises(InvalidResult, match="not a result"):
        single.workon(lambda x: "good")
    assert statuses(single)[0] == "broken"
    assert set(statuses(single)[1:]) <= {"interrupted", "new"}


def test_how_much_is_run_can_be_limited(single):
    """Per call, and in all; never more than the experiment allows."""
    assert single.workon(lambda x: x, max_trials_per_worker=1) == 1
    assert single.workon(lambda x: x, max_trials=3) == 2
    assert single.workon(lambda x: x, max_trials=3) == 0
    assert single.workon(lambda x: x, max_trials=100) == 3
    assert single.workon(lambda x: x) == 0
    assert len(single.fetch_trials()) == 6


def test_the_defaults_of_orions_arguments(experiment):
    """n_workers is one; more than the executor has is cut, and -1 means all of them."""
    assert experiment.executor.trials_at_once(None, 1) == 1
    with experiment.tmp_executor("joblib", n_workers=3):
        assert [experiment.executor.trials_at_once(number, 1) for number in (None, 2, 8, -1)] == [
            3,
            2,
            3,
            3,
        ]
    with pytest.raises(ConfigurationError, match="at least 1"):
        experiment.workon(lambda x: x, n_workers=0)


def test_an_executor_of_ones_own_is_taken_and_left_open(experiment):
    """By instance; it isn't closed while all goes well."""
    executor = JoblibExecutor(2, 2, backend="threading")
    try:
        with experiment.tmp_executor(executor):
            assert experiment.workon(lambda x: x, max_trials=2) == 2
        assert executor.submit(len, "abc").result(10) == 3
        with pytest.raises(ConfigurationError, match="chosen by its name"):
            experiment.tmp_executor(executor, n_workers=2).__enter__()
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("jobli",), "did you mean joblib"),
        (("joblib", {"backend": "lokky"}), "did you mean loky"),
        (("joblib", {"bakend": "loky"}), "did you mean backend"),
        (("poolexecutor", {"backend": "threads"}), "did you mean thread"),
        (("single", {"n_workers": 2}), "one trial at a time"),
        (("dask", {"address": "tcp://127.0.0.1:1", "cluster": {}}), "more than one"),
        (("dask", {"cluster": {"pbs": {}}}), "knows no cluster"),
    ],
)
def test_a_wrong_executor_is_told_with_the_right_ones(experiment, words, told):
    """And no trial is touched."""
    name, options = (*words, {})[:2]
    with pytest.raises(ConfigurationError, match=told), experiment.tmp_executor(name, **options):
        experiment.workon(lambda x: x)
    assert experiment.fetch_trials() == []


def test_a_function_that_cannot_be_sent_is_told(experiment):
    """Before any trial is reserved; in this process it would do."""
    lock = threading.Lock()

    def function(x):
        with lock:
            return x

    with pytest.raises(ConfigurationError, match=r"test_workon:.*can't be sent") as caught:
        experiment.workon(function)
    assert "single" in caught.value.hint
    assert experiment.fetch_trials() == []
    with experiment.tmp_executor("joblib", backend="threading", n_workers=2):
        assert experiment.workon(function) == 6
    with pytest.raises(ConfigurationError, match="isn't a function"):
        experiment.workon("function")


def test_idle_workers_say_so(experiment):
    """While another one holds what is left."""
    experiment.insert({"x": 1}, reserve=True)
    with experiment.tmp_executor("single"), pytest.raises(LazyWorkers, match="no trial"):
        experiment.workon(lambda x: x, idle_timeout=0.1)
    assert statuses(experiment) == ["reserved"] + ["completed"] * 5
    experiment.observe(experiment.fetch_trials()[0], 1)


def test_a_search_from_another_thread(single):
    """Where signals can't be taken."""
    done = []
    thread = threading.Thread(target=lambda: done.append(single.workon(lambda x: x)))
    thread.start()
    thread.join(30)
    assert done == [6]


def test_two_programs_share_the_trials(experiment, tmp_path):
    """Each trial is run once, exactly as many as there are to be."""
    code = (
        "import sys\n"
        "from orion_hpc.client import build_experiment\n"
        "e = build_experiment('e', storage=sys.argv[1], max_trials=60)\n"
        "with e.tmp_executor('single'):\n"
        "    print(e.workon(lambda x: x))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "db.pkl")]
    pipe = subprocess.PIPE
    programs = [
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) for _ in range(3)
    ]
    told = [program.communicate(timeout=60) for program in programs]
    assert [program.returncode for program in programs] == [0, 0, 0], told
    assert sum(int(out) for out, _ in told) == 60
    assert statuses(experiment) == ["completed"] * 60


PROGRAM = """\
import sys, time
from pathlib import Path
from orion_hpc.client import build_experiment

folder = Path(sys.argv[1])

def function(x, trial):
    (folder / f"started-{trial.number}").touch()
    time.sleep(1000)

if __name__ == "__main__":
    experiment = build_experiment("e", storage=folder / "db.pkl")
    options = {} if sys.argv[2] == "single" else {"n_workers": 2}
    if len(sys.argv) > 3:
        options["backend"] = sys.argv[3]
    with experiment.tmp_executor(sys.argv[2], **options):
        experiment.workon(function, trial_arg="trial")
"""


@pytest.mark.parametrize(
    ("words", "at_once"),
    [
        (["single"], 1),
        (["joblib"], 2),
        (["joblib", "threading"], 2),
        (["poolexecutor"], 2),
        (["dask"], 2),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_releases_what_runs(experiment, tmp_path, words, at_once, number):
    """Ctrl-C raises KeyboardInterrupt, SIGTERM ends the program; nothing stays reserved."""
    program = start(tmp_path, words)
    wait_until(lambda: len(list(tmp_path.glob("started-*"))) == at_once, 60, "trials to run")
    below = psutil.Process(program.pid).children(recursive=True)
    os.killpg(program.pid, number)
    _, told = program.communicate(timeout=60)
    if number == signal.SIGINT:
        assert told.rstrip().splitlines()[-1].startswith("KeyboardInterrupt"), told
    assert program.returncode == -number, told
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    trials = experiment.fetch_trials()
    assert [(one.status, one.cause) for one in trials] == [("interrupted", "cancelled")] * at_once
    assert os.listdir(tmp_path / "db.pkl.files" / "e-v1" / "workers") == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"max_trials": 1.5}, "max_trials must be a whole number"),
        ({"max_trials_per_worker": -1}, "max_trials_per_worker must be"),
        ({"max_broken": "2"}, "max_broken must be"),
        ({"n_workers": "2"}, "n_workers must be"),
        ({"n_workers": 1.5}, "n_workers must be"),
        ({"idle_timeout": -1}, "idle_timeout must be"),
        ({"trial_arg": 5}, "trial_arg is 5"),
        ({"trial_arg": "x"}, "a hyperparameter, too"),
        ({"on_error": 5}, "on_error must be a function"),
        ({"prepare_trial": 5}, "prepare_trial must be a function"),
        ({"n_worker": 2}, "takes no argument 'n_worker'"),
    ],
)
def test_a_wrong_argument_is_told_at_once(experiment, arguments, told):
    """By its name, and no trial pays for it."""
    with pytest.raises(ConfigurationError, match=told):
        experiment.workon(lambda x: x, **arguments)
    assert experiment.fetch_trials() == []


def test_a_traceback_shows_the_lines_of_the_program(experiment):
    """Also of a function that went by value."""

    def function(x):
        raise ValueError("oops")  # this very line

    with pytest.raises(BrokenExperiment, match="this very line") as caught:
        experiment.workon(function)
    assert f'File "{__file__}"' in str(caught.value)
    assert str(caught.value).count("ValueError: oops") == 1


def test_a_second_ctrl_c_leaves_nothing_to_a_program_that_goes_on(experiment):
    """What there was no time to release is released with the client's next call."""

    def function(x, trial):
        time.sleep(0.01 if trial.attempt > 1 else 1000)
        return x

    reader = build_experiment("e", storage=experiment.storage)
    ended = threading.Event()

    def interrupt():
        wait_until(lambda: statuses(reader) == ["reserved"] * 2, 60, "trials to run")
        with reader._session._journal.storage._writer.lock.held():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)
            ended.wait(30)

    thread = threading.Thread(target=interrupt)
    with experiment.tmp_executor("joblib", n_workers=2):
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            experiment.workon(function, trial_arg="trial")
        ended.set()
        thread.join()
        assert statuses(experiment) == ["reserved"] * 2
        assert experiment.workon(function, trial_arg="trial", max_trials=2) == 2
    assert statuses(experiment) == ["completed"] * 2
    reader.close()


def test_a_second_ctrl_c_does_not_wait(experiment, tmp_path):
    """Not even for the lock, which somebody holds; the next worker finds the trials."""
    program = start(tmp_path, ["joblib"])
    wait_until(lambda: len(list(tmp_path.glob("started-*"))) == 2, 60, "trials to run")
    below = psutil.Process(program.pid).children(recursive=True)
    with experiment._session._journal.storage._writer.lock.held():
        os.kill(program.pid, signal.SIGINT)
        wait_until(lambda: len(list(filter(runs, below))) < len(below), 30, "it to be ending")
        os.kill(program.pid, signal.SIGINT)
        _, told = program.communicate(timeout=10)
    assert program.returncode == -signal.SIGINT, told
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    assert statuses(experiment) == ["reserved"] * 2
    assert experiment.suggest().attempt == 2
    experiment.release(experiment.fetch_trials_by_status("reserved")[0])


def start(folder: Path, words: list[str]) -> subprocess.Popen[str]:
    """Start the program in a process group of its own."""
    (folder / "program.py").write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(folder / "program.py"), str(folder), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def runs(process: psutil.Process) -> bool:
    """Return whether it is there and no zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


SURROGATE = os.fsdecode(b"caf\xe9.txt")


def test_texts_that_no_file_takes_are_escaped(experiment):
    """An exception with the name of such a file breaks its trial, and no other's."""

    def function(x, trial):
        if trial.number == 0:
            raise FileNotFoundError(SURROGATE)
        return x

    with experiment.tmp_executor("joblib", n_workers=2, backend="threading"):
        experiment.workon(function, trial_arg="trial")
    assert statuses(experiment) == ["broken"] + ["completed"] * 6
    assert "caf\\udce9.txt" in experiment.fetch_trials()[0].message


def deep(levels):
    value = 1.0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("odd", [(SURROGATE, 1.0), ("deep", deep(100))])
def test_results_that_no_file_takes_are_told(experiment, odd):
    """As no results, before anything is lost."""
    name, value = odd
    results = [
        {"name": "y", "type": "objective", "value": 1},
        {"name": name, "type": "gradient", "value": value},
    ]
    trial = experiment.suggest()
    with pytest.raises(InvalidResult):
        experiment.observe(trial, results)
    experiment.observe(trial, 1)
    with experiment.tmp_executor("single"), pytest.raises(InvalidResult):
        experiment.workon(lambda x: results)
    assert statuses(experiment)[:2] == ["completed", "broken"]


@pytest.mark.parametrize("kind", ["single", "loky", "multiprocessing", "multiprocess", "dask"])
def test_a_fork_that_a_trial_forgets_to_end(experiment, kind):
    """It doesn't go on as a second worker."""

    def function(x):
        child = os.fork()
        if child == 0:
            sys.exit(3)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    name, options = EXECUTORS[kind]
    with experiment.tmp_executor(name, **options):
        assert experiment.workon(function) == 6
    assert {trial.objective.value for trial in experiment.fetch_trials()} == {3.0}


def test_runs_of_one_client_do_not_disturb_each_other(tmp_path):
    """Each has an executor of its own, whichever ends first, and however."""
    experiment = build_experiment("e", space=SPACE, max_trials=40, storage=tmp_path / "db.pkl")
    errors = []

    def short():
        for most in (2, 3):
            experiment.workon(slow, max_trials_per_worker=most, n_workers=most)
        try:
            experiment.workon(lambda x: "no result", max_trials_per_worker=1)
        except InvalidResult:
            errors.append("as it should be")

    def slow(x):
        time.sleep(0.02)
        return x

    with experiment.tmp_executor("joblib", n_workers=4, backend="threading"):
        thread = threading.Thread(target=short)
        thread.start()
        experiment.workon(slow, n_workers=2)
        thread.join(30)
    assert errors == ["as it should be"]
    assert len(experiment.fetch_trials_by_status("broken")) == 1
    assert experiment.is_done
    experiment.close()


def test_an_odd_statistic_never_costs_the_objective(tmp_path, caplog):
    """Text, booleans and None are kept, the rest is left out; the trial's log names it."""

    def function(x):
        return [
            {"name": "loss", "type": "objective", "value": x},
            {"name": "optimizer", "type": "statistic", "value": "sgd"},
            {"name": "early", "type": "statistic", "value": True},
            {"name": "note", "type": "statistic", "value": None},
            {"name": "model", "type": "statistic", "value": tmp_path / "model.pt"},
        ]

    experiment = build_experiment("e", space=SPACE, max_trials=1, storage=tmp_path / "db.pkl")
    with experiment.tmp_executor("joblib", n_workers=1):
        assert experiment.workon(function) == 1
    (trial,) = get_experiment("e", storage=tmp_path / "db.pkl").fetch_trials()
    assert trial.status == "completed"
    assert [one.value for one in trial.statistics] == ["sgd", True, None]
    assert "trial 0: the statistic 'model' is left out: it is PosixPath" in caplog.text
    experiment.close()


def test_runs_that_overlap_leave_the_environment_as_it_was(tmp_path):
    """The one that began first ends first: what is marked is the other's, and then nobody's."""
    experiment = build_experiment("e", space=SPACE, max_trials=40, storage=tmp_path / "db.pkl")
    first_begun, second_begun, first_ended = (threading.Event() for _ in range(3))
    marks = []

    def first(x):
        first_begun.set()
        assert second_begun.wait(30)
        return x

    def second(x):
        second_begun.set()
        assert first_ended.wait(30)
        marks.append(os.environ[MARK])
        return x

    def late():
        assert first_begun.wait(30)
        experiment.workon(second, max_trials_per_worker=1)

    with experiment.tmp_executor("joblib", n_workers=1, backend="threading"):
        thread = threading.Thread(target=late)
        thread.start()
        experiment.workon(first, max_trials_per_worker=1)
        first_ended.set()
        thread.join(30)
    assert len(marks) == 1
    assert MARK not in os.environ
    experiment.close()


def test_a_run_in_a_run(single):
    """A function may search for itself."""

    def outer(x):
        inner = build_experiment("i", space=SPACE, max_trials=2, debug=True, executor="single")
        inner.workon(lambda x: x)
        return inner.stats.best_evaluation

    assert single.workon(outer, max_trials=2) == 2
    assert single.workon(lambda x: single.workon(lambda x: x, max_trials_per_worker=1)) >= 1
    assert single.is_done


def test_another_database_in_the_place_of_ours(experiment):
    """Its trials aren't ours to run, though it has an experiment of the same number."""
    os.rename(experiment.storage, f"{experiment.storage}.old")
    other = build_experiment("o", space={"y": "uniform(0, 1)"}, storage=experiment.storage)
    with experiment.tmp_executor("single"), pytest.raises(StorageError, match="any more"):
        experiment.workon(lambda **params: 1.0)
    assert other.fetch_trials() == []
    os.rename(f"{experiment.storage}.old", experiment.storage)


def test_a_function_may_spoil_the_environment(single):
    """What it did to it stays, and is no error of ours."""
    before = dict(os.environ)
    try:
        assert single.workon(lambda x: (os.environ.clear(), x)[1]) == 6
        assert os.environ == {}
    finally:
        os.environ.update(before)


def test_forks_leave_the_folder_of_memory_alone():
    """It goes with the program that made it."""
    experiment = build_experiment("m", space=SPACE, debug=True)
    trial = experiment.suggest()
    folder = trial.working_dir
    child = os.fork()
    if child == 0:
        try:
            experiment._place.discard()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.path.isdir(folder)
    experiment.release(trial)
    experiment._place.discard()
    assert not os.path.exists(folder)
