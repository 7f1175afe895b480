"""Cancels an experiment: no trial starts any more, and its jobs get a stop notice."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field

from orion_hpc.config.settings import Settings
from orion_hpc.experiments.lookup import the_one, wanted
from orion_hpc.journal.heartbeat import Sign, signs
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.slurm import queue
from orion_hpc.worker.recovery import release_lost

REASON = "cancelled"


@dataclass(slots=True)
class Cancellation:
    """The jobs and workers of a cancelled experiment.

    Attributes
    ----------
    storage, experiment
        The open database, and the experiment after the stop.
    jobs : list of str
        Slurm's job ids that were cancelled.
    tasks : int or None
        How many of their tasks waited or ran; None: not known.
    trouble : str
        The error of ``scancel``.
    notified : set of str
        Names of the workers that got a stop notice: from Slurm, or by a signal on this host.
    """

    storage: PickledDB
    experiment: ExperimentState
    jobs: list[str] = field(default_factory=list)
    tasks: int | None = 0
    trouble: str = ""
    notified: set[str] = field(default_factory=set)

    def at_work(self) -> list[Sign]:
        """Return the signs of life of the experiment's workers."""
        folder = layout.workers_folder(self.storage.path, self.experiment.title)
        if not os.path.isdir(folder):
            return []
        return [sign for sign in signs(folder).values() if not sign.silent and not _gone(sign)]

    def settle(self) -> ExperimentState:
        """Release the trials of workers that are known to be gone; return the experiment."""
        number = self.experiment.number
        release_lost(self.storage, number)
        self.experiment = self.storage.refresh().experiments[number]
        return self.experiment


def cancel(settings: Settings) -> Cancellation:
    """Stop the experiment of ``settings``, and notify its jobs and local workers.

    Raises
    ------
    NoConfigurationError
        There is no such experiment.
    StorageError
        The database can't be read or written; no job was notified.
    """
    storage = PickledDB(settings.storage, follows=wanted(settings.name, settings.version))
    experiments = storage.refresh().experiments.values()
    experiment = the_one(experiments, settings.storage, settings.name, settings.version)
    if not experiment.is_done and experiment.stopped is None:
        # First, so that no task which starts meanwhile takes a trial that another one releases.
        stop = ev.StopExperiment(REASON, time.time())
        state = storage.transact(experiment.number, lambda state: [stop])
        experiment = state.experiments[experiment.number]
    done = Cancellation(storage, experiment)
    launched = experiment.job_ids("slurm")
    live = queue.in_queue(launched)
    done.jobs = list(dict.fromkeys(launched if live is None else (task.job for task in live)))
    done.tasks = None if live is None else sum(tasks.count for tasks in live)
    if done.jobs:
        answer = queue.cancel(done.jobs)
        done.trouble = "" if answer.ok else answer.error or "scancel failed"
    for sign in done.at_work():
        if _notify(sign, done.jobs):
            done.notified.add(sign.worker)
    return done


def _gone(sign: Sign) -> bool:
    who = Identity.parse(sign.worker)
    return who is not None and who.provably_gone


def _notify(sign: Sign, jobs: list[str]) -> bool:
    """Send a worker of this host SIGTERM; return whether it gets a notice, from here or Slurm."""
    who = Identity.parse(sign.worker)
    if who is None:
        return False
    if who.job.startswith("local-") and who.provably_alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(who.pid, signal.SIGTERM)
            return True
    return who.job.partition(".")[0].partition("_")[0] in jobs
