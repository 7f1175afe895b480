"""Runs a Python function on an experiment's trials, in the calling process and its executor.

How trials are reserved, run and recorded is left to ``worker``, as in a job; what errors of trials
mean to the caller is decided here.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orion_hpc.client.progress_bar import progress_bar
from orion_hpc.client.session import new_name
from orion_hpc.errors import BrokenExperiment, InvalidResult, LazyWorkers, StorageError
from orion_hpc.executors.base import Executor
from orion_hpc.experiments.location import Place
from orion_hpc.journal.base import Storage
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, CANCELLED, TrialRecord
from orion_hpc.slurm.own_job import in_batch_job
from orion_hpc.text import counted
from orion_hpc.worker.job_spec import OnSuspend
from orion_hpc.worker.portable import pack, unpack_error
from orion_hpc.worker.recorder import Summary
from orion_hpc.worker.recovery import MARK
from orion_hpc.worker.runtime import TrialHooks, WorkerRuntime
from orion_hpc.worker.runtime_options import RuntimeOptions
from orion_hpc.worker.shutdown import KILL_WAIT, NO_GRACE, StopNotice, grace_of
from orion_hpc.worker.task import CallableTarget, Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """The arguments of :meth:`ExperimentClient.workon`.

    ``progress``: whether a progress bar is shown; None: on a terminal and in a notebook.

    ``on_error`` is called with the trial, the exception and the number of broken trials so far, and
    returns whether it counts; ``prepare_trial`` with a trial before it begins; ``idle`` as that of
    :class:`~orion_hpc.worker.runtime.TrialHooks`.
    """

    function: Callable[..., Any]
    kwargs: dict[str, Any]
    trial_arg: str | None
    n_workers: int
    max_trials: int | None
    max_trials_per_worker: int | None
    max_broken: int | None
    on_error: Callable[[TrialRecord, BaseException, int], bool] | None
    prepare_trial: Callable[[TrialRecord], None]
    idle: Callable[[], bool]
    heartbeat: float
    on_suspend: OnSuspend
    idle_timeout: float
    impatient: bool
    grace: float
    progress: bool | None


class _Judge:
    """Decides after each trial whether to go on."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._broken = 0
        self.error: Exception | None = None

    def watch(self, trial: TrialRecord, outcome: Outcome) -> str:
        if outcome.status != BROKEN:
            return ""
        error = unpack_error(outcome.error, outcome.message)
        counts = True
        if self._run.on_error is not None:
            counts = self._run.on_error(trial, error, self._broken + 1) is not False
        elif isinstance(error, InvalidResult):
            # Not this trial's fault: the function returns what isn't a result.
            raise error
        self._broken += counts
        most = self._run.max_broken
        if counts and most is not None and self._broken >= most:
            self.error = BrokenExperiment(
                f"{counted(self._broken, 'trial')} of this call broke, the last one, "
                f"{trial.number}, by: {outcome.message}",
                "max_broken says how many may be.",
            )
            return "too many trials are broken"
        return ""


def run_trials(
    place: Place,
    experiment: ExperimentState,
    executor: Executor,
    run: Run,
    left: set[str],
) -> Summary:
    """Run trials until there are no more; return what was done.

    ``left`` gets the worker's name if there was no time to release its trials.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C: what ran is released as interrupted. A second one doesn't wait for that.
    BrokenExperiment, LazyWorkers, InvalidResult, StorageError
        As :meth:`ExperimentClient.workon` says.
    """
    name, stop, judge = new_name(), StopNotice(), _Judge(run)
    storage = _open(place, experiment)
    runtime = _runtime(storage, place, experiment, executor, run, name, stop)
    bar = progress_bar(run.progress, run.max_trials)
    closing = contextlib.closing(storage)
    with bar as show, _environment(name), _listening(stop), closing, runtime.alive():

        def watch(trial: TrialRecord, outcome: Outcome) -> str:
            show(storage.state.experiments[experiment.number])
            return judge.watch(trial, outcome)

        show(storage.state.experiments[experiment.number])
        worker = runtime.make_worker(TrialHooks(watch, run.prepare_trial, run.idle))
        try:
            summary = worker.run()
        except BaseException as error:
            left.add(name)
            if stop.count > 1:
                # No time for more: the lock may be long in coming. They are released later.
                executor.close(kill=True)
                raise
            worker.abandon(CANCELLED, f"the run ended with {type(error).__name__}")
            left.discard(name)
            runtime.in_order = True
            raise
        runtime.in_order = True
    if stop.cause is not None and not stop.why:
        if stop.signal != "SIGINT":
            place.discard()  # the program may end by it, and nothing else would
        _pass_on(stop)
    if judge.error is not None:
        raise judge.error
    return summary


