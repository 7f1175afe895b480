"""Submits an experiment: checks, the experiment in the database, one launch of jobs.

Commands and the Python API share these steps. Output for the user is the command's part.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError, NoConfigurationError
from orion_hpc.experiments.get_or_create import Built, Draft, draft
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.target_check import check_target
from orion_hpc.jobs.base import Jobs, Launcher, make_launcher
from orion_hpc.jobs.code_snapshot import Code, code_for, would_be
from orion_hpc.jobs.job_files import check_job_files, inherits_path
from orion_hpc.jobs.launch_request import launch_request
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout
from orion_hpc.slurm.commands import slurm_is_here
from orion_hpc.slurm.queue import in_queue
from orion_hpc.worker.recovery import release_lost


def choose_launcher(name: str, settings: Settings | None = None) -> Launcher:
    """Return the launcher called ``name``; ``auto`` is Slurm if ``sbatch`` is on the PATH.

    If the settings name a template, jobs on Slurm are submitted by plain ``sbatch`` with the script
    that the template renders.

    Raises
    ------
    ConfigurationError
        The launcher is unknown, or a flag gives a template for another launcher than Slurm.
    """
    template = None if settings is None else settings.template
    by_flag = settings is not None and settings.origin("template") == "flags"
    if template is not None and by_flag and name not in ("auto", "slurm"):
        raise ConfigurationError(
            f"a template is for Slurm, not for the executor {name!r}", "Leave out one of them."
        )
    if name == "auto":
        name = "slurm" if slurm_is_here() or (template is not None and by_flag) else "local"
    if name == "slurm" and template is not None:
        from orion_hpc.jobs.template import TemplateLauncher, read_template

        return TemplateLauncher(read_template(Path(template)))
    return make_launcher(name)


@dataclass(frozen=True, slots=True)
class Submission:
    """The result of :func:`submit`.

    Attributes
    ----------
    storage : PickledDB
        The open database.
    built : Built
        The experiment, and what changed.
    tasks, asked : int
        The number of started and of requested tasks.
    jobs : Jobs or None
        None if no trial is left to run.
    attached : bool
        Whether the jobs end with this process, so that the caller has to wait for them.
    code : Code
        The code that the jobs run.
    waiting : int or None
        The number of earlier tasks that still wait or run; None if Slurm doesn't say.
    """

    storage: PickledDB
    built: Built
    tasks: int
    asked: int
    jobs: Jobs | None
    attached: bool
    code: Code
    waiting: int | None = 0

    @property
    def experiment(self) -> ExperimentState:
        return self.built.experiment


def submit(
    settings: Settings,
    launcher: Launcher,
    on_written: Callable[[Built], None] = lambda built: None,
    resume: bool = False,
) -> Submission:
    """Create the experiment in the database, or resume it, and start its jobs.

    At most as many jobs are started as have a trial to run; tasks in the queue count. A batch
    system gets the jobs before anything is written, so that nothing is left if it refuses them. A
    job that starts at once waits for its experiment to appear, as it may have to on a network file
    system anyway.

    Parameters
    ----------
    settings : Settings
    launcher : Launcher
    on_written : callable, optional
        Called with the experiment once it is written, before jobs of this process start.
    resume : bool, default False
        Whether the experiment must exist.

    Raises
    ------
    ConfigurationError, ExperimentConflict, LaunchError, NoConfigurationError
        Nothing was written, and no job runs.
    """
    plan_ = _plan(settings, launcher, resume)
    # The folder of a new group database gets its mode before the jobs' files are written into it.
    beside = layout.files_folder(settings.storage)
    try:
        with (
            layout.provided(beside, shared=settings.allow_group and not os.path.lexists(beside)),
            code_for(
                settings,
                plan_.experiment.title,
                needed=plan_.tasks > 0 or plan_.waiting != 0,
            ) as code,
        ):
            return _submit(settings, launcher, on_written, plan_, code)
    except BaseException:
        plan_.draft.close()
        raise


def _submit(
    settings: Settings,
    launcher: Launcher,
    on_written: Callable[[Built], None],
    plan_: _Plan,
    code: Code,
) -> Submission:
    jobs = None
    request = launch_request(
        settings, launcher, plan_.experiment, max(1, plan_.tasks), code, plan_.reopens
    )
    if launcher.detached and plan_.tasks:
        jobs = launcher.launch(request)
    try:
        storage, built = _write(settings, plan_.draft, code)
        on_written(built)
        # Other workers may have completed trials since the plan was made.
        tasks = plan_.tasks
        if jobs is None:
            useful = useful_tasks(settings, built.experiment.left)
            tasks = missing_tasks(useful, plan_.waiting)
        if tasks and jobs is None:
            jobs = launcher.launch(replace(request, tasks=tasks))
        if jobs is not None:
            launched = launch_event(launcher, jobs, code)
            storage.transact(built.experiment.number, lambda state: [launched])
    except BaseException:
        if jobs is not None:
            jobs.stop(0)
        raise
    attached = not launcher.detached
    return Submission(storage, built, tasks, plan_.asked, jobs, attached, code, plan_.waiting)


def _write(settings: Settings, wanted: Draft, code: Code) -> tuple[PickledDB, Built]:
    """Write the experiment, resume it if it was stopped, and release trials of lost workers."""
    storage, built = wanted.write(time.time())
    assert isinstance(storage, PickledDB)
    built = replace(built, kept=[*built.kept, *_database_kept(storage, settings)])
    if (reason := built.experiment.stopped) is not None:
        resumed = ev.ResumeExperiment(time.time())
        storage.transact(built.experiment.number, lambda state: [resumed])
        built.changes.append(f"status: stopped ({reason}) -> resumed")
    if not built.created:
        built = replace(built, released=release_lost(storage, built.experiment.number))
    built.changes.extend(_code_changes(built.experiment, code))
    return storage, built


def launch_event(launcher: Launcher, jobs: Jobs, code: Code) -> ev.LaunchJobs:
    """Return the event that records a launch, at the current time."""
    return ev.LaunchJobs(launcher.name, jobs.ids, jobs.logs, time.time(), *code.recorded)


def _code_changes(experiment: ExperimentState, code: Code) -> list[str]:
    last = next((jobs.snapshot for jobs in reversed(experiment.jobs) if jobs.snapshot), None)
    if last is None or code.snapshot in (None, last):
        return []
    return [f"snapshot: {os.path.basename(last)} -> {os.path.basename(str(code.snapshot))}, "
            "as files have changed"]  # fmt: skip


def _database_kept(storage: PickledDB, settings: Settings) -> list[str]:
    """Return a line for each setting that can't change after the database's creation."""
    kept = []
    if settings.lock not in (None, storage.lock):
        kept.append(f"lock stays {storage.lock!r}, as set when the database was created")
    if settings.allow_group and not storage.group:
        kept.append("allow_group stays false, as set when the database was created")
    return kept


def preview(settings: Settings, launcher: Launcher, resume: bool = False) -> str:
    """Return the jobs that :func:`submit` would start, as text; write and start nothing."""
    plan_ = _plan(settings, launcher, resume, check=False)
    plan_.draft.close()
    code = would_be(settings, plan_.experiment.title)
    tasks = max(1, plan_.tasks)
    return launcher.preview(launch_request(settings, launcher, plan_.experiment, tasks, code))


class _Plan(NamedTuple):
    draft: Draft
    experiment: ExperimentState
    asked: int
    tasks: int
    waiting: int | None
    reopens: bool


def _plan(settings: Settings, launcher: Launcher, resume: bool, check: bool = True) -> _Plan:
    """Check the submission and return its plan, from the database before anything is written."""
    spec = ExperimentSpec.of(settings)
    check_target(spec, inherits_path(settings, launcher))
    check_job_files(settings, launcher, spec.name)
    if check:
        launcher.check()
    wanted = draft(spec, Place(settings.storage))
    if resume and wanted.found is None:
        wanted.close()
        raise NoConfigurationError(
            f"there is no experiment {spec.name!r} to resume in {settings.storage}",
            "'orion-hpc submit CONFIG' creates it and starts its jobs.",
        )
    found, limits = wanted.found, spec.limits(wanted.found)
    reopens = found is not None and (found.is_done or not found.is_open)
    waiting = tasks_in_queue(found) if found and launcher.detached else 0
    if found is None:
        experiment = ExperimentState(0, spec.name, spec.version or 1, {}, 0.0, *limits)
    else:
        experiment = copy.copy(found)
        experiment.max_trials, experiment.max_broken = limits
        experiment.stopped = None
    tasks = missing_tasks(useful_tasks(settings, experiment.left), waiting)
    return _Plan(wanted, experiment, _array(settings), tasks, waiting, reopens)


def tasks_in_queue(experiment: ExperimentState) -> int | None:
    """Return how many tasks of the experiment's arrays wait or run; None if Slurm doesn't say."""
    live = in_queue(experiment.job_ids("slurm"))
    return None if live is None else sum(tasks.count for tasks in live)


def _array(settings: Settings) -> int:
    size = settings.slurm.array_size
    return size.tasks if size else 1


def useful_tasks(settings: Settings, left: float) -> int:
    """Return how many of the requested tasks would have a trial to run.

    Parameters
    ----------
    settings : Settings
    left : float
        The number of trials that are left; infinite without ``max_trials``.
    """
    asked = _array(settings)
    return asked if math.isinf(left) else min(asked, math.ceil(left / settings.worker.n_workers))


def missing_tasks(useful: int, waiting: int | None) -> int:
    """Return how many tasks to submit to have ``useful`` ones, of which ``waiting`` exist.

    If ``waiting`` is None (unknown), none is assumed to exist: a surplus task finds no trial and
    ends, but a missing one would delay the search.
    """
    return max(0, useful - (waiting or 0))
