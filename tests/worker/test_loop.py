"""The worker's life, on the storage in memory, with trials that do as they are told."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from orion_hpc.algorithms.base import WAIT
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.errors import DamagedDatabase, StorageError
from orion_hpc.executors.base import ProcessDied
from orion_hpc.executors.single import SingleExecutor
from orion_hpc.journal.memory import MemoryStorage, SharedJournal
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, ExperimentState
from orion_hpc.model.trial_record import (
    BROKEN,
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    LOST_WORKER,
    RESERVED,
    USER_ERROR,
)
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.worker.loop import TrialRunner, Worker
from orion_hpc.worker.recorder import ExperimentJournal, Recorder
from orion_hpc.worker.recovery import Recovery
from orion_hpc.worker.runtime_options import RuntimeOptions
from orion_hpc.worker.scheduler import Scheduler
from orion_hpc.worker.shutdown import (
    NO_GRACE,
    Grace,
    NoticeFile,
    Shutdown,
    StopNotice,
    read_notice,
)
from orion_hpc.worker.task import Outcome, TrialTask


def completed(task: TrialTask) -> Outcome:
    """End a trial well."""
    results = [{"name": "loss", "type": "objective", "value": task.flat_params["x"]}]
    return Outcome(COMPLETED, results)


class Watched:
    """Says who is lost."""

    def __init__(self, *lost: str) -> None:
        self.gone = set(lost)

    def lost(self, workers) -> set[str]:
        """Return those of ``workers`` that are."""
        return self.gone & set(workers)


class Parallel:
    """An executor whose trials end when the test says so, all on the test's own thread."""

    in_process = False

    def __init__(self, n_workers: int, script: Callable[[Parallel], None]) -> None:
        self.n_workers = n_workers
        self.running: dict[int, tuple[Future, TrialTask]] = {}
        self.most = 0
        self.killed = False
        self._script = script

    def submit(self, function, argument):
        """Start a trial."""
        future: Future = Future()
        self.running[argument.number] = (future, argument)
        self.most = max(self.most, len(self.running))
        return future

    def end(self, number: int, outcome: Outcome | BaseException | None = None) -> None:
        """End a running trial."""
        future, task = self.running.pop(number)
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome or completed(task))

    def wait(self, futures, timeout):
        """Let the test's script act."""
        self._script(self)
        return {future for future in futures if future.done()}

    def close(self, kill: bool = False) -> None:
        """Note it."""
        self.killed = kill


def task_of(state: ExperimentState, trial) -> TrialTask:
    """Return the task of a trial."""
    return TrialTask(
        None, trial.number, trial.id, trial.attempt, trial.params, trial.params, "", "e"
    )


class Bench:
    """An experiment in memory and workers for it."""

    folder = "/nowhere"

    def __init__(self, max_trials: int | None = 5, prior: str = "uniform(0, 1)") -> None:
        self.journal = SharedJournal()
        self.space = Space.parse({"x": prior})
        configuration = {"max_trials": max_trials, "max_broken": 3}
        self.write(CATALOGUE, ev.CreateExperiment("e", 1, configuration, 0.0))

    def write(self, number: int, *events: ev.Event) -> None:
        """Append events as another worker would."""
        MemoryStorage(self.journal).transact(number, lambda state: list(events))

    @property
    def state(self) -> ExperimentState:
        """The experiment as a reader sees it now."""
        return MemoryStorage(self.journal).refresh().experiments[1]

    def worker(
        self,
        executor=None,
        run=completed,
        watch=None,
        stop=None,
        name="me",
        idle_timeout=0.3,
        patience=0.3,
        grace=NO_GRACE,
        notice=None,
        algorithm=None,
        awake=time.monotonic,
        max_attempts_here=None,
    ) -> Worker:
        """Return a worker that is ready to run."""
        journal = ExperimentJournal(MemoryStorage(self.journal), 1)
        algorithm = algorithm or make_algorithm("random", self.space)
        recovery = Recovery(watch or Watched(), lambda number: f"{self.folder}/{number}")
        stop = stop or StopNotice()
        options = RuntimeOptions(
            name, 0.02, idle_timeout, max_attempts_here=max_attempts_here, patience=patience,
            notice_delay=0.05, seed=1, max_attempts=3,
        )  # fmt: skip
        return Worker(
            journal,
            Scheduler(journal, algorithm, recovery, stop, options),
            Recorder(journal, recovery, stop, options),
            Shutdown(stop, notice or NoticeFile(None), grace),
            TrialRunner(executor or SingleExecutor(), run, task_of),
            options,
            awake,
        )


