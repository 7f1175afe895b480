"""Checks a database file, and describes it, as plain data.

Takes no lock and changes nothing, so workers may run meanwhile.
"""

from __future__ import annotations

import pwd
import stat
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from orion_hpc.experiments.active_workers import living_workers
from orion_hpc.maintenance.examination import Examination, Examiner, experiments
from orion_hpc.maintenance.pieces import OVERTAKEN, Fault
from orion_hpc.model.trial_record import COMPLETED

During: TypeAlias = Callable[[Iterable[str]], None]
"""Exhausts an iterator of progress messages."""


def examine(path: str, during: During) -> Examination:
    """Return the examination of the file.

    Raises
    ------
    StorageUnusable
        It isn't there, or it isn't a database of this user's.
    StorageError
        It can't be read.
    """
    examiner = Examiner(path)
    try:
        during(examiner.steps())
    finally:
        examiner.close()
    return examiner.found


def check(path: str, during: During) -> dict[str, Any]:
    """Return whether a database is sound, as plain data.

    ``sound``; ``path``; ``size`` and ``torn`` in bytes; ``transactions``; ``seals``;
    ``restorations`` (of destroyed frames from the writers' copies); ``gaps``, which the next writer
    restores, and ``kept``, the trials in them (``experiment``, ``trial``, ``worker``); ``damage``
    (as ``gaps``: ``start``, ``end``, ``kind``, ``why``), and ``missing``, the trials whose results
    it may have held; ``orphans`` (transactions of experiments without a creation);
    ``experiments`` (``name``, ``version``, ``number``, ``trials`` by status) as far as they can be
    read before the damage.
    """
    return checked(examine(path, during))


def checked(found: Examination) -> dict[str, Any]:
    """Return the result of :func:`check`."""
    damage = found.damage
    gaps = [one for one in found.faults if one.kind == OVERTAKEN]
    torn = [one for one in found.faults if not one.is_damage and one not in gaps]
    return {
        "sound": not damage and not gaps,
        "path": found.path,
        "size": found.size,
        "transactions": found.frames,
        "seals": found.seals,
        "restorations": found.restorations,
        "gaps": [fault_record(one) for one in gaps],
        "kept": _trial_records(found, sorted(found.kept)),
        "torn": sum(one.end - one.start for one in torn),
        "damage": [fault_record(one) for one in damage],
        "missing": _trial_records(found, found.held, without_result=True),
        "orphans": sum(found.orphans.values()),
        "experiments": found.until if damage else experiments(found.state),
    }


def info(path: str, during: During) -> dict[str, Any]:
    """Return facts of a database, as plain data: those of :func:`check`, and ``format``, ``lock``,
    ``id``, ``group`` (whether its group may use it), ``owner``, ``mode``, ``workers`` alive."""
    found = examine(path, during)
    header = found.header.content or {}
    alive = living_workers(found.path)
    return {
        **checked(found),
        "format": found.header.version,
        "lock": header.get("lock"),
        "id": header.get("id"),
        "group": header.get("group") is True,
        "owner": _owner(found.status.st_uid),
        "mode": f"{stat.S_IMODE(found.status.st_mode):04o}",
        "workers": {title: [sign.worker for sign in signs] for title, signs in alive.items()},
    }


def _trial_records(
    found: Examination, trials: Iterable[tuple[int, int]], without_result: bool = False
) -> list[dict[str, Any]]:
    """Return trials as plain data, in the state at the end of the file."""
    records = []
    for number, of_it in trials:
        experiment = found.state.experiments.get(number)
        if experiment is None or of_it >= len(experiment.trials):
            continue
        trial = experiment.trials[of_it]
        if not without_result or trial.status != COMPLETED:
            records.append({"experiment": experiment.title, "trial": of_it, "worker": trial.worker})
    return records


def fault_record(fault: Fault) -> dict[str, Any]:
    """Return a fault as plain data."""
    return {"start": fault.start, "end": fault.end, "kind": fault.kind, "why": fault.why}


def _owner(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
