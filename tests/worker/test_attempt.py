"""One attempt from beginning to end: whatever the user's code does, there is an outcome."""

from __future__ import annotations

import pickle
import sys

import pytest

from orion_hpc.executors.joblib import JoblibExecutor
from orion_hpc.model.trial_record import KILLED, OUT_OF_MEMORY, USER_ERROR
from orion_hpc.worker.attempt import run_task
from orion_hpc.worker.failure import CommandFailed, bounded, failure
from orion_hpc.worker.task import CommandTarget, FunctionTarget, Outcome, TrialTask

CODE = """
import sys

class Odd(BaseException):
    def __str__(self):
        raise RuntimeError

def main(what):
    return globals()[what]()

def number(): return 0.5
def nothing(): return None
def divide(): return 1 / 0
def chain():
    try:
        divide()
    except ZeroDivisionError as error:
        raise ValueError("two\\nlines") from error
def memory(): raise MemoryError("Unable to allocate 1 TiB")
def deep(): return deep()
def leave(): sys.exit("bye")
def interrupt(): raise KeyboardInterrupt("SIGTERM")
def odd(): raise Odd
def huge(): raise ValueError("x" * 100_000)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return what runs a function of the code above as a trial."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "codes.py").write_text(CODE)

    def run(what, name="codes:main"):
        return run_task(task(FunctionTarget(str(tmp_path), name, {}), what, tmp_path))

    yield run
    sys.modules.pop("codes", None)


def task(target, what, folder):
    params = {"what": what}
    return TrialTask(target, 7, "ab" * 16, 1, params, params, str(folder / "trials"), "svm")


def test_a_result_completes(run, tmp_path):
    """The objective is there, and no directory was touched."""
    outcome = run("number")
    assert outcome.status == "completed"
    assert outcome.results == [{"name": "objective", "type": "objective", "value": 0.5}]
    assert (outcome.cause, outcome.message, outcome.detail) == (None, "", "")
    assert not (tmp_path / "trials").exists()


def test_a_commands_result_completes(tmp_path):
    """The other kind of target gives the same outcome."""
    target = CommandTarget(("echo", "0.5"), str(tmp_path))
    assert run_task(task(target, "", tmp_path)).results[0]["value"] == 0.5


@pytest.mark.parametrize(
    ("what", "cause", "message"),
    [
        ("nothing", USER_ERROR, "the trial returned None, not a result"),
        ("divide", USER_ERROR, "ZeroDivisionError: division by zero"),
        ("chain", USER_ERROR, "ValueError: two lines"),
        ("memory", OUT_OF_MEMORY, "MemoryError: Unable to allocate 1 TiB"),
        ("deep", USER_ERROR, "RecursionError: maximum recursion depth exceeded"),
        ("leave", USER_ERROR, "the function called sys.exit(bye) and returned no result"),
        ("odd", USER_ERROR, "Odd: (it can't be printed)"),
    ],
)
def test_whatever_is_raised_breaks_the_trial(run, what, cause, message):
    """Nothing gets through, and one line tells it."""
    outcome = run(what)
    assert (outcome.status, outcome.cause, outcome.results) == ("broken", cause, None)
    assert outcome.message.startswith(message)
    assert "\n" not in outcome.message


def test_an_interruption_of_the_functions_own_breaks_the_trial(run):
    """Taken for the worker's, it would have the trial begun again at once, and for ever."""
    outcome = run("interrupt")
    assert (outcome.status, outcome.cause) == ("broken", USER_ERROR)
    assert outcome.message == "KeyboardInterrupt: SIGTERM"


def test_the_traceback_is_the_users(run):
    """It begins in the user's file, tells the chain, and shows none of this package's frames."""
    detail = run("chain").detail
    assert detail.count("Traceback (most recent call last)") == 2
    assert "orion_hpc/" not in detail
    assert "return globals()[what]()" in detail
    assert detail.endswith("ValueError: two\nlines")


def test_what_is_told_is_bounded(run):
    """A long message and an endless recursion don't fill the journal."""
    outcome = run("huge")
    assert len(outcome.message) == 300
    assert len(outcome.detail) == 8_000
    assert "characters left out" in outcome.detail
    assert len(run("deep").detail) <= 8_000
    assert bounded("short") == "short"


def test_a_function_that_is_not_there_breaks_the_trial(run):
    """On a compute node an import may fail that worked at submit."""
    outcome = run("number", "codez:main")
    assert (outcome.status, outcome.cause) == ("broken", USER_ERROR)
    assert "there is no module 'codez'" in outcome.message
    assert "(did you mean codes?)" in outcome.message


def test_a_dead_process_of_the_inner_pool_is_told():
    """The trial outlives its own pool's process: the cause is the process's death."""

    class BrokenProcessPool(Exception):
        pass

    error = BrokenProcessPool("exit codes {SIGKILL(-9)}")
    assert failure(error).cause == KILLED
    assert failure(error, out_of_memory=True).cause == OUT_OF_MEMORY
    assert failure(BrokenProcessPool("{SIGSEGV(-11)}"), out_of_memory=True).cause == KILLED
    assert failure(ValueError("SIGKILL"), out_of_memory=True).cause == USER_ERROR


def test_tasks_outcomes_and_failures_cross_processes(tmp_path):
    """All that goes between a worker and its trials is plain data."""
    made = task(FunctionTarget(str(tmp_path), "codes:main", {"a": [1]}, "t"), "number", tmp_path)
    outcome = Outcome("broken", None, USER_ERROR, "m", "d")
    for one in (made, outcome):
        assert pickle.loads(pickle.dumps(one)) == one
    error = pickle.loads(pickle.dumps(CommandFailed("m", KILLED, "o")))
    assert (error.message, error.cause, error.output) == ("m", KILLED, "o")


def test_a_task_runs_in_a_process_of_joblib(tmp_path):
    """The whole way: the user's module is imported in the trial's process, by path and name."""
    (tmp_path / "codes.py").write_text(CODE)
    pool = JoblibExecutor(1, 1)
    try:
        made = task(FunctionTarget(str(tmp_path), "codes:main", {}), "number", tmp_path)
        assert pool.submit(run_task, made).result(30).results[0]["value"] == 0.5
        made = task(FunctionTarget(str(tmp_path), "codes:main", {}), "deep", tmp_path)
        assert pool.submit(run_task, made).result(30).message.startswith("RecursionError")
        command = task(CommandTarget(("sh", "-c", "echo $PPID"), str(tmp_path)), "", tmp_path)
        assert pool.submit(run_task, command).result(30).results[0]["value"] > 1
    finally:
        pool.close(kill=True)
    assert "codes" not in sys.modules
