"""What a job runs: it sets a worker up from the database and a few settings, and lets it work.

This is the function that launchers pickle, by name only; all it needs to know fits in a
:class:`WorkerJob`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from orion_hpc.errors import NoConfigurationError, StorageError, StorageUnusable
from orion_hpc.executors import limits
from orion_hpc.executors.base import make_executor
from orion_hpc.journal.base import Storage
from orion_hpc.journal.heartbeat import Heartbeat, Watch
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import TIMED_OUT
from orion_hpc.sharedfs import layout, process_identity
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.slurm.own_job import OwnJob, own_job, requested_memory
from orion_hpc.worker.grace import GRACE, KILL_WAIT, grace_of, time_to_notice
from orion_hpc.worker.job_states import CLUSTER, ON_SUSPEND, JobStates, OnSuspend
from orion_hpc.worker.leaving import MAX_REQUEUES, leave
from orion_hpc.worker.loop import Summary, WorkerOptions
from orion_hpc.worker.making import make_worker, seed_of
from orion_hpc.worker.notice import Notice
from orion_hpc.worker.portable import read_packed
from orion_hpc.worker.recovery import MARK, Recovery
from orion_hpc.worker.resource_usage import own_peak
from orion_hpc.worker.stop import StopNotice, in_batch_job, notice_delay
from orion_hpc.worker.task import CallableTarget, CommandTarget, FunctionTarget, Target
from orion_hpc.worker.walltime import TrialTime

log = logging.getLogger("orion_hpc.worker")

WAIT_FOR_EXPERIMENT = 90.0
"""Seconds. A job may start before its submission is through, and a client of a network file system
may go on believing for a minute that a file isn't there."""

_A_YEAR = 360 * 86400.0

WAIT_FOR_REOPENING = 30.0
"""Seconds, the same for an experiment that was closed."""

_MOVED = 5.0
"""Seconds. Slurm's answer is taken for a later time limit from so much on."""

_TRIES_RESUMED = 3
"""Of asking for the new limit after a suspension, when many jobs ask."""


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
    on_suspend : "auto", "keep" or "release"
        What becomes of its trials while this job is suspended; see
        :data:`~orion_hpc.worker.job_states.OnSuspend`.
    cpus : int or None
        CPUs of the job; None: what the job or, outside of one, the machine offers.
    path : str or None
        Directory of the function's module or the script; None: the one that the database records.
    grace : float
        Seconds that running trials have after a stop notice.
    kill_wait : float
        Seconds from SIGTERM to SIGKILL in a batch job.
    max_requeues : int
        How often this job may go back into the queue at its time limit.
    trial_time : float, "auto" or "off"
        As of :func:`~orion_hpc.worker.walltime.is_too_late`.
    function : str or None
        The file that holds a Python program's function (:mod:`orion_hpc.worker.portable`), instead
        of what the database says that trials run.
    trial_arg : str or None
        Of that function.
    imports : tuple of str
        Directories in which modules are searched before others, those of ``path`` aside.
    reopens : bool
        Whether the experiment was closed when the job was submitted: its reopening is waited for.
    options : mapping
        The executor's own.
    """

    storage: str
    name: str
    version: int
    n_workers: int
    executor: str
    heartbeat: float
    idle_timeout: float
    on_suspend: OnSuspend = "auto"
    cpus: int | None = None
    path: str | None = None
    grace: float = GRACE
    kill_wait: float = KILL_WAIT
    max_requeues: int = MAX_REQUEUES
    trial_time: TrialTime = "auto"
    function: str | None = None
    trial_arg: str | None = None
    imports: tuple[str, ...] = ()
    reopens: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def run_job(job: WorkerJob) -> Summary:
    """Work as ``job`` says until there is nothing left to do; must run in the main thread."""
    _log_to_stderr()

    def wanted(experiment: ExperimentState) -> bool:
        return (experiment.name, experiment.version) == (job.name, job.version)

    stop = StopNotice()
    storage, experiment = _find(
        job.storage,
        job.name,
        job.version,
        wanted,
        WAIT_FOR_EXPERIMENT,
        lambda: bool(stop.cause),
        bare=job.function is not None,
    )
    if job.reopens:
        experiment = _await_reopening(storage, experiment.number, stop)
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
    bare: bool = False,
) -> tuple[PickledDB, ExperimentState]:
    """Open the database and return it with the experiment, for which to wait ``wait`` seconds.

    ``bare``: also if nothing says there what its trials run.
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
                f"'orion-hpc status --storage {path}' lists those there are.",
            )
        time.sleep(0.2)


