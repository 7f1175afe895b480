"""Converts the document of an Oríon trial.

Pure. A trial whose parameters or status can't be read is refused as a whole; anything else that
can't be converted is left out, and the number of trials with such a loss is counted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orion_hpc.errors import InvalidResult
from orion_hpc.importers.orion.inert_values import UnsupportedValue, ValueConverter, moment
from orion_hpc.model.result import OBJECTIVE, STATISTIC, TYPES, check_results
from orion_hpc.model.trial_record import (
    BROKEN,
    COMPLETED,
    INTERRUPTED,
    RESERVED,
    STATUSES,
    Params,
    Results,
)

_MOST_BYTES = 1024 * 1024
"""The limit of a trial's parameters, as text: they must fit into a transaction."""

WAS_RESERVED = "reserved in Oríon by workers that aren't ours, and interrupted here"
NO_RESULT = "completed in Oríon without a usable objective, and broken here"
NO_STATISTIC = "that lose a statistic that is neither numbers nor a text, a boolean or None"
SECOND_OBJECTIVE = "that keep a second objective as a statistic, as only the first was minimised"
NEW_ID = "that get another id, as the one that they had isn't letters and digits"
"""Notes that follow the word "Trials" and precede their number."""


@dataclass(frozen=True, slots=True)
class FoundTrial:
    """A trial of Oríon, converted. Times are seconds since the epoch.

    ``id`` is None where it had none that can be used. Only completed trials have ``results``.
    ``message`` says how an attempt without results ended.
    """

    id: str | None
    params: Params
    status: str
    results: Results | None
    submit_time: float
    start_time: float | None
    end_time: float | None
    worker: str
    message: str


def read_trial(
    document: Mapping[str, Any], converter: ValueConverter, created: float, notes: Counter[str]
) -> FoundTrial:
    """Return the trial of a flat document; losses are counted in ``notes``.

    Raises
    ------
    UnsupportedValue
        Its parameters or its status can't be converted.
    """
    status = document.get("status")
    if not isinstance(status, str) or status not in STATUSES:
        raise UnsupportedValue("a status that there isn't")
    params = _params(document.get("params"), converter)
    results: Results | None = None
    message = f"{status} in Oríon, which keeps no reason"
    if status == COMPLETED:
        try:
            results = _results(document.get("results"), converter, notes)
        except InvalidResult as error:
            status, message = BROKEN, f"completed in Oríon, but {error.message}"
            notes[NO_RESULT] += 1
    elif status == RESERVED:
        status, message = INTERRUPTED, "reserved in Oríon, by a worker that isn't ours"
        notes[WAS_RESERVED] += 1
    given = document.get("id") or document.get("_id")  # older versions have the hash as _id
    id_ = given if isinstance(given, str) and re.fullmatch("[0-9A-Za-z]{1,64}", given) else None
    if id_ is None:
        notes[NEW_ID] += 1
    worker = document.get("worker")
    submitted = _seconds(document.get("submit_time"))
    return FoundTrial(
        id=id_,
        params=params,
        status=status,
        results=results,
        submit_time=created if submitted is None else submitted,
        start_time=_seconds(document.get("start_time")),
        end_time=_seconds(document.get("end_time")),
        worker=worker if isinstance(worker, str) and is_text(worker) else "Oríon",
        message=message,
    )


def is_text(value: Any, longest: int = 1000) -> bool:
    """Return whether ``value`` is a printable text of one line."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= longest


def plain_name(name: Any) -> str | None:
    """Return the flat name of a dimension; None if it can't be one.

    Names from Oríon's command line have a slash in front and between levels: ``/model/width``.
    """
    if not is_text(name):
        return None
    if name.startswith("/"):
        name = name[1:].replace("/", ".")
    return name if all(level.strip() for level in name.split(".")) else None


def _params(found: Any, converter: ValueConverter) -> Params:
    params: Params = {}
    for entry in _entries(found):
        name = plain_name(entry.get("name"))
        if name is None or name in params:
            raise UnsupportedValue("a parameter without a name of its own")
        params[name] = converter.plain(entry.get("value"))
        _check_shown(params[name])
    if not params:
        raise UnsupportedValue("no parameters")
    if len(repr(params)) > _MOST_BYTES:
        raise UnsupportedValue(f"parameters of more than {_MOST_BYTES >> 20} MiB")
    return dict(sorted(params.items()))


def _check_shown(value: Any) -> None:
    """Raise UnsupportedValue for plain data that JSON can't have."""
    if isinstance(value, bytes):
        raise UnsupportedValue("a parameter of bytes")
    if isinstance(value, float) and not math.isfinite(value):
        raise UnsupportedValue(f"a parameter that is {value}")
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_shown(inner)


def _results(found: Any, converter: ValueConverter, notes: Counter[str]) -> Results:
    """Return the results of a completed trial; InvalidResult where the objective is no number."""
    kept: list[dict[str, Any]] = []
    lost = second = False
    for entry in _entries(found):
        kind, name = entry.get("type"), entry.get("name")
        if kind not in TYPES:
            continue  # "lie": a value that an algorithm assumed before there was a result
        try:
            result = {"name": name or kind, "type": kind, "value": converter.plain(entry["value"])}
        except (UnsupportedValue, KeyError) as error:
            if kind == OBJECTIVE:
                raise InvalidResult(f"its objective is {error}") from None
            lost = True
            continue
        if kind == OBJECTIVE:
            if any(before["type"] == OBJECTIVE for before in kept):
                result["type"], second = STATISTIC, True
        elif kind != STATISTIC and not _is_numeric(result):
            lost = True
            continue
        kept.append(result)
    left_out: list[str] = []
    results = check_results(kept, left_out.append)
    notes.update([NO_STATISTIC] * (lost or bool(left_out)) + [SECOND_OBJECTIVE] * second)
    return results


def _is_numeric(result: Mapping[str, Any]) -> bool:
    try:
        check_results([result, {"name": OBJECTIVE, "type": OBJECTIVE, "value": 0}])
    except InvalidResult:
        return False
    return True


def _entries(found: Any) -> Iterable[dict[str, Any]]:
    """Return Oríon's list of mappings with name, type and value."""
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise UnsupportedValue("a list of values that isn't one")
    return found


def _seconds(value: Any) -> float | None:
    try:
        return None if value is None else moment(value).timestamp()
    except UnsupportedValue:
        return None