def test_a_worker_completes_the_budget_and_leaves():
    """Exactly max_trials, each once, and the reason for leaving is told."""
    bench = Bench(max_trials=5)
    summary = bench.worker().run()
    assert (summary.completed, summary.reason) == (5, "the experiment is done")
    assert [trial.status for trial in bench.state.trials] == [COMPLETED] * 5
    assert {trial.attempt for trial in bench.state.trials} == {1}


def test_the_end_of_a_trial_and_the_next_reservation_are_one_transaction():
    """Five trials take six transactions and the creation: one append a trial."""
    bench = Bench(max_trials=5)
    bench.worker().run()
    assert len(bench.journal.transactions) == 1 + 6


class Learner:
    """An algorithm that remembers what was completed when it was asked."""

    learns = True

    def __init__(self, cheap: bool, suggest=None) -> None:
        self.cheap = cheap
        self.seen: list[int] = []
        self._suggest = suggest or (lambda history, number: {"x": float(number)})

    def suggest(self, history, number, rng):
        """Return the next point."""
        self.seen.append(len(history.completions))
        return self._suggest(history, number)


@pytest.mark.parametrize("cheap", [True, False])
def test_results_are_recorded_before_an_algorithm_that_learns_is_asked(cheap):
    """The first suggestion knows of no result, the second of one, and so on."""
    bench, learner = Bench(max_trials=4), Learner(cheap)
    assert bench.worker(algorithm=learner).run().completed == 4
    assert sorted(set(learner.seen)) == [0, 1, 2, 3]
    assert learner.seen == sorted(learner.seen)


@pytest.mark.parametrize("cheap", [True, False])
def test_all_slots_are_filled_one_by_one_without_waiting(cheap):
    """An algorithm that learns suggests one at a time; the other slots don't wait for an end."""
    bench, looks = Bench(max_trials=6), []

    def script(executor: Parallel) -> None:
        looks.append(len(executor.running))
        executor.end(min(executor.running))

    executor = Parallel(3, script)
    bench.worker(executor, algorithm=Learner(cheap)).run()
    assert looks[0] == 3


@pytest.mark.parametrize("cheap", [True, False])
def test_a_worker_that_has_to_wait_leaves_the_lock_alone(cheap):
    """While there is nothing before another's trial ends, nothing is written."""
    bench = Bench(max_trials=3)
    bench.write(1, ev.RegisterTrial(0, {"x": 0.5}, 1.0), ev.ReserveTrial(0, 1, "other", 1.0))
    before = len(bench.journal.transactions)
    learner = Learner(cheap, lambda history, number: WAIT)
    summary = bench.worker(algorithm=learner).run()
    assert summary.idle
    assert len(bench.journal.transactions) == before
    assert learner.seen


def test_a_model_is_asked_while_others_have_the_lock_and_reserve():
    """A worker that computes for long holds nobody up."""
    bench = Bench(max_trials=40)
    others: list[int] = []

    def slow(history, number):
        if not others:  # the other worker does all that it can meanwhile
            algorithm = make_algorithm("random", bench.space)
            other = bench.worker(name="other", algorithm=algorithm, max_attempts_here=20)
            others.append(other.run().completed)
        return {"x": 0.001 + number}

    summary = bench.worker(algorithm=Learner(False, slow)).run()
    assert others == [20]
    assert summary.completed == 20
    assert bench.state.trials[20].params == {"x": 0.001}, "computed for number 0, and still new"


def test_slots_are_filled_and_never_more():
    """With three slots three trials run at once, and a free slot is filled at the next look."""
    bench = Bench(max_trials=7)
    executor = Parallel(3, lambda executor: executor.end(min(executor.running)))
    bench.worker(executor).run()
    assert executor.most == 3
    assert bench.state.count(COMPLETED) == 7


def test_a_process_that_dies_breaks_its_trial_with_the_cause():
    """The executor tells of a death; the worker records it and goes on with the others."""

    def script(executor: Parallel) -> None:
        number = min(executor.running)
        executor.end(number, ProcessDied.of(-signal.SIGSEGV, False) if number == 1 else None)

    bench = Bench(max_trials=3)
    summary = bench.worker(Parallel(2, script)).run()
    assert (summary.completed, summary.broken) == (3, 1)
    trial = bench.state.trials[1]
    assert (trial.status, trial.cause) == (BROKEN, "killed")
    assert "SIGSEGV" in trial.message


