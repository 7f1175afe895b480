"""What a job runs: it reads its settings, opens the database, and lets a worker work.

Launchers call :func:`run_job`. What a worker consists of is in ``runtime``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orion_hpc.errors import NoConfigurationError, StorageError, StorageUnusable
from orion_hpc.executors import limits
from orion_hpc.executors.base import Executor, make_executor
from orion_hpc.journal.base import Storage
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import TIMED_OUT
from orion_hpc.sharedfs import layout, process_identity
from orion_hpc.slurm.own_job import OwnJob, in_batch_job, own_job, requested_memory
from orion_hpc.text import counted
from orion_hpc.worker.failure import failure
from orion_hpc.worker.job_spec import JobSpec, kinds, read_job_spec
from orion_hpc.worker.leaving import leave
from orion_hpc.worker.loop import Worker
from orion_hpc.worker.portable import read_packed
from orion_hpc.worker.recorder import Summary
from orion_hpc.worker.recovery import MARK, ExperimentFiles
from orion_hpc.worker.resource_usage import own_peak
from orion_hpc.worker.runtime import WorkerRuntime
from orion_hpc.worker.runtime_options import RuntimeOptions
from orion_hpc.worker.shutdown import StopNotice, grace_of
from orion_hpc.worker.task import CallableTarget, CommandTarget, FunctionTarget, Target
from orion_hpc.worker.walltime import notice_before_limit

log = logging.getLogger("orion_hpc.worker")

WAIT_FOR_EXPERIMENT = 90.0
"""Seconds. A job may start before its submission is through, and a client of a network file system
may not see a new file for a minute."""

WAIT_FOR_REOPENING = 30.0
"""Seconds, the same for an experiment that was closed."""

_A_YEAR = 360 * 86400.0


def run_job(job: JobSpec | str, wait: float = WAIT_FOR_EXPERIMENT) -> Summary:
    """Work until there is nothing left to do; must run in the main thread.

    Parameters
    ----------
    job : JobSpec or str
        The settings, or the path of their file; then an error is reported beside that file.
    wait : float
        Seconds to wait for that file, and for the experiment, to appear.

    Raises
    ------
    ConfigurationError, NoConfigurationError, StorageError
        The settings or the experiment can't be read.
    """
    _log_to_stderr()
    try:
        return _run_job(read_job_spec(job, wait) if isinstance(job, str) else job, wait)
    except Exception as error:
        if isinstance(job, str):
            _report(error, os.path.dirname(job))
        raise


def _report(error: Exception, folder: str) -> None:
    """Write why this job's worker failed into the launch's folder, for ``status``.

    Not into the journal: it may be what can't be opened.
    """
    job = process_identity.own().job.partition(".")[0].removeprefix("local-")
    why = failure(error)
    with contextlib.suppress(OSError):
        Path(layout.start_report(folder, job)).write_text(
            "\n".join(filter(None, (why.message, why.detail))) + "\n", encoding="utf-8"
        )


def _run_job(spec: JobSpec, wait: float) -> Summary:
    """Open the database and let a worker work; see :func:`run_job`."""
    stop = StopNotice()

    def stopped() -> bool:
        return bool(stop.cause)

    def wanted(experiment: ExperimentState) -> bool:
        return (experiment.name, experiment.version) == (spec.name, spec.version)

    storage, experiment = _find(
        spec.storage, spec.name, spec.version, wanted, wait, stopped, bare=spec.function is not None
    )
    if spec.reopens:
        experiment = _await_reopening(storage, experiment.number, stop)
    if storage.group:
        # What a trial leaves is for its next attempt, which may be another member's.
        os.umask(0o007)
    return run_worker(storage, experiment, spec, stop)


def _find(
    path: str,
    name: str,
    version: int | None,
    follows: Callable[[ExperimentState], bool],
    wait: float,
    hurried: Callable[[], bool] = lambda: False,
    bare: bool = False,
) -> tuple[PickledDB, ExperimentState]:
    """Open the database and return it with the experiment; wait ``wait`` seconds for it.

    ``bare``: also if the database doesn't say what its trials run.
    """
    deadline = time.monotonic() + wait
    while True:
        late = time.monotonic() >= deadline
        try:
            storage = PickledDB(path, follows=follows, hurried=hurried)
            experiment = storage.refresh().find(name, version)
            if experiment is not None and (bare or not experiment.is_bare):
                return storage, experiment
            storage.close()
        except StorageUnusable:
            if late:
                raise
        if late:
            which = f" version {version}" if version is not None else ""
            if experiment is not None:
                raise NoConfigurationError(
                    f"nothing says what its trials run of the experiment {name!r}{which}: it was "
                    "imported, or made by a Python program",
                    "'orion-hpc submit CONFIG' does, with the same name, space and algorithm.",
                )
            raise NoConfigurationError(
                f"there is no experiment {name!r}{which} in {path}",
                f"'orion-hpc status --storage {shlex.quote(path)}' lists those there are.",
            )
        time.sleep(0.2)


def _await_reopening(storage: PickledDB, number: int, stop: StopNotice) -> ExperimentState:
    """Wait until the experiment is open: the job may start before the event that reopens it.

    Not for long, since it may also be late, and all was done meanwhile.
    """
    deadline = time.monotonic() + WAIT_FOR_REOPENING
    while True:
        experiment = storage.refresh().experiments[number]
        closed = experiment.is_done or not experiment.is_open
        if not closed or stop.cause is not None or time.monotonic() >= deadline:
            return experiment
        time.sleep(0.2)


def run_worker(
    storage: Storage, experiment: ExperimentState, spec: JobSpec, stop: StopNotice
) -> Summary:
    """Run one worker of ``experiment`` on an open storage."""
    cpus, began = spec.cpus or available_cpus(os.environ), time.time()
    name, batch_job = str(process_identity.own()), own_job(os.environ)
    # Inherited by all that is started from here on: what outlives this process can be found by it.
    os.environ[MARK] = name
    executor = make_executor(spec.executor, spec.n_workers, cpus, **spec.options)
    if executor.in_process:
        os.environ.update(limits.environment(cpus, os.environ))
    runtime = _runtime(storage, experiment, spec, name, executor, stop)
    at_once = counted(spec.n_workers, "trial")
    log.info("worker %s: %s, %s at once", name, counted(cpus, "CPU"), at_once)
    in_job = in_batch_job(os.environ)
    noticed = notice_before_limit(stop, batch_job, spec.grace, runtime.awake)
    with stop.listening(in_job=in_job), noticed:
        # Without its algorithm there is no worker, and so no sign of life.
        worker = _make_worker(runtime, executor)
        with runtime.alive():
            try:
                summary = worker.run()
                runtime.in_order = True
                # Trials of this very process have its memory in their own figures.
                peak = 0 if executor.in_process else own_peak()
                memory, whole = requested_memory(os.environ, cpus), _limit(stop.whole)
                facts = (cpus, spec.n_workers, memory, whole, peak)
                left = ev.LeaveWorker(name, began, time.time(), *facts)
                stop.await_suspension()
                with contextlib.suppress(StorageError):  # it is computed from its trials then
                    storage.transact(experiment.number, lambda state: [left])
            finally:
                # Whatever went wrong, no process of a trial outlives its worker.
                executor.close(kill=True)
        log.info(
            "worker leaves: %s (trials completed: %d, broken: %d, interrupted: %d, lost: %d)",
            summary.reason, summary.completed, summary.broken, summary.interrupted, summary.lost,
        )  # fmt: skip
        # While signals are still handled: Slurm sends one when it requeues.
        if batch_job is not None:
            state = storage.state.experiments[experiment.number]
            summary = _leave_job(batch_job, state, spec, summary, stop)
    storage.close()
    return summary


def _make_worker(runtime: WorkerRuntime, executor: Executor) -> Worker:
    """Return the runtime's worker; close the executor if it can't be made."""
    try:
        return runtime.make_worker()
    except BaseException:
        executor.close(kill=True)
        raise


def _runtime(
    storage: Storage,
    experiment: ExperimentState,
    spec: JobSpec,
    name: str,
    executor: Executor,
    stop: StopNotice,
) -> WorkerRuntime:
    """Return the runtime of the job's worker, which is called ``name``."""
    if spec.imports:
        _search_in(spec.imports)
    target: Target
    if spec.function is None:
        target = target_of(experiment.configuration, spec.path)
    else:
        target = CallableTarget(read_packed(spec.function), spec.trial_arg)
        if spec.path is not None:
            sys.path.insert(0, spec.path)  # where the modules are that the function comes from
    in_job = in_batch_job(os.environ)
    options = RuntimeOptions(
        name=name,
        heartbeat=spec.heartbeat,
        idle_timeout=spec.idle_timeout,
        n_workers=spec.n_workers,
        on_suspend=spec.on_suspend,
        trial_time=spec.trial_time,
    )
    return WorkerRuntime(
        storage,
        experiment,
        ExperimentFiles.beside(spec.storage, experiment),
        executor,
        target,
        stop,
        grace_of(spec.grace, target, spec.kill_wait if in_job else None),
        options,
    )