def _await_reopening(storage: PickledDB, number: int, stop: StopNotice) -> ExperimentState:
    """Wait until there is something to do: the job may be faster than the words that it is for.

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
    storage: Storage, experiment: ExperimentState, job: WorkerJob, stop: StopNotice
) -> Summary:
    """Run one worker of ``experiment`` on an open storage."""
    cpus, began = job.cpus or available_cpus(os.environ), time.time()
    who = process_identity.own()
    name = str(who)
    # Inherited by all that is started from here on: what outlives this process can be found by it.
    os.environ[MARK] = name
    signs = layout.workers_folder(job.storage, experiment.title)
    batch_job = own_job(os.environ)
    about = {"host": who.host, "pid": who.pid, "job": who.job, "n_workers": job.n_workers}
    if batch_job is not None:
        about |= {CLUSTER: batch_job.cluster, ON_SUSPEND: job.on_suspend}
    heartbeat = Heartbeat(signs, name, job.heartbeat, about)
    executor = make_executor(job.executor, job.n_workers, cpus, **job.options)
    if executor.in_process:
        os.environ.update(limits.environment(cpus, os.environ))
    if job.imports:
        _search_in(job.imports)
    in_job = in_batch_job(os.environ)
    target: Target = (
        CallableTarget(read_packed(job.function), job.trial_arg)
        if job.function is not None
        else target_of(experiment.configuration, job.path)
    )
    options = WorkerOptions(
        name=name,
        heartbeat=job.heartbeat,
        idle_timeout=job.idle_timeout,
        seed=seed_of(experiment.configuration["algorithm"]),
        max_attempts=experiment.configuration["max_attempts"],
        notice_delay=notice_delay(os.environ),
        trial_time=job.trial_time,
        grace=grace_of(job.grace, target, job.kill_wait if in_job else None),
    )
    notice = Notice(os.path.join(layout.notices_folder(job.storage, experiment.title), name))
    if job.function is not None and job.path is not None:
        sys.path.insert(0, job.path)  # where the modules are that the function comes from
    folder_of = layout.trial_folders(
        job.storage, experiment.title, experiment.configuration["working_dir"]
    )
    log.info("worker %s: %d CPUs, %d trials at once", name, cpus, job.n_workers)
    awake = heartbeat.awake
    with stop.listening(in_job=in_job), _time_limit(stop, batch_job, job.grace, awake):
        heartbeat.start()
        orderly = False
        try:
            states = JobStates(signs, for_worker=True)
            watch = Watch(signs, job.heartbeat, states, awake)
            recovery = Recovery(watch, folder_of, states.causes)
            worker = make_worker(
                storage, experiment, executor, target, recovery, folder_of, stop, options, notice,
                awake=awake,
            )  # fmt: skip
            summary = worker.run()
            orderly = True
            # Trials of this very process have its memory told with theirs.
            peak = 0 if executor.in_process else own_peak()
            facts = (cpus, job.n_workers, requested_memory(os.environ, cpus), _limit(stop.whole))
            left = ev.LeaveWorker(name, began, time.time(), *facts, peak)
            stop.await_suspension()
            with contextlib.suppress(StorageError):  # it is reckoned from its trials then
                storage.transact(experiment.number, lambda state: [left])
        finally:
            # Whatever went wrong, no process of a trial outlives its worker. The sign of life goes
            # away only in good order: a trial that couldn't be released is found by its silence.
            executor.close(kill=True)
            heartbeat.stop(remove=orderly)
        log.info(
            "worker leaves: %s (trials completed: %d, broken: %d, interrupted: %d, lost: %d)",
            summary.reason, summary.completed, summary.broken, summary.interrupted, summary.lost,
        )  # fmt: skip
        # While notices are still listened to: Slurm sends one when it requeues.
        if batch_job is not None:
            state = storage.state.experiments[experiment.number]
            jobs = layout.jobs_folder(job.storage, experiment.title)
            cause = TIMED_OUT if summary.too_late else stop.cause
            cleared = leave(batch_job, state, cause, jobs, job.max_requeues)
            over = state.is_done or not state.is_open
            summary = replace(summary, cleared=cleared, over=over)
    storage.close()
    return summary


def _limit(whole: float) -> float | None:
    """Return the job's time limit, of which ``whole`` was left soon after its start.

    Slurm's limits are minutes, and one of a year is none (slurm.conf, MaxTime).
    """
    return None if not 0 < whole < _A_YEAR else -(-whole // 60) * 60.0


def _search_in(folders: Sequence[str]) -> None:
    """Let this process and all that it starts look for modules in ``folders`` first."""
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *others])
    sys.path[:0] = folders


def _was_stopped(over: threading.Event, seconds: float, awake: AwakeClock) -> bool:
    """Wait for ``seconds``, or until ``over``; return early, and True, if this process was stopped
    meanwhile."""
    missed, end = awake.missed, time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0 and not over.wait(min(rest, AwakeClock.EVERY)):
        if awake.missed > missed:
            return True
    return awake.missed > missed


@contextlib.contextmanager
def _time_limit(
    stop: StopNotice, job: OwnJob | None, grace: float, awake: AwakeClock
) -> Iterator[None]:
    """Give the stop notice in time before the job's limit, which comes with little of its own.

    A job that is suspended has its limit moved by that time (Slurm stops its clock).
    """
    over = threading.Event()

    def watch(job: OwnJob) -> None:
        left = job.time_left()
        if left is None or left <= 0:
            return
        stop.whole = left
        margin = left - time_to_notice(left, grace)
        while left > margin:
            stop.limit = end = time.monotonic() + left
            resumed = _was_stopped(over, left - margin, awake)
            if over.is_set():
                return
            if resumed:
                stop.limit = None  # until Slurm has told the new one, no trial is too late for it
            # The limit may have been moved since.
            asked = job.ask_time_left(tries=_TRIES_RESUMED if resumed else 1)
            if asked is None:
                left = end - time.monotonic()
            else:
                left = asked if resumed or asked >= margin + _MOVED else margin
        # SIGTERM is what commands know best of what they may be sent.
        stop.give(TIMED_OUT, "SIGTERM")

    if job is not None:
        # Slurm may have to be asked, which the first trial needn't wait for.
        threading.Thread(target=watch, args=[job], name="time limit", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _log_to_stderr() -> None:
    """Let this package's records into the job's log, and leave other libraries' loggers alone."""
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
    """Return the job's CPUs by Slurm's word, else those that this process may run on."""
    for variable in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if environ.get(variable, "").isdecimal():
            return int(environ[variable])
    return len(os.sched_getaffinity(0))


def run_recorded(
    storage: str,
    name: str,
    version: int | None,
    wait: float,
    chosen: Mapping[str, Any],
    job: Mapping[str, Any] = MappingProxyType({}),
) -> Summary:
    """Work with the settings that the experiment was created with, where ``chosen`` has a None.

    ``job`` are further fields of :class:`WorkerJob`.
    """
    bare = job.get("function") is not None
    database, experiment = _find(storage, name, version, lambda experiment: False, wait, bare=bare)
    database.close()
    settings = dict(experiment.configuration.get("worker") or {})
    settings.update({key: value for key, value in chosen.items() if value is not None})
    return run_job(
        WorkerJob(
            storage=database.path,
            name=name,
            version=experiment.version,
            **settings,
            **job,
        )
    )