def test_an_executor_that_fails_breaks_the_trial_and_says_how():
    """A result that can't come back from its process isn't waited for ever."""
    bench = Bench(max_trials=1)

    def script(executor: Parallel) -> None:
        number = min(executor.running)
        executor.end(number, RuntimeError("pipe") if number == 0 else None)

    bench.worker(Parallel(1, script)).run()
    assert "the executor failed: RuntimeError('pipe')" in bench.state.trials[0].message


def test_a_lost_workers_trial_is_taken_over():
    """The trial of a worker that is gone is interrupted, and run again as attempt 2."""
    bench = Bench(max_trials=2)
    bench.write(1, ev.RegisterTrial(0, {"x": 0.5}, 1.0), ev.ReserveTrial(0, 1, "dead", 1.0))
    bench.worker(watch=Watched("dead")).run()
    trial = bench.state.trials[0]
    assert (trial.status, trial.attempt, trial.worker, trial.losses) == (COMPLETED, 2, "me", 1)


def test_a_result_comes_too_late_once_somebody_else_has_the_trial(caplog):
    """A worker that was given up and comes back learns that its reservation is lost."""
    bench = Bench(max_trials=1)

    def run(task: TrialTask) -> Outcome:
        bench.write(
            1,
            ev.ReleaseTrial(0, 1, INTERRUPTED, LOST_WORKER, "", 1.0),
            ev.ReserveTrial(0, 2, "successor", 1.0),
        )
        return completed(task)

    summary = bench.worker(run=run).run()
    assert (summary.completed, summary.lost) == (0, 1)
    assert "reservation lost" in caplog.text
    assert (bench.state.trials[0].status, bench.state.trials[0].worker) == (RESERVED, "successor")


def test_a_late_result_is_kept_while_nobody_else_has_the_trial():
    """Nothing is thrown away needlessly: the interrupted, untaken trial completes."""
    bench = Bench(max_trials=1)

    def run(task: TrialTask) -> Outcome:
        bench.write(1, ev.ReleaseTrial(0, 1, INTERRUPTED, LOST_WORKER, "", 1.0))
        return completed(task)

    assert bench.worker(run=run).run().completed == 1


def test_a_suspension_doesnt_use_up_an_idle_workers_patience():
    """It comes back after ten hours and waits on; the trial that another gives back then is its."""
    bench = Bench(max_trials=1)
    bench.write(1, ev.RegisterTrial(0, {"x": 0.5}, 1.0), ev.ReserveTrial(0, 1, "other", 1.0))
    jump = 0.0
    awake = AwakeClock(lambda: time.monotonic() + jump)
    looks = 0

    def suspended() -> float:
        nonlocal looks, jump
        looks += 1
        if looks == 3:
            jump = 36000.0
        if looks == 5:
            bench.write(1, ev.ReleaseTrial(0, 1, INTERRUPTED, "preempted", "", 2.0))
        return awake()

    assert bench.worker(idle_timeout=3600, awake=suspended).run().completed == 1


def test_a_worker_without_work_waits_for_a_trial_to_come_back_and_then_leaves():
    """Another worker's trial that is released in time is taken; silence ends in idle_timeout."""
    bench = Bench(max_trials=1)
    bench.write(1, ev.RegisterTrial(0, {"x": 0.5}, 1.0), ev.ReserveTrial(0, 1, "other", 1.0))
    release = ev.ReleaseTrial(0, 1, INTERRUPTED, "preempted", "", 2.0)
    timer = threading.Timer(0.2, bench.write, (1, release))
    timer.start()
    summary = bench.worker(idle_timeout=20).run()
    timer.join()
    assert summary.completed == 1
    bench = Bench(max_trials=1)
    bench.write(1, ev.RegisterTrial(0, {"x": 0.5}, 1.0), ev.ReserveTrial(0, 1, "other", 1.0))
    before = len(bench.journal.transactions)
    assert bench.worker(idle_timeout=0.1).run().reason.startswith("idle")
    assert len(bench.journal.transactions) == before, "waiting writes nothing"


def test_a_notice_ends_what_runs_and_records_what_has_ended():
    """Of two running trials one has just completed: it counts, the other one is interrupted."""
    bench = Bench(max_trials=9)
    stop = StopNotice()

    def script(executor: Parallel) -> None:
        executor.end(0)
        stop.cause, stop.signal = "preempted", "SIGTERM"

    executor = Parallel(2, script)
    summary = bench.worker(executor, stop=stop).run()
    assert executor.killed
    assert summary.reason == "stopped by SIGTERM"
    assert [(trial.status, trial.cause) for trial in bench.state.trials] == [
        (COMPLETED, None),
        (INTERRUPTED, "preempted"),
    ]
    assert bench.state.trials[1].losses == 0


