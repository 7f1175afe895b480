"""Finds and removes files of an experiment that aren't needed any more.

:mod:`orion_hpc.maintenance.litter` decides which. Workers may run meanwhile, so the files are
listed first, and only then live workers and ended jobs are looked up: whoever starts later has no
file on the list. A file is removed only if it is the one that was listed, unchanged since.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from orion_hpc.algorithms.factory import needs_fidelity
from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.lookup import the_one, wanted
from orion_hpc.journal.creation import real_path
from orion_hpc.journal.heartbeat import server_now, signs
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.maintenance import litter
from orion_hpc.maintenance.examination import Examiner
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED, RESERVED
from orion_hpc.sharedfs import layout, removal
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.slurm.queue import Ended, ended
from orion_hpc.worker.job_states import JobStates

_LONGEST_NAME = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """A file or folder that isn't needed: its kind, and its size in bytes.

    ``names`` is its path below the folder ``root``; ``status`` is its status when it was found.
    """

    kind: str
    root: str
    names: tuple[str, ...]
    size: int
    status: os.stat_result = field(repr=False)

    @property
    def path(self) -> str:
        return os.path.join(self.root, *self.names)


@dataclass(frozen=True, slots=True)
class Litter:
    """What can be removed of an experiment, and notes on what stays."""

    experiment: ExperimentState
    found: list[Found]
    notes: list[str]


def find_litter(settings: Settings, logs: bool = False, trials: bool = False) -> Litter:
    """Return what can be removed of an experiment; nothing is changed.

    Parameters
    ----------
    settings : Settings
        Which experiment.
    logs, trials : bool, default False
        Whether to include the logs of ended jobs, and the directories of completed and broken
        trials; not those of trials that others may start from.

    Raises
    ------
    NoConfigurationError, StorageError
        There is no such experiment, or the database can't be read.
    """
    follows = wanted(settings.name, settings.version)
    storage = PickledDB(settings.storage, follows=follows)
    try:

        def refreshed() -> ExperimentState:
            return the_one(
                storage.refresh().experiments.values(),
                settings.storage,
                settings.name,
                settings.version,
            )

        notes: list[str] = []
        there = _Place(storage.path, storage.id, refreshed(), trials, notes)
        experiment = refreshed()
    finally:
        storage.close()
    now = server_now(layout.workers_folder(there.database, experiment.title))
    use = _use(there, experiment, now, notes)
    found = [*there.workers(use, now), *there.jobs(use, now, logs)]
    found += [*there.code(now), *there.copies(now), *there.written_ahead(now)]
    if trials:
        found += there.trials(_removable(experiment, notes))
    return Litter(experiment, found, notes)


def _use(there: _Place, experiment: ExperimentState, now: float, notes: list[str]) -> litter.Use:
    """Return which workers and jobs may still use files; ask Slurm after the files were listed."""
    folder = layout.workers_folder(there.database, experiment.title)
    alive = _alive(folder, experiment, there.ages(now))
    ids = experiment.job_ids("slurm")
    answer = ended(sorted({*ids, *there.slurm_jobs()}))
    if answer is None:
        notes.append("Slurm doesn't answer: what its jobs left stays.")
        answer = Ended(frozenset(), frozenset())
    may_begin = not answer.over.union(answer.unknown).issuperset(ids)
    return litter.Use(alive, answer.over, answer.unknown, experiment.is_done, may_begin)


def _removable(experiment: ExperimentState, notes: list[str]) -> dict[int, str]:
    """Return the statuses of trials, but for completed ones that others may go on from."""
    statuses = {trial.number: trial.status for trial in experiment.trials}
    if not _goes_on_from_trials(experiment):
        return statuses
    if not experiment.is_done:
        notes.append(
            "The directories of completed trials stay until the experiment is done: others go on "
            "from them."
        )
        return {n: status for n, status in statuses.items() if status != COMPLETED}
    if not experiment.exhausted:
        notes.append(
            "Trials go on from others here: with a higher --max-trials, those that would go on "
            "from a directory that was removed begin from nothing."
        )
    return statuses


def _goes_on_from_trials(experiment: ExperimentState) -> bool:
    """Return whether trials get a copy of a completed trial's directory."""
    if any(trial.parent is not None for trial in experiment.trials):
        return True
    algorithm = experiment.configuration.get("algorithm")
    try:
        return isinstance(algorithm, Mapping) and any(map(needs_fidelity, algorithm))
    except ConfigurationError:  # an algorithm of a plugin that isn't installed here
        return False


