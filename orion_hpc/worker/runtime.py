"""The runtime of one worker: its sign of life, recovery, algorithm, tasks and loop, assembled.

Used by jobs and by ``workon``; a program that runs single trials itself takes the sign of life
alone. Opening the storage and making the executor are left to the caller.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.executors.base import Executor
from orion_hpc.journal.base import Storage
from orion_hpc.journal.heartbeat import Heartbeat
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import CANCELLED, INTERRUPTED, TrialRecord
from orion_hpc.sharedfs import process_identity
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.slurm.own_job import own_job
from orion_hpc.worker.attempt import run_task
from orion_hpc.worker.job_spec import OnSuspend
from orion_hpc.worker.job_states import CLUSTER, ON_SUSPEND
from orion_hpc.worker.loop import TrialRunner, Worker
from orion_hpc.worker.recorder import ExperimentJournal, Recorder
from orion_hpc.worker.recovery import ExperimentFiles, make_recovery
from orion_hpc.worker.runtime_options import RuntimeOptions
from orion_hpc.worker.scheduler import Scheduler
from orion_hpc.worker.shutdown import (
    Grace,
    NoticeFile,
    Shutdown,
    StopNotice,
    TrialInterrupter,
    notice_delay,
)
from orion_hpc.worker.task import Outcome, Target, TrialTask

_INTERRUPTED = Outcome(INTERRUPTED, cause=CANCELLED, message="interrupted")


def make_heartbeat(
    files: ExperimentFiles, name: str, interval: float, n_workers: int, on_suspend: OnSuspend
) -> Heartbeat | None:
    """Return the sign of life of a worker; None where no other process can see it."""
    if not files.is_shared:
        return None
    own, job = process_identity.own(), own_job(os.environ)
    about: dict[str, Any] = {
        "host": own.host, "pid": own.pid, "job": own.job, "n_workers": n_workers
    }  # fmt: skip
    if job is not None:
        about |= {CLUSTER: job.cluster, ON_SUSPEND: on_suspend}
    return Heartbeat(files.signs, name, interval, about)


@dataclass(frozen=True, slots=True)
class TrialHooks:
    """A program's functions that a worker calls.

    Attributes
    ----------
    ended : callable
        As the watcher of :class:`~orion_hpc.worker.recorder.Recorder`.
    prepare : callable
        Called with each trial that was reserved, before it begins.
    idle : callable
        Called when the worker would wait for a trial; returns whether there may be one now.
    """

    ended: Callable[[TrialRecord, Outcome], str] = lambda trial, outcome: ""
    prepare: Callable[[TrialRecord], None] = lambda trial: None
    idle: Callable[[], bool] = lambda: False


_NO_HOOKS = TrialHooks()


class WorkerRuntime:
    """One worker, assembled.

    Parameters
    ----------
    storage : Storage
        Open, for this worker alone.
    experiment : ExperimentState
    files : ExperimentFiles
    executor : Executor
        Closing it is left to the caller.
    target : Target
        What trials run.
    stop : StopNotice
        Its signals are handled by the caller.
    grace : Grace
        The time that running trials have after a stop notice.
    options : RuntimeOptions
        ``seed``, ``max_attempts`` and ``notice_delay`` are set here.

    Attributes
    ----------
    awake : AwakeClock
        Detects suspensions; the sign of life reads it often enough.
    in_order : bool
        To be set in the block of :meth:`alive` once everything that the worker held is released.
    """

    def __init__(
        self,
        storage: Storage,
        experiment: ExperimentState,
        files: ExperimentFiles,
        executor: Executor,
        target: Target,
        stop: StopNotice,
        grace: Grace,
        options: RuntimeOptions,
    ) -> None:
        configuration = experiment.configuration
        self.in_order = False
        self._options = replace(
            options,
            seed=seed_of(configuration["algorithm"]),
            max_attempts=configuration["max_attempts"],
            notice_delay=notice_delay(os.environ),
        )
        self._journal = ExperimentJournal(storage, experiment.number)
        self._experiment = experiment
        self._space = Space.parse(configuration["space"])
        self._files = files
        self._executor = executor
        self._target = target
        notice = NoticeFile(os.path.join(files.notices, options.name))
        self._shutdown = Shutdown(stop, notice, grace)
        n_workers = options.n_workers or executor.n_workers
        self._heartbeat = make_heartbeat(
            files, options.name, options.heartbeat, n_workers, options.on_suspend
        )
        self.awake = AwakeClock() if self._heartbeat is None else self._heartbeat.awake

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Give signs of life in the block; the last one stays unless :attr:`in_order`.

        A trial that couldn't be released is found by the silence of its worker.

        Raises
        ------
        StorageError
            The sign of life can't be written.
        """
        beat = self._heartbeat
        if beat is not None:
            beat.start()
        try:
            yield
        finally:
            if beat is not None:
                beat.stop(remove=self.in_order)

    def make_worker(self, hooks: TrialHooks = _NO_HOOKS) -> Worker:
        """Return the worker, ready to run.

        Raises
        ------
        ConfigurationError
            The algorithm that the experiment records isn't there.
        """
        options, stop = self._options, self._shutdown.stop
        awake = time.monotonic if self._heartbeat is None else self.awake
        recovery = make_recovery(self._files, options.heartbeat, awake)
        algorithm = make_algorithm(self._experiment.configuration["algorithm"], self._space)
        in_process = self._executor.in_process
        run = _own_thread_runner(self._shutdown) if in_process else run_task
        return Worker(
            self._journal,
            Scheduler(self._journal, algorithm, recovery, stop, options),
            Recorder(self._journal, recovery, stop, options, hooks.ended),
            self._shutdown,
            TrialRunner(self._executor, run, partial(self._make_task, hooks.prepare)),
            options,
            awake,
            hooks.idle,
        )

    def _make_task(
        self, prepare: Callable[[TrialRecord], None], state: ExperimentState, trial: TrialRecord
    ) -> TrialTask:
        prepare(trial)
        folder_of = self._files.folder_of
        parent = None if trial.parent is None else state.trials[trial.parent]
        return TrialTask(
            target=self._target,
            number=trial.number,
            id=trial.id,
            attempt=trial.attempt,
            params=self._space.nest(trial.params),
            flat_params=trial.params,
            working_dir=folder_of(trial.number),
            experiment=state.name,
            notice=self._shutdown.file.path,
            parent=None if parent is None else parent.id,
            parent_dir=None if parent is None else folder_of(parent.number),
            version=state.version,
            fidelity=self._space.fidelity,
            submit_time=trial.submit_time,
            start_time=trial.start_time,
            worker=trial.worker,
        )


def _own_thread_runner(shutdown: Shutdown) -> Callable[[TrialTask], Outcome]:
    """Return what runs a task in the worker's own thread, and lets a notice interrupt it."""
    interrupter, stop = TrialInterrupter(shutdown), shutdown.stop
    patient = shutdown.grace.seconds > 0

    def run(task: TrialTask) -> Outcome:
        try:
            with interrupter.watching(), stop.interrupting(patient=patient):
                outcome = run_task(task)
        except KeyboardInterrupt:  # just before or after the function
            outcome = _INTERRUPTED
        stop.reinstall()
        # A function that caught the interruption and returned has returned half of its work.
        return _INTERRUPTED if stop.interrupted else outcome

    return run


def seed_of(algorithm: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the seed in an algorithm's recorded configuration; 0 for one that takes none."""
    (options,) = algorithm.values()
    return int(options.get("seed") or 0)
