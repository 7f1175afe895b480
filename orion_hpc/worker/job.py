"""What a job runs: it sets a worker up from the database and a few settings, and lets it work.

This is the function that launchers pickle, by name only; all it needs to know fits in a
:class:`WorkerJob`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orion_hpc.algorithms.base import make_algorithm
from orion_hpc.errors import NoConfigurationError, StorageUnusable
from orion_hpc.executors import limits
from orion_hpc.executors.base import make_executor
from orion_hpc.files import identity, layout
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import CANCELLED, INTERRUPTED, Trial
from orion_hpc.storage.base import Storage
from orion_hpc.storage.heartbeat import Heartbeat, Watch
from orion_hpc.storage.pickleddb import PickledDB
from orion_hpc.worker.attempt import run_task
from orion_hpc.worker.loop import Summary, Worker, WorkerOptions
from orion_hpc.worker.recovery import MARK, Recovery
from orion_hpc.worker.stop import StopNotice
from orion_hpc.worker.task import CommandTarget, FunctionTarget, Outcome, TrialTask

log = logging.getLogger("orion_hpc.worker")

WAIT_FOR_EXPERIMENT = 90.0
"""Seconds. A job may start before its submission is through, and a client of a network file system
may go on believing for a minute that a file isn't there."""


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """The settings of one job; plain data.

    Attributes
    ----------
    storage : str
        Absolute path of the database.
    name, version : str, int
        The experiment.
    n_workers : int
        Trials at once.
    executor : str
        Name of the inner pool.
    heartbeat, idle_timeout : float
        Seconds.
    cpus : int or None
        CPUs of the job; None: what the job or, outside of one, the machine offers.
    path : str or None
        Directory of the function's module or the script; None: the one that the database records.
    """

    storage: str
    name: str
    version: int
    n_workers: int
    executor: str
    heartbeat: float
    idle_timeout: float
    cpus: int | None = None
    path: str | None = None


def run_job(job: WorkerJob) -> Summary:
    """Work as ``job`` says until there is nothing left to do; must run in the main thread."""
    _log_to_stderr()

    def wanted(experiment: ExperimentState) -> bool:
        return (experiment.name, experiment.version) == (job.name, job.version)

    stop = StopNotice()
    storage, experiment = _find(
        job.storage, job.name, job.version, wanted, WAIT_FOR_EXPERIMENT, lambda: bool(stop.cause)
    )
    if storage.group:
        # What a trial leaves is for its next attempt, which may be another member's.
        os.umask(0o007)
    return run_worker(storage, experiment, job, stop)


