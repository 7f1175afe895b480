"""Finds what an experiment left and nobody needs, and removes it. What that is, says ``litter``."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from orion_hpc.client import litter
from orion_hpc.client.experiments import the_one, wanted
from orion_hpc.config.settings import Settings
from orion_hpc.files import layout
from orion_hpc.files.identity import Identity
from orion_hpc.files.removal import remove_folder
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import RESERVED
from orion_hpc.slurm.queue import in_queue
from orion_hpc.storage.heartbeat import server_now, signs
from orion_hpc.storage.pickleddb import PickledDB


@dataclass(frozen=True, slots=True)
class Found:
    """A file or a folder that nobody needs: its kind, and its size in bytes."""

    kind: str
    path: str
    size: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Litter:
    """What was found of an experiment, and why something may have been left out."""

    experiment: ExperimentState
    found: list[Found]
    notes: list[str]


def find_litter(settings: Settings, logs: bool = False, trials: bool = False) -> Litter:
    """Return what of the experiment can go; nothing is changed.

    Parameters
    ----------
    settings : Settings
        Which experiment.
    logs, trials : bool, default False
        Whether the logs of jobs that are over, and the directories of completed and broken trials,
        count.

    Raises
    ------
    NoConfigurationError, StorageError
        There is no such experiment, or the database can't be read.
    """
    follows = wanted(settings.name, settings.version)
    storage = PickledDB(settings.storage, follows=follows)
    try:
        experiment = the_one(
            storage.refresh().experiments.values(),
            settings.storage,
            settings.name,
            settings.version,
        )
        path = storage.path
    finally:
        storage.close()
    use, notes = _use(path, experiment)
    now = server_now(layout.workers_folder(path, experiment.title))
    kinds = _Kinds(path, experiment, use, now)
    all_found = [*kinds.signs(), *kinds.jobs(logs), *kinds.code()]
    if trials:
        all_found += kinds.trials()
    return Litter(experiment, all_found, notes)


def remove(found: Found) -> bool:
    """Remove one of them; return whether it is gone by it."""
    parent, name = os.path.split(found.path)
    try:
        if found.is_folder:
            remove_folder(parent, name)
        else:
            os.unlink(found.path)
    except FileNotFoundError:
        return False
    if os.path.basename(os.path.dirname(parent)) == "jobs":
        with contextlib.suppress(OSError):  # the launch has left something else
            os.rmdir(parent)
    return True


def _use(path: str, experiment: ExperimentState) -> tuple[litter.Use, list[str]]:
    alive = {trial.worker for trial in experiment.having(RESERVED) if trial.worker}
    for name, sign in signs(layout.workers_folder(path, experiment.title)).items():
        who = Identity.parse(name)
        here = who is not None and (who.provably_gone or who.provably_alive)
        # Elsewhere no look proves anything but a very long silence.
        if not sign.silent if here else sign.age < litter.DAY:
            alive.add(name)
    ids = experiment.job_ids("slurm")
    queue = in_queue(ids)
    if queue is None:
        return litter.Use(alive, None), ["Slurm doesn't answer: what its jobs left stays."]
    return litter.Use(alive, {tasks.job for tasks in queue}), []


class _Kinds:
    """Looks through the experiment's folder, one kind after the other."""

    def __init__(
        self, database: str, experiment: ExperimentState, use: litter.Use, now: float
    ) -> None:
        self._database, self._experiment = database, experiment
        self._use, self._now = use, now

    def signs(self) -> Iterator[Found]:
        title = self._experiment.title
        for kind, folder in (
            (litter.SIGNS, layout.workers_folder(self._database, title)),
            (litter.NOTICES, layout.notices_folder(self._database, title)),
        ):
            for entry, status in _entries(folder):
                age = self._now - status.st_mtime
                if stat.S_ISREG(status.st_mode) and litter.is_sign_litter(
                    entry.name, age, self._use
                ):
                    yield Found(kind, entry.path, status.st_size)

    def jobs(self, logs: bool) -> Iterator[Found]:
        is_done = self._experiment.is_done
        for entry, status in _entries(layout.jobs_folder(self._database, self._experiment.title)):
            if stat.S_ISDIR(status.st_mode):
                inner = {
                    one.name: (one.path, facts)
                    for one, facts in _entries(entry.path)
                    if not stat.S_ISDIR(facts.st_mode)
                }
                ages = {name: self._now - facts.st_mtime for name, (_, facts) in inner.items()}
                for name, kind in litter.job_litter(entry.name, ages, self._use).items():
                    if kind != litter.LOGS or logs:
                        path, facts = inner[name]
                        yield Found(kind, path, facts.st_size)
            elif litter.is_mark_litter(entry.name, self._use) or litter.is_packed_litter(
                entry.name, is_done, self._use
            ):
                yield Found(litter.JOBS, entry.path, status.st_size)

    def code(self) -> Iterator[Found]:
        for entry, status in _entries(layout.code_folder(self._database, self._experiment.title)):
            age = self._now - status.st_mtime
            if stat.S_ISDIR(status.st_mode) and litter.is_code_litter(entry.name, age):
                yield Found(litter.CODE, entry.path, _size(entry.path), is_folder=True)

    def trials(self) -> Iterator[Found]:
        one = self._experiment
        folder_of = layout.trial_folders(
            self._database, one.title, one.configuration.get("working_dir")
        )
        statuses = {trial.number: trial.status for trial in one.trials}
        for entry, status in _entries(os.path.dirname(folder_of(0))):
            if stat.S_ISDIR(status.st_mode) and litter.is_trial_litter(entry.name, statuses):
                yield Found(litter.TRIALS, entry.path, _size(entry.path), is_folder=True)


def _entries(folder: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """Yield what is in ``folder`` itself, with facts; nothing if it is a link to somewhere else."""
    if os.path.islink(folder):
        return
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in sorted(found, key=lambda one: one.name):
            with contextlib.suppress(OSError):
                yield entry, entry.stat(follow_symlinks=False)


def _size(folder: str) -> int:
    size = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size