def _open(place: Place, experiment: ExperimentState) -> Storage:
    """Open the storage; StorageError if the experiment isn't there any more."""
    number = experiment.number
    storage = place.open(lambda one: one.number == number)
    found = storage.refresh().experiments
    if number not in found or _which(found[number]) != _which(experiment):
        storage.close()
        raise StorageError(
            f"{place.name} isn't the database any more that {experiment.title} was opened in",
            "Build or get the experiment again.",
        )
    return storage


def _runtime(
    storage: Storage,
    place: Place,
    experiment: ExperimentState,
    executor: Executor,
    run: Run,
    name: str,
    stop: StopNotice,
) -> WorkerRuntime:
    """Return the runtime of the worker ``name`` for ``run``."""
    bound = functools.partial(run.function, **run.kwargs) if run.kwargs else run.function
    here = executor.in_process or getattr(executor, "shares_memory", False)
    target = CallableTarget(bound if here else pack(bound), run.trial_arg)
    # A person who presses Ctrl-C in a program or a notebook waits for the prompt.
    in_job = in_batch_job(os.environ)
    grace = grace_of(run.grace, target, KILL_WAIT) if in_job else NO_GRACE
    options = RuntimeOptions(
        name=name,
        heartbeat=run.heartbeat,
        idle_timeout=run.idle_timeout,
        n_workers=run.n_workers,
        on_suspend=run.on_suspend,
        max_trials=run.max_trials,
        max_attempts_here=run.max_trials_per_worker,
        impatient=run.impatient,
    )
    files = place.files_of(experiment)
    return WorkerRuntime(storage, experiment, files, executor, target, stop, grace, options)


def _which(experiment: ExperimentState) -> tuple[str, int, float]:
    return experiment.name, experiment.version, experiment.create_time


def broken_error(state: ExperimentState) -> BrokenExperiment:
    """Return the error that says why an experiment is broken, with the last traceback."""
    broken = state.having(BROKEN)
    last = broken[-1]
    lines = (last.message or last.cause or "").splitlines() or [""]
    detail = "\n".join(lines[1:])
    return BrokenExperiment(
        f"experiment {state.title} is broken: {counted(len(broken), 'trial')} broke, and "
        f"max_broken is {state.max_broken}. The last one, {last.number}, by: "
        + (detail if detail.startswith("Traceback") else lines[0]),
        "Fix the cause, and build the experiment with a higher max_broken to go on.",
    )


def lazy_error() -> LazyWorkers:
    """Return the error of a run that had no trial for too long."""
    return LazyWorkers(
        "there was no trial to be run for longer than the idle timeout: others hold what is left",
        "Give a longer idle_timeout to wait for them.",
    )


_marks: list[str | None] = []
"""What the mark was before any run, and the workers of those under way here, the latest last."""

_marking = threading.Lock()


@contextlib.contextmanager
def _environment(worker: str) -> Iterator[None]:
    """Mark what is started in the block as this worker's, so that it can be found if it is lost.

    Of runs in several threads that overlap, the latest one's mark stands.
    """
    with _marking:
        if not _marks:
            _marks.append(os.environ.get(MARK))
        _marks.append(worker)
        os.environ[MARK] = worker
    try:
        yield
    finally:
        with _marking:
            _marks.remove(worker)
            latest = _marks[-1]
            if len(_marks) == 1:
                _marks.clear()
            if os.environ.get(MARK) == worker:  # the function may have changed it
                del os.environ[MARK]
                if latest is not None:
                    os.environ[MARK] = latest


@contextlib.contextmanager
def _listening(stop: StopNotice) -> Iterator[None]:
    """Handle the signals that stop a run, where that is possible: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    in_job = in_batch_job(os.environ)
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    numbers += [signal.SIGUSR1, signal.SIGUSR2] if in_job else []
    with stop.listening(in_job, numbers, impatient=True):
        yield


def _pass_on(stop: StopNotice) -> None:
    """Raise the signal again, for whatever would have handled it without this package."""
    signal.raise_signal(signal.Signals[stop.signal])
    raise KeyboardInterrupt(stop.signal)  # it has a handler that returns