def _find(
    path: str,
    name: str,
    version: int | None,
    follows: Callable[[ExperimentState], bool],
    wait: float,
    hurried: Callable[[], bool] = lambda: False,
) -> tuple[PickledDB, ExperimentState]:
    """Open the database and return it with the experiment, for which to wait ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while True:
        late = time.monotonic() >= deadline
        try:
            storage = PickledDB(path, follows=follows, hurried=hurried)
            experiment = storage.refresh().find(name, version)
            if experiment is not None and not experiment.is_bare:
                return storage, experiment
            storage.close()
        except StorageUnusable:
            if late:
                raise
        if late:
            which = f" version {version}" if version is not None else ""
            if experiment is not None:
                raise NoConfigurationError(
                    f"experiment {name!r}{which} was imported, and nothing says what its trials "
                    "run",
                    "'orion-hpc submit CONFIG' does, with the same name, space and algorithm.",
                )
            raise NoConfigurationError(
                f"there is no experiment {name!r}{which} in {path}",
                f"'orion-hpc status --storage {path}' lists those there are.",
            )
        time.sleep(0.2)


def run_worker(
    storage: Storage, experiment: ExperimentState, job: WorkerJob, stop: StopNotice
) -> Summary:
    """Run one worker of ``experiment`` on an open storage."""
    cpus = job.cpus or available_cpus(os.environ)
    who = identity.own()
    name = str(who)
    # Inherited by all that is started from here on: what outlives this process can be found by it.
    os.environ[MARK] = name
    signs = layout.workers_folder(job.storage, experiment.title)
    about = {"host": who.host, "pid": who.pid, "job": who.job, "n_workers": job.n_workers}
    heartbeat = Heartbeat(signs, name, job.heartbeat, about)
    executor = make_executor(job.executor, job.n_workers, cpus)
    if executor.in_process:
        os.environ.update(limits.environment(cpus, os.environ))
    algorithm = experiment.configuration["algorithm"]
    options = WorkerOptions(
        name=name,
        heartbeat=job.heartbeat,
        idle_timeout=job.idle_timeout,
        seed=seed_of(algorithm),
        max_attempts=experiment.configuration["max_attempts"],
    )
    target = target_of(experiment.configuration, job.path)
    folder_of = layout.trial_folders(
        job.storage, experiment.title, experiment.configuration["working_dir"]
    )

    def make_task(state: ExperimentState, trial: Trial) -> TrialTask:
        return TrialTask(
            target=target,
            number=trial.number,
            id=trial.id,
            attempt=trial.attempt,
            params=space.nest(trial.params),
            flat_params=trial.params,
            working_dir=folder_of(trial.number),
            experiment=state.name,
        )

    interrupted = Outcome(INTERRUPTED, cause=CANCELLED, message="interrupted")

    def run_here(task: TrialTask) -> Outcome:
        try:
            with stop.interrupting():
                outcome = run_task(task)
        except KeyboardInterrupt:  # just before or after the function
            outcome = interrupted
        stop.reclaim()
        # A function that caught the interruption and returned has returned half of its work.
        return interrupted if stop.interrupted else outcome

    space = Space.parse(experiment.configuration["space"])
    log.info("worker %s: %d CPUs, %d trials at once", name, cpus, job.n_workers)
    with stop.listening(in_job="SLURM_JOB_ID" in os.environ):
        heartbeat.start()
        orderly = False
        try:
            worker = Worker(
                storage=storage,
                number=experiment.number,
                algorithm=make_algorithm(algorithm, space),
                executor=executor,
                run=run_here if executor.in_process else run_task,
                make_task=make_task,
                recovery=Recovery(Watch(signs, job.heartbeat), folder_of),
                stop=stop,
                options=options,
            )
            summary = worker.run()
            orderly = True
        finally:
            # Whatever went wrong, no process of a trial outlives its worker. The sign of life goes
            # away only in good order: a trial that couldn't be released is found by its silence.
            executor.close(kill=True)
            heartbeat.stop(remove=orderly)
    log.info("worker leaves: %s", summary)
    storage.close()
    return summary


def _log_to_stderr() -> None:
    """Let this package's records into the job's log, and leave other libraries' loggers alone."""
    ours = logging.getLogger("orion_hpc")
    if not ours.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        ours.addHandler(handler)
        ours.setLevel(logging.INFO)
        ours.propagate = False


def seed_of(algorithm: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the seed in an algorithm's recorded configuration; 0 for one that takes none."""
    (options,) = algorithm.values()
    return int(options.get("seed") or 0)


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
    """Return the job's CPUs by Slurm's word, else those that this process may run on."""
    for variable in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if environ.get(variable, "").isdecimal():
            return int(environ[variable])
    return len(os.sched_getaffinity(0))


def run_recorded(
    storage: str,
    name: str,
    version: int | None,
    path: str | None,
    cpus: int | None,
    wait: float,
    chosen: Mapping[str, Any],
) -> Summary:
    """Work with the settings that the experiment was created with, where ``chosen`` has a None."""
    database, experiment = _find(storage, name, version, lambda experiment: False, wait)
    database.close()
    settings = dict(experiment.configuration["worker"])
    settings.update({key: value for key, value in chosen.items() if value is not None})
    return run_job(
        WorkerJob(
            storage=database.path,
            name=name,
            version=experiment.version,
            cpus=cpus,
            path=path,
            **settings,
        )
    )