def test_after_a_notice_trials_have_their_time(tmp_path):
    """They learn of it; one that ends counts, what one saved is told; no third begins."""
    bench = Bench(max_trials=9)
    stop = StopNotice()
    path = str(tmp_path / "notices" / "me")
    seen = []

    def script(executor: Parallel) -> None:
        if stop.cause is None:
            stop.give("preempted", "SIGTERM")
        elif 0 in executor.running:
            seen.append(read_notice(path))
            executor.end(0)
        else:
            end = Outcome(INTERRUPTED, cause="cancelled", message="saved")
            executor.end(next(iter(executor.running)), end)

    executor = Parallel(2, script)
    worker = bench.worker(executor, stop=stop, grace=Grace(60), notice=NoticeFile(path))
    summary = worker.run()
    assert seen == ["SIGTERM"]
    assert read_notice(path) == ""
    assert (summary.completed, summary.interrupted) == (1, 1)
    assert [(trial.status, trial.cause) for trial in bench.state.trials] == [
        (COMPLETED, None),
        (INTERRUPTED, "preempted"),
    ]
    assert "saved" in bench.state.trials[1].message


def test_a_trial_that_always_interrupts_itself_is_broken_in_the_end():
    """No notice came: it would be run for ever."""
    bench = Bench(max_trials=1)
    itself = Outcome(INTERRUPTED, cause="cancelled", message="enough")
    ends = [itself] * 3

    def run(task: TrialTask) -> Outcome:
        return ends.pop() if ends else completed(task)

    assert bench.worker(run=run).run().completed == 1
    first, second = bench.state.trials
    assert (first.status, first.attempt, first.cause) == (BROKEN, 3, "user error")
    assert "3 times" in first.message
    assert second.status == COMPLETED


def test_too_many_broken_trials_end_the_work():
    """A function that always fails is called max_broken times by one worker, not for ever."""
    bench = Bench(max_trials=50)
    broken = Outcome(BROKEN, cause="user error", message="no")
    summary = bench.worker(run=lambda task: broken).run()
    assert summary.broken == 3
    assert summary.reason == "3 trials are broken"


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_exhausted_space_ends_the_work(n_workers):
    """Three choices are three trials, whatever the budget."""
    bench = Bench(max_trials=50, prior="choices(['a', 'b', 'c'])")
    executor = Parallel(n_workers, lambda executor: executor.end(min(executor.running), Outcome(
        COMPLETED, [{"name": "loss", "type": "objective", "value": 1.0}]
    )))  # fmt: skip
    assert bench.worker(executor).run().reason == "the experiment is done"
    assert {trial.params["x"] for trial in bench.state.trials} == {"a", "b", "c"}
    assert bench.state.count(COMPLETED) == 3


