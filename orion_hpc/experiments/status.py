"""Reads the status of experiments from the database, the workers' signs of life and Slurm's queue.

Takes no lock. The summary itself is made in :mod:`orion_hpc.experiments.summary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orion_hpc.config.settings import Settings
from orion_hpc.experiments.failed_starts import FailedStarts, failed_starts
from orion_hpc.experiments.lookup import chosen
from orion_hpc.experiments.resources import resources
from orion_hpc.experiments.summary import experiment_summary
from orion_hpc.journal.heartbeat import Sign, signs
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.slurm.commands import slurm_is_here
from orion_hpc.slurm.proof import is_suspended, jobs_of
from orion_hpc.slurm.queue import queued
from orion_hpc.slurm.tasks import Tasks
from orion_hpc.worker.job_states import JobStates, run_of


def summaries(settings: Settings) -> list[dict[str, Any]]:
    """Return the summary of each experiment that the settings select.

    Returns
    -------
    list of dict
        See :func:`~orion_hpc.experiments.summary.experiment_summary`.

    Raises
    ------
    NoConfigurationError
        The database has no experiment of this name and version.
    StorageError
        The database doesn't exist or can't be read.
    """
    return [summary_of(one, settings.storage) for one in _read(settings)]


def summary_of(
    experiment: ExperimentState, storage: str, asks_slurm: bool = True
) -> dict[str, Any]:
    """Return the summary of one experiment; ``asks_slurm``: with what Slurm knows of its jobs."""
    folder = layout.workers_folder(storage, experiment.title)
    found = signs(folder)
    stopped = {name for name in found if (who := Identity.parse(name)) is not None and who.stopped}
    # Workers may run in further jobs, which scripts of the user submitted.
    launched = experiment.job_ids("slurm")
    jobs = [*launched, *(job for job in jobs_of(map(run_of, found)) if job not in launched)]
    if experiment.is_done or not jobs or not asks_slurm or not slurm_is_here():
        failed = _failed_starts(experiment, storage, found, None)
        return experiment_summary(experiment, found, None, stopped, failed)
    tasks = queued(jobs, tries=1)  # a status report must not wait for retries
    if any(one.suspended for one in tasks or ()):
        runs = JobStates(folder).runs(found)
        stopped |= {name for name, run in runs.items() if is_suspended(run, tasks or ())}
    ours = None if tasks is None or not launched else [t for t in tasks if t.job in launched]
    failed = _failed_starts(experiment, storage, found, ours)
    return experiment_summary(experiment, found, ours, stopped, failed)


def _failed_starts(
    experiment: ExperimentState, storage: str, found: Mapping[str, Sign], tasks: list[Tasks] | None
) -> FailedStarts | None:
    """Return the failed starts because of which no worker runs, if that is so."""
    if experiment.is_done or any(not sign.silent for sign in found.values()):
        return None
    queued = None if tasks is None else {one.job for one in tasks if one.in_queue}
    return failed_starts(experiment, storage, found, queued)


def used(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the resources of each selected experiment by its title; see :func:`resources`.

    Raises
    ------
    NoConfigurationError, StorageError
        As for :func:`summaries`.
    """
    return {one.title: resources(one) for one in _read(settings)}


def _read(settings: Settings) -> list[ExperimentState]:
    database = PickledDB(settings.storage)
    try:
        experiments = list(database.refresh().experiments.values())
    finally:
        database.close()
    return chosen(experiments, settings.storage, settings.name, settings.version)