def _leave_job(
    job: OwnJob, state: ExperimentState, spec: JobSpec, summary: Summary, stop: StopNotice
) -> Summary:
    """Requeue this job or cancel those that wait; return the summary with what was done."""
    folder = layout.jobs_folder(spec.storage, state.title)
    cause = TIMED_OUT if summary.too_late else stop.cause
    cleared = leave(job, state, cause, folder, spec.max_requeues)
    return replace(summary, cleared=cleared, over=state.is_done or not state.is_open)


def _limit(whole: float) -> float | None:
    """Return the job's time limit, of which ``whole`` was left soon after its start.

    Slurm's limits are minutes, and one of a year is none (slurm.conf, MaxTime).
    """
    return None if not 0 < whole < _A_YEAR else -(-whole // 60) * 60.0


def _search_in(folders: Sequence[str]) -> None:
    """Search ``folders`` for modules first, in this process and all that it starts."""
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *others])
    sys.path[:0] = folders


def _log_to_stderr() -> None:
    """Write this package's records to the job's log, and leave other libraries' loggers alone."""
    ours = logging.getLogger("orion_hpc")
    if not ours.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
        ours.propagate = False


def target_of(
    configuration: Mapping[str, Any], path: str | None = None
) -> FunctionTarget | CommandTarget:
    """Return what the experiment's trials run, found in ``path`` or where the database says."""
    path = path or configuration["path"]
    if configuration.get("command"):
        return CommandTarget(argv=tuple(configuration["command"]), path=path)
    return FunctionTarget(
        path=path,
        name=configuration["function"],
        kwargs=configuration["kwargs"],
        trial_arg=configuration["trial_arg"],
    )


def available_cpus(environ: Mapping[str, str]) -> int:
    """Return the job's CPUs as Slurm says, else those that this process may run on."""
    for variable in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if environ.get(variable, "").isdecimal():
            return int(environ[variable])
    return len(os.sched_getaffinity(0))


def run_recorded(chosen: Mapping[str, Any], wait: float) -> Summary:
    """Work with the settings that the experiment was created with, where ``chosen`` has none.

    Parameters
    ----------
    chosen : mapping of str to object
        Fields of :class:`JobSpec`; ``storage`` and ``name`` are among them.
    wait : float
        Seconds to wait for the experiment to appear.
    """
    bare = chosen.get("function") is not None
    storage, name, version = chosen["storage"], chosen["name"], chosen.get("version")
    database, experiment = _find(storage, name, version, lambda found: False, wait, bare=bare)
    database.close()
    recorded = {
        name: value
        for name, value in (experiment.configuration.get("worker") or {}).items()
        if name in kinds()  # a later version may record more
    }
    there = {"storage": database.path, "version": experiment.version}
    return run_job(JobSpec(**{**recorded, **chosen, **there}))