def test_many_workers_share_the_budget_exactly():
    """Eight workers in threads of one process: fifty trials, each run once."""
    bench = Bench(max_trials=50)
    runs: list[int] = []

    def run(task: TrialTask) -> Outcome:
        runs.append(task.number)
        return completed(task)

    threads = [
        threading.Thread(target=bench.worker(run=run, name=f"w{index}", idle_timeout=20).run)
        for index in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(runs) == list(range(50))
    assert bench.state.count(COMPLETED) == 50


def test_a_death_by_the_jobs_notice_is_an_interruption():
    """Slurm's signal reaches the trial's process first: the trial isn't broken by it."""
    bench = Bench(max_trials=9)
    stop = StopNotice()

    def script(executor: Parallel) -> None:
        executor.end(0, ProcessDied.of(-signal.SIGTERM, False))
        notice = threading.Timer(0.01, setattr, (stop, "cause", "preempted"))
        notice.start()

    summary = bench.worker(Parallel(1, script), stop=stop).run()
    assert (summary.broken, summary.interrupted) == (0, 1)
    trial = bench.state.trials[0]
    assert (trial.status, trial.cause) == (INTERRUPTED, "preempted")


class Failing(MemoryStorage):
    """A storage whose appends fail for a while, as on a full disk."""

    failures = 0

    def transact(self, number, plan):
        """Fail, or append."""
        if Failing.failures > 0:
            Failing.failures -= 1
            raise StorageError("can't write to the database: No space left on device")
        return super().transact(number, plan)


@pytest.fixture
def failing(monkeypatch) -> type[Failing]:
    """Workers whose storage can be told to fail."""
    monkeypatch.setitem(Bench.worker.__globals__, "MemoryStorage", Failing)
    Failing.failures = 0
    return Failing


def test_a_trouble_that_passes_costs_nothing(failing, monkeypatch):
    """The disk was full for a moment: the result is recorded a little later, once."""
    bench = Bench(max_trials=2)

    def run(task: TrialTask) -> Outcome:
        failing.failures = 2
        return completed(task)

    worker = bench.worker(run=run, patience=20)
    monkeypatch.setattr("orion_hpc.worker.loop._POLL", 0.01)
    assert worker.run().completed == 2
    assert [trial.attempt for trial in bench.state.trials] == [1, 1]


def test_a_reservation_that_seemed_to_fail_is_worked_on(failing, monkeypatch):
    """The append got into the journal, and only its sync failed: no trial hangs."""
    bench = Bench(max_trials=3)
    landed = Failing.transact
    calls: list[int] = []

    def transact(self, number, plan):
        landed(self, number, plan)
        calls.append(number)
        if len(calls) == 2:
            raise StorageError("can't write to the database: Input/output error")
        return self.state

    monkeypatch.setattr(Failing, "transact", transact)
    monkeypatch.setattr("orion_hpc.worker.loop._POLL", 0.01)
    summary = bench.worker(patience=20).run()
    assert summary.completed == 3
    assert {trial.attempt for trial in bench.state.trials} == {1}


def test_a_result_that_cannot_be_recorded_is_kept_and_recorded_by_the_next_worker(
    failing, monkeypatch, tmp_path
):
    """The worker gives up in the end; the hours that the trial took aren't lost."""
    bench = Bench(max_trials=1)
    bench.folder = str(tmp_path)
    monkeypatch.setattr("orion_hpc.worker.loop._POLL", 0.01)

    def run(task: TrialTask) -> Outcome:
        failing.failures = 10**9
        return completed(task)

    with pytest.raises(StorageError, match="No space left"):
        bench.worker(run=run, name="first", patience=0.05).run()
    failing.failures = 0
    assert bench.state.trials[0].status == RESERVED
    again: list[int] = []
    worker = bench.worker(
        run=lambda task: again.append(task.number), watch=Watched("first"), name="second"
    )
    worker.run()
    trial = bench.state.trials[0]
    assert (trial.status, trial.attempt, again) == (COMPLETED, 1, [])
    assert trial.objective == trial.params["x"]
    assert list(tmp_path.glob("*/*")) == [], "what was kept is gone once it is recorded"


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (ev.StopExperiment("cancelled", 2.0), "the experiment was stopped: cancelled"),
        (ev.ReleaseTrial(1, 1, BROKEN, USER_ERROR, "", 2.0), "1 trial is broken"),
    ],
)
def test_what_runs_is_interrupted_when_the_experiment_is_over(event, why):
    """Also with every slot taken: after the last allowed broken trial nobody works on for hours."""
    bench = Bench(max_trials=5)
    bench.write(1, ev.ChangeLimits(5, 1, 1.0))
    happened = []

    def script(executor: Parallel) -> None:
        if not happened:
            bench.write(1, ev.RegisterTrial(1, {"x": 0.25}, 1.0, worker="other"), event)
            happened.append(True)
        time.sleep(0.01)

    executor = Parallel(1, script)
    stop = StopNotice()
    summary = bench.worker(executor, stop=stop).run()
    assert (summary.reason, summary.stopped, summary.interrupted) == (why, False, 1)
    trial = bench.state.trials[0]
    assert (trial.status, trial.cause, trial.message) == (INTERRUPTED, CANCELLED, why)
    assert executor.killed


def test_news_that_cant_be_read_end_no_trial():
    """A worker whose database is damaged or away still has its trial's result to save."""
    bench = Bench(max_trials=1)
    worker = bench.worker(executor := Parallel(1, lambda one: script(one)))
    looks = []

    def position() -> int:
        looks.append(True)
        raise DamagedDatabase("the file was cut to 0 bytes", "Put the copy back.")

    def script(one: Parallel) -> None:
        if len(looks) < 3:
            worker._journal.storage.position = position
            time.sleep(0.03)
            return
        del worker._journal.storage.position
        one.end(0)

    assert worker.run().completed == 1
    assert not executor.killed
