"""Imports experiments from a database file of Oríon.

Reading, converting and writing are separate: nothing is written before all is read and checked.

*A crash in between.* An experiment takes one transaction for its creation and one for its trials
(a large one a few: see :data:`_MOST_BYTES`). The creation records the number of trials and a digest
of them, which marks an unfinished import: until it is complete, no submission accepts it, and no
worker runs it, as it has no function or command yet. The same import again writes what is missing.
In replay, a trial that was written twice (by two imports at once) counts once.
"""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from orion_hpc.config.config_files import load_settings
from orion_hpc.errors import (
    ExperimentConflict,
    ImportRefused,
    NoConfigurationError,
    StorageError,
    did_you_mean,
)
from orion_hpc.importers.orion.experiment_documents import FoundExperiment, label, read_experiment
from orion_hpc.importers.orion.inert_values import ValueConverter
from orion_hpc.importers.orion.pickle_file import read_documents
from orion_hpc.importers.orion.trial_documents import FoundTrial
from orion_hpc.journal import safe_pickle
from orion_hpc.journal.base import Storage
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.history import IMPORTED
from orion_hpc.model.state import CATALOGUE, ExperimentState, State
from orion_hpc.model.trial_record import BROKEN, CANCELLED, COMPLETED, NEW, STATUSES, USER_ERROR
from orion_hpc.model.wire import encode

_MOST_BYTES = 1024 * 1024
_MOST_EVENTS = 1000
"""Approximate limits of a transaction with trials: about 300 usual ones. The limits of a reader are
:data:`framing.MAX_PAYLOAD` and :data:`safe_pickle.MOST_TUPLES`."""

_NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Imported:
    """An imported experiment; ``new`` is False where the database had all of it before."""

    found: FoundExperiment
    new: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data for programs."""
        statuses = Counter(trial.status for trial in self.found.trials)
        return {
            "name": self.found.name,
            "version": self.found.version,
            "new": self.new,
            "trials": {status: statuses[status] for status in STATUSES},
            "notes": list(self.found.notes),
        }


def import_orion(
    source: Path, storage: str | None, name: str | None, version: int | None
) -> tuple[str, list[Imported]]:
    """Import experiments from the file ``source``; return the database's path and what was done.

    Parameters
    ----------
    source : Path
        A file of Oríon's PickledDB.
    storage : str, optional
        The database, created if there is none. The default is that of the settings.
    name, version : optional
        Only this experiment, only this version.

    Raises
    ------
    ImportRefused, NoConfigurationError
        The file isn't Oríon's, or lacks what was asked for. Nothing was written.
    ExperimentConflict
        The database has an experiment of this name and version. Nothing was written.
    StorageError
        The database can't be read or written. Complete experiments may have been written, and one
        incomplete one, which the same import again completes.
    """
    settings = load_settings(None, {"storage": storage}, needs=())
    seed = int.from_bytes(os.urandom(4), "big")
    found = find_experiments(
        read_documents(os.fspath(source)), os.fspath(source), name, version, seed, time.time()
    )
    return settings.storage, write(settings.storage, found, time.time())


def find_experiments(
    documents: dict[str, list[dict[str, Any]]],
    source: str,
    name: str | None,
    version: int | None,
    seed: int,
    now: float,
) -> list[FoundExperiment]:
    """Return the experiments of this name and version (None: any) in the documents. Pure.

    Raises
    ------
    ImportRefused, NoConfigurationError
        See :func:`import_orion`.
    """
    labelled = [(label(document), document) for document in documents["experiments"]]
    wanted = [
        document
        for (name_, version_), document in labelled
        if name in (None, name_) and version in (None, version_)
    ]
    if not labelled:
        raise ImportRefused(f"{source} is a database of Oríon without an experiment")
    if not wanted:
        names = sorted({name_ for (name_, _), _ in labelled})
        which = " ".join(
            [*([repr(name)] if name else []), *([f"version {version}"] if version else [])]
        )
        raise NoConfigurationError(
            f"there is no experiment {which} in {source}{did_you_mean(name or '', names)}",
            f"There are: {', '.join(names)}.",
        )
    trials: dict[str, list[dict[str, Any]]] = {}
    for document in documents["trials"]:
        trials.setdefault(_key(document.get("experiment")), []).append(document)
    converter = ValueConverter()
    found = [
        read_experiment(document, trials.get(_key(document.get("_id")), ()), converter, seed, now)
        for document in wanted
    ]
    doubles = [title for title, times in Counter(one.title for one in found).items() if times > 1]
    if doubles:
        raise ImportRefused(
            f"{source} holds more than one experiment {doubles[0]}",
            "Import one of them, with --name and --version.",
        )
    return sorted(found, key=lambda one: (one.name, one.version))


def _key(number: Any) -> str:
    # As text: numbers in the file can be chosen to collide in a dictionary.
    # In base 16, which has no limit of digits.
    return f"{number:x}" if isinstance(number, int) else f"={number}"


def write(path: str, found: Sequence[FoundExperiment], now: float) -> list[Imported]:
    """Write experiments into the database at ``path``; those that it has stay as they are.

    Raises
    ------
    ExperimentConflict, StorageError
        See :func:`import_orion`.
    """
    batches = [list(_batches(one, now)) for one in found]
    wanted = {(one.name, one.version) for one in found}

    def follows(experiment: ExperimentState) -> bool:
        return (experiment.name, experiment.version) in wanted

    if os.path.exists(path):
        # Before the first write, so that a refusal changes nothing.
        storage = PickledDB(path, follows)
        _check_room(storage.refresh(), found, path)
    else:
        storage = PickledDB.create(path, follows)
    try:
        done = []
        for one, its_batches in zip(found, batches, strict=True):
            done.append(Imported(one, _write_one(storage, one, its_batches)))
        return done
    finally:
        storage.close()


def _check_room(state: State, found: Sequence[FoundExperiment], path: str) -> None:
    """Raise ExperimentConflict for the title of another experiment, or if all were imported."""
    others = []
    whole = []
    for one in found:
        there = state.find(one.name, one.version)
        if there is not None and not _is_same(there, one):
            others.append(one.title)
        elif there is not None and not there.to_import:
            whole.append(one.title)
    if others:
        raise ExperimentConflict(
            f"{path} has another experiment {', '.join(others)}",
            "Choose others with --name and --version, or another database with --storage.",
        )
    if len(whole) == len(found):
        raise ExperimentConflict(
            f"{', '.join(whole)} {'was' if len(whole) == 1 else 'were'} imported into {path} "
            "before",
            f"'orion-hpc status --storage {shlex.quote(path)}' shows its state; import into "
            "another database with --storage.",
        )


def _is_same(there: ExperimentState, one: FoundExperiment) -> bool:
    origin = there.configuration.get(IMPORTED) or {}
    return bool(origin.get("digest") == one.configuration[IMPORTED]["digest"])


class _Batch(NamedTuple):
    """The events of one transaction, to be written when there are ``start`` trials."""

    start: int
    events: list[ev.Event]


def _write_one(storage: Storage, one: FoundExperiment, batches: Sequence[_Batch]) -> bool:
    """Write one experiment, or what is missing of it; return False if nothing was missing."""

    def create(state: State) -> list[ev.Event]:
        if state.find(one.name, one.version) is not None:
            return []
        return [ev.CreateExperiment(one.name, one.version, one.configuration, one.create_time)]

    there = storage.state.find(one.name, one.version)
    if there is not None and not there.to_import and _is_same(there, one):
        return False
    there = storage.transact(CATALOGUE, create).find(one.name, one.version)
    if there is None or not _is_same(there, one):
        raise ExperimentConflict(
            f"another process has just created another experiment {one.title}",
            "Choose others with --name and --version, or another database with --storage.",
        )
    for batch in batches:

        def missing(
            state: State, batch: _Batch = batch, number: int = there.number
        ) -> list[ev.Event]:
            return batch.events if len(state.experiments[number].trials) == batch.start else []

        storage.transact(there.number, missing)
    if there.to_import:
        raise StorageError(
            f"experiment {one.title} is there in part: {there.to_import} trials are missing",
            "Run the same import again.",
        )
    return True


def _batches(one: FoundExperiment, now: float) -> Iterator[_Batch]:
    """Yield the trials' transactions.

    Limits would close the experiment before all trials are written: each transaction lifts them
    first, and the last one sets them.
    """
    lifted: ev.Event = ev.ChangeLimits(None, _NO_LIMIT, now)
    start, events, size = 0, [lifted], 0
    for number, trial in enumerate(one.trials):
        more = trial_events(number, trial)
        added = len(safe_pickle.dumps(tuple(encode(event) for event in more)))
        full = size + added > _MOST_BYTES or len(events) + len(more) > _MOST_EVENTS
        if full and size:
            yield _Batch(start, events)
            start, events, size = number, [lifted], 0
        events += more
        size += added
    limits = one.configuration["max_trials"], one.configuration["max_broken"]
    events.append(ev.ChangeLimits(*limits, now))
    if one.trials:
        yield _Batch(start, events)


def trial_events(number: int, trial: FoundTrial) -> list[ev.Event]:
    """Return the events of ``trial`` as trial ``number``: its registration and, unless it is new,
    one attempt. Pure."""
    events: list[ev.Event] = [ev.RegisterTrial(number, trial.params, trial.submit_time, trial.id)]
    if trial.status == NEW:
        return events
    events.append(ev.ReserveTrial(number, 1, trial.worker, trial.start_time))
    if trial.status == COMPLETED and trial.results is not None:
        events.append(ev.CompleteTrial(number, 1, trial.results, trial.end_time))
        return events
    cause = USER_ERROR if trial.status == BROKEN else CANCELLED
    events.append(ev.ReleaseTrial(number, 1, trial.status, cause, trial.message, trial.end_time))
    return events
