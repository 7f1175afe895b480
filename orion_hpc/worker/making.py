"""Puts a worker together: its algorithm, its tasks, and how one is run in this executor.

For whoever has a storage open and an executor made: a job, or a Python program.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.executors.base import Executor
from orion_hpc.journal.base import Storage
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import CANCELLED, INTERRUPTED, Trial
from orion_hpc.worker.attempt import run_task
from orion_hpc.worker.herald import Herald
from orion_hpc.worker.loop import Worker, WorkerOptions
from orion_hpc.worker.notice import Notice
from orion_hpc.worker.recovery import Recovery
from orion_hpc.worker.stop import StopNotice
from orion_hpc.worker.task import Outcome, Target, TrialTask

_INTERRUPTED = Outcome(INTERRUPTED, cause=CANCELLED, message="interrupted")


def make_worker(
    storage: Storage,
    experiment: ExperimentState,
    executor: Executor,
    target: Target,
    recovery: Recovery,
    folder_of: Callable[[int], str],
    stop: StopNotice,
    options: WorkerOptions,
    notice: Notice | None = None,
    watcher: Callable[[Trial, Outcome], str] = lambda trial, outcome: "",
    prepare: Callable[[Trial], None] = lambda trial: None,
    awake: Callable[[], float] = time.monotonic,
) -> Worker:
    """Return a worker of ``experiment``.

    ``folder_of`` gives a trial's working directory, ``notice`` tells trials of a stop notice,
    ``prepare`` is called with each trial that was reserved, before it begins, and ``awake`` is as
    of :class:`Worker`.

    Raises
    ------
    ConfigurationError
        The algorithm that the experiment records isn't there.
    """
    notice = notice or Notice(None)
    space = Space.parse(experiment.configuration["space"])

    def make_task(state: ExperimentState, trial: Trial) -> TrialTask:
        prepare(trial)
        parent = None if trial.parent is None else state.trials[trial.parent]
        return TrialTask(
            target=target,
            number=trial.number,
            id=trial.id,
            attempt=trial.attempt,
            params=space.nest(trial.params),
            flat_params=trial.params,
            working_dir=folder_of(trial.number),
            experiment=state.name,
            notice=notice.path,
            parent=None if parent is None else parent.id,
            parent_dir=None if parent is None else folder_of(parent.number),
        )

    herald = Herald(stop, notice, options.grace)

    def run_here(task: TrialTask) -> Outcome:
        try:
            with herald.at_hand(), stop.interrupting(patient=options.grace.seconds > 0):
                outcome = run_task(task)
        except KeyboardInterrupt:  # just before or after the function
            outcome = _INTERRUPTED
        stop.reclaim()
        # A function that caught the interruption and returned has returned half of its work.
        return _INTERRUPTED if stop.interrupted else outcome

    return Worker(
        storage=storage,
        number=experiment.number,
        algorithm=make_algorithm(experiment.configuration["algorithm"], space),
        executor=executor,
        run=run_here if executor.in_process else run_task,
        make_task=make_task,
        recovery=recovery,
        stop=stop,
        options=options,
        notice=notice,
        watcher=watcher,
        awake=awake,
    )


def seed_of(algorithm: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the seed in an algorithm's recorded configuration; 0 for one that takes none."""
    (options,) = algorithm.values()
    return int(options.get("seed") or 0)