def remove(found: Found) -> bool:
    """Remove it; return False if another process was faster, or uses it.

    Raises
    ------
    OSError
        It can't be removed.
    """
    if found.kind == litter.JOBS and stat.S_ISDIR(found.status.st_mode):
        return removal.remove_if_empty(found.root, *found.names)
    gone = removal.remove_seen(found.root, found.names, found.status)
    if found.kind in (litter.JOBS, litter.LOGS):
        *outer, folder, _ = found.names
        if litter.is_launch(folder):
            removal.remove_if_empty(found.root, *outer, folder)
    return gone


def _alive(folder: str, experiment: ExperimentState, ages: dict[str, float]) -> set[str]:
    """Return the workers that may be alive, or hold a trial; ``ages`` are those of listed files."""
    known_signs = signs(folder)
    ages = {**{name: sign.age for name, sign in known_signs.items()}, **ages}
    alive = {trial.worker for trial in experiment.having(RESERVED) if trial.worker}
    elsewhere = set()
    for name, age in ages.items():
        who = Identity.parse(name)
        if who is None or who.provably_gone:
            continue
        if who.provably_alive:
            alive.add(name)
        elif age < litter.DAY:  # on another host, only a very long silence proves anything …
            elsewhere.add(name)
    asked = {name: sign for name, sign in known_signs.items() if name in elsewhere}
    return alive | elsewhere.difference(JobStates(folder)(asked).gone)  # … or Slurm's answer


_Entries = list[tuple[str, os.stat_result]]


