"""Finds trials whose workers are lost, ends what those left running, and saves what they kept.

Used by workers that look for work and by commands. What happens to a found trial is decided in
:mod:`orion_hpc.worker.plan`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from orion_hpc.journal.heartbeat import Watch
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import RESERVED, WORKER_SUSPENDED, Results
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_control import kill_marked
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.worker import plan, unrecorded_results
from orion_hpc.worker.job_states import JobStates
from orion_hpc.worker.plan import Loss

log = logging.getLogger(__name__)

MARK = "ORION_HPC_WORKER_ID"
"""The variable in the environment of all that a worker starts: its name."""

_INTERVAL = 60.0
"""Seconds between signs of life, for workers whose sign doesn't say."""


@dataclass(frozen=True, slots=True)
class ExperimentFiles:
    """Where the files of an experiment's workers lie.

    Attributes
    ----------
    signs, notices : str
        Folders of signs of life and of stop notices.
    folder_of : callable
        Returns a trial's working directory by its number.
    is_shared : bool
        Whether other processes may work on the experiment.
    """

    signs: str
    notices: str
    folder_of: Callable[[int], str]
    is_shared: bool = True

    @classmethod
    def beside(
        cls, path: str, experiment: ExperimentState, is_shared: bool = True
    ) -> ExperimentFiles:
        """Return those beside the database ``path``."""
        title, working_dir = experiment.title, experiment.configuration.get("working_dir")
        return cls(
            layout.workers_folder(path, title),
            layout.notices_folder(path, title),
            layout.trial_folders(path, title, working_dir),
            is_shared,
        )


class Watches(Protocol):
    """Detects lost workers, as :class:`orion_hpc.journal.heartbeat.Watch` does."""

    def lost(self, workers: Collection[str]) -> set[str]:
        """Return those of ``workers`` that are."""
        ...


class Recovery:
    """Looks for lost workers of one experiment.

    Parameters
    ----------
    watch : Watches
    folder_of : callable
        Returns a trial's working directory by its number.
    causes : callable
        Returns why workers are gone, where that is known.
    """

    def __init__(
        self,
        watch: Watches,
        folder_of: Callable[[int], str],
        causes: Callable[[Collection[str]], Mapping[str, str]] = lambda workers: {},
    ) -> None:
        self._watch = watch
        self._folder_of = folder_of
        self._causes = causes
        self._next_look = 0.0

    def is_due(self, heartbeat: float) -> bool:
        """Return whether it is time for another look: four in a ``heartbeat`` (seconds), at most
        one each second. A look that is due counts as taken."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + max(1.0, heartbeat / 4)
        return True

    def look(self, state: ExperimentState, me: str = "") -> Loss:
        """Return the workers with trials, other than ``me``, that are lost or hand them on.

        On return nothing runs any more of what they left on this host.
        """
        holders = {trial.worker for trial in state.having(RESERVED) if trial.worker}
        lost = self._watch.lost(holders - {me}) if holders - {me} else set()
        causes = self._causes(lost) if lost else {}
        for worker in lost:
            if causes.get(worker) == WORKER_SUSPENDED:
                log.warning("worker %s is suspended; its trials are handed on", worker)
                continue
            log.warning("worker %s is gone; its trials are taken from it", worker)
            fence(worker)
        return self.own(state, lost)._replace(causes=causes)

    def own(self, state: ExperimentState, workers: Collection[str]) -> Loss:
        """Return the loss for workers that are known to have ended."""
        kept = {
            (trial.number, trial.attempt): results
            for trial in state.having(RESERVED)
            if trial.worker in workers
            and (results := unrecorded_results.kept(self._folder_of(trial.number), trial.attempt))
            is not None
        }
        return Loss(workers, kept)

    def settle(self, loss: Loss) -> None:
        """Remove the saved results, once they are in the journal."""
        for number, attempt in loss.kept:
            unrecorded_results.forget(self._folder_of(number), attempt)

    def keep(self, number: int, attempt: int, results: Results) -> None:
        """Save results that the database didn't take where the next worker will find them."""
        try:
            path = unrecorded_results.keep(self._folder_of(number), attempt, results)
            log.error("trial %d: its results are kept in %s", number, path)
        except OSError as error:
            log.error("trial %d: its results can't be kept (%s): %s", number, error, results)


def make_recovery(
    files: ExperimentFiles,
    interval: float,
    awake: Callable[[], float] = time.monotonic,
    for_worker: bool = True,
) -> Recovery:
    """Return what finds lost workers.

    Parameters
    ----------
    files : ExperimentFiles
    interval : float
        Seconds between signs of life, for workers whose sign doesn't say.
    awake : callable
        As of :class:`~orion_hpc.journal.heartbeat.Watch`.
    for_worker : bool, default True
        As of :class:`~orion_hpc.worker.job_states.JobStates`.
    """
    states = JobStates(files.signs, for_worker)
    return Recovery(Watch(files.signs, interval, states, awake), files.folder_of, states.causes)


def release_lost(storage: PickledDB, number: int) -> int:
    """Take the trials of experiment ``number`` from workers that are known to be gone.

    For commands, which look once. Returns how many trials were taken.
    """
    storage.recover()  # a result that a late write destroyed is no lost worker's trial
    experiment = storage.state.experiments[number]
    # How long silence must last doesn't matter for one look.
    files = ExperimentFiles.beside(storage.path, experiment)
    recovery = make_recovery(files, _INTERVAL, for_worker=False)
    loss = recovery.look(experiment)
    if not loss.workers:
        return 0
    held = sum(trial.worker in loss.workers for trial in experiment.having(RESERVED))
    most = experiment.configuration.get("max_attempts", 3)
    storage.transact(
        number, lambda state: plan.losses(state.experiments[number], loss, most, time.time())
    )
    recovery.settle(loss)
    return held


def fence(worker: str) -> None:
    """End what a worker of this host left running when it died."""
    who = Identity.parse(worker)
    if who is not None and who.provably_gone and kill_marked(MARK, worker):
        log.warning("worker %s had left processes running; they were ended", worker)