class _Place:
    """The experiment's folder at one moment, listed before its use is looked up."""

    def __init__(
        self,
        database: str,
        identity: str,
        experiment: ExperimentState,
        trials: bool,
        notes: list[str],
    ) -> None:
        self.database = database
        self._notes = notes
        self._root = real_path(layout.files_folder(database))
        title = experiment.title
        parts = {
            name: os.path.relpath(folder(database, title), layout.files_folder(database))
            for name, folder in (
                ("workers", layout.workers_folder),
                ("notices", layout.notices_folder),
                ("jobs", layout.jobs_folder),
                ("code", layout.code_folder),
            )
        }
        self._names = {name: tuple(path.split(os.sep)) for name, path in parts.items()}
        # Notices and jobs before signs of life: whoever has one of them has given a sign already.
        self._listed = {
            name: self._look(self._root, *self._names[name]) for name in reversed(parts)
        }
        jobs = self._names["jobs"]
        self._launches = {
            name: self._look(self._root, *jobs, name)
            for name, status in self._listed["jobs"]
            if stat.S_ISDIR(status.st_mode)
        }
        self._launches_gone = {
            name: self._is_gone(name, files) for name, files in self._launches.items()
        }
        folder_of = layout.trial_folders(
            database, title, experiment.configuration.get("working_dir")
        )
        folder, last = os.path.split(os.path.dirname(folder_of(0)))
        self._trials_root = folder
        self._trials_names: tuple[str, ...] = (last,)
        if folder == layout.experiment_folder(database, title):
            self._trials_root = self._root
            self._trials_names = (os.path.basename(folder), last)
        self._beside = self._look(os.path.dirname(database))
        self._trials = self._look(self._trials_root, *self._trials_names) if trials else []
        outer, last = os.path.split(layout.write_ahead_folder(database, identity))
        self._own: tuple[str, ...] = (os.path.basename(outer), last)
        self._written_ahead = self._look(self._root, *self._own)

    def ages(self, now: float) -> dict[str, float]:
        """Return the seconds since each worker last wrote, by name."""
        found: dict[str, float] = {}
        for name, status in (*self._listed["workers"], *self._listed["notices"]):
            worker = name.removesuffix(".new")
            age = now - status.st_mtime
            found[worker] = min(age, found.get(worker, age))
        return found

    def slurm_jobs(self) -> set[str]:
        """Return the Slurm jobs that have files."""
        jobs = {litter.marked_job(name) for name, _ in self._listed["jobs"]} - {None}
        for launch, files in self._launches.items():
            jobs |= litter.slurm_jobs(launch, [name for name, _ in files])
        return {job for job in jobs if job}

    def workers(self, use: litter.Use, now: float) -> Iterator[Found]:
        for kind, folder in ((litter.SIGNS, "workers"), (litter.NOTICES, "notices")):
            for name, status in self._listed[folder]:
                age = now - status.st_mtime
                if stat.S_ISREG(status.st_mode) and litter.is_sign_litter(name, age, use):
                    yield self._found(kind, self._names[folder], name, status)

    def jobs(self, use: litter.Use, now: float, logs: bool) -> Iterator[Found]:
        jobs = self._names["jobs"]
        for name, status in self._listed["jobs"]:
            age = now - status.st_mtime
            if name in self._launches:
                files = {
                    file: facts
                    for file, facts in self._launches[name]
                    if not stat.S_ISDIR(facts.st_mode)
                }
                ages = {file: now - facts.st_mtime for file, facts in files.items()}
                gone = self._launches_gone[name]
                if not self._launches[name] and litter.is_left_launch(name, age):
                    yield self._found(litter.JOBS, jobs, name, status)
                kinds = litter.launch_litter(name, ages, use, gone)
                for file, kind in kinds.items():
                    if kind != litter.LOGS or logs:
                        yield self._found(kind, (*jobs, name), file, files[file])
            elif stat.S_ISREG(status.st_mode) and litter.is_beside_litter(name, age, use):
                yield self._found(litter.JOBS, jobs, name, status)

    def code(self, now: float) -> Iterator[Found]:
        for name, status in self._listed["code"]:
            age = now - status.st_mtime
            if stat.S_ISDIR(status.st_mode) and litter.is_code_litter(name, age):
                yield self._found(litter.CODE, self._names["code"], name, status)

    def copies(self, now: float) -> Iterator[Found]:
        folder, database = os.path.split(self.database)
        for name, status in self._beside:
            age = now - status.st_mtime
            if stat.S_ISREG(status.st_mode) and litter.is_copy_litter(name, database, age):
                yield self._found(litter.COPIES, (), name, status, folder)

    def written_ahead(self, now: float) -> Iterator[Found]:
        """Yield old files of writers that have nothing which the database lacks."""
        old = {
            name: status
            for name, status in self._written_ahead
            if stat.S_ISREG(status.st_mode) and litter.may_be_settled(now - status.st_mtime)
        }
        if not old:
            return
        examiner = Examiner(self.database)
        try:
            deque(examiner.steps(), maxlen=0)
            for name in examiner.settled(old):
                yield self._found(litter.WRITTEN_AHEAD, self._own, name, old[name])
        finally:
            examiner.close()

    def trials(self, statuses: dict[int, str]) -> Iterator[Found]:
        for name, status in self._trials:
            if not stat.S_ISDIR(status.st_mode) or not litter.is_trial_litter(name, statuses):
                continue
            if statuses[int(name)] == BROKEN:
                path = os.path.join(self._trials_root, *self._trials_names, name)
                try:
                    files = removal.look(self._trials_root, *self._trials_names, name)
                except OSError as error:
                    self._notes.append(f"{path} is left alone: {error.strerror}.")
                    continue
                if litter.has_kept([file for file, _ in files]):
                    self._notes.append(f"{path} stays: there are results that weren't recorded.")
                    continue
            yield self._found(litter.TRIALS, self._trials_names, name, status, self._trials_root)

    def _found(
        self,
        kind: str,
        outer: tuple[str, ...],
        name: str,
        status: os.stat_result,
        root: str | None = None,
    ) -> Found:
        root = self._root if root is None else root
        folder = stat.S_ISDIR(status.st_mode)
        size = removal.size_below(root, *outer, name) if folder else status.st_size
        return Found(kind, root, (*outer, name), size, status)

    def _look(self, root: str, *names: str) -> _Entries:
        try:
            return removal.look(root, *names)
        except OSError as error:
            path = os.path.join(root, *names)
            self._notes.append(f"{path} is left alone: {error.strerror}.")
            return []

    def _is_gone(self, launch: str, files: _Entries) -> bool:
        """Return whether all processes of a launch on this machine have ended."""
        path = os.path.join(self._root, *self._names["jobs"], launch, layout.LAUNCHER)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(fd, encoding="utf-8", errors="replace") as file:
                who = Identity.parse(file.read(_LONGEST_NAME))
        except OSError:
            return False
        if who is None or not who.provably_gone:
            return False
        jobs = {name.partition("_")[0] for name, _ in files}
        return not any(job.isdecimal() and os.path.exists(f"/proc/{job}") for job in jobs)
