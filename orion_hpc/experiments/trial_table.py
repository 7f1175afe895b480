"""Trials as plain records, and records as tables, CSV and JSON. Pure.

Data frames and Parquet are made in :mod:`orion_hpc.experiments.frames`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from orion_hpc.errors import ConfigurationError
from orion_hpc.model.result import OBJECTIVE
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import Results, TrialRecord

TIMES = ("submit_time", "start_time", "end_time")
_FIRST = ("experiment", "version", "number", "id", "status", "attempt", "objective")
_LAST = (*TIMES, "worker", "cause", "message", "parent")

_MAX_CELLS = 30_000_000
"""Cells of a table; so many take some gigabytes of memory."""


def record(experiment: ExperimentState, trial: TrialRecord) -> dict[str, Any]:
    """Return a trial as plain data.

    ``params`` are by flat name, ``results`` in Oríon's form, times in seconds since the epoch, and
    ``parent`` is the number of the trial that it continues.
    """
    return {
        "experiment": experiment.name,
        "version": experiment.version,
        "number": trial.number,
        "id": trial.id,
        "status": trial.status,
        "attempt": trial.attempt,
        "objective": trial.objective,
        "params": trial.params,
        "results": trial.results or [],
        **{key: getattr(trial, key) for key in _LAST},
    }


def as_json(records: Iterable[Mapping[str, Any]]) -> str:
    """Return the records as a JSON list.

    Times are in ISO 8601, UTC. Numbers that JSON lacks are texts that ``float()`` reads: ``"NaN"``,
    ``"Infinity"``, ``"-Infinity"``.
    """
    lines = ",\n".join(
        json.dumps(plain(one), allow_nan=False, ensure_ascii=False) for one in records
    )
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def plain(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as values that JSON has; see :func:`as_json`."""
    return {key: iso(value) if key in TIMES else finite(value) for key, value in one.items()}


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the records as CSV: a header, and one row for each record.

    A missing value is an empty cell. Lists are in JSON's form, times in ISO 8601, UTC.
    """
    columns = table(records)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    cells = [
        [_cell(_time(value) if name in TIMES else value) for value in values]
        for name, values in columns.items()
    ]
    writer.writerows(zip(*cells, strict=True))
    return out.getvalue()


def _check_cells(columns: int, rows: int) -> None:
    if columns * rows > _MAX_CELLS:
        raise ConfigurationError(
            f"a table of {rows:,} trials with {columns:,} different parameters and results is too "
            f"large: the limit is {_MAX_CELLS:,} cells",
            "Choose an experiment by its name, or the format json, which needs no columns.",
        )


class Missing:
    """Marks a missing value, as opposed to a hyperparameter whose value is None."""


Columns = dict[str, list[Any]]


def table(records: Sequence[Mapping[str, Any]]) -> Columns:
    """Return the columns by name, with a value for each record; :class:`Missing` marks no value.

    The first objective is the column ``objective``. Further objectives, other results and
    hyperparameters have their own names. A name that is already taken becomes ``results.NAME`` or
    ``params.NAME``.

    Raises
    ------
    ConfigurationError
        The trials have so few columns in common that the table would hardly fit into memory.
    """
    taken = {*_FIRST, *_LAST}
    results = _results(records, taken)
    return {**_own(records, _FIRST), **results, **_params(records, taken), **_own(records, _LAST)}


def suggested_columns(records: Sequence[Mapping[str, Any]]) -> Columns:
    """Return the columns of Oríon's ``to_pandas``, then the further ones of :func:`table`.

    Times are datetimes. Hyperparameters keep their names; a further column of the same name becomes
    ``trial.NAME``.
    """
    columns: Columns = {
        "id": [one["id"] for one in records],
        "experiment_id": [f"{one['experiment']}-v{one['version']}" for one in records],
        "status": [one["status"] for one in records],
        "suggested": [_naive(one["submit_time"]) for one in records],
        "reserved": [_naive(one["start_time"]) for one in records],
        "completed": [_naive(one["end_time"]) for one in records],
        "objective": [Missing if one["objective"] is None else one["objective"] for one in records],
    }
    taken = set(columns)
    columns.update(_params(records, taken))
    first, last = [name for name in _FIRST if name not in columns], list(_LAST)
    names = {name: _free(name, "trial", taken) for name in (*first, *last)}
    results = _results(records, taken)
    own = {
        name: [_naive(one[name]) for one in records] if name in TIMES else values
        for name, values in _own(records, (*first, *last)).items()
    }
    columns.update({names[name]: own[name] for name in first})
    columns.update(results)
    columns.update({names[name]: own[name] for name in last})
    return columns


def _own(records: Sequence[Mapping[str, Any]], names: Iterable[str]) -> Columns:
    """Return the columns of the keys that every record has."""
    return {
        name: [Missing if one[name] is None else one[name] for one in records] for name in names
    }


def _params(records: Sequence[Mapping[str, Any]], taken: set[str]) -> Columns:
    names = _names(name for record in records for name in record["params"])
    _check_cells(len(names), len(records))
    return {
        _free(name, "params", taken): [one["params"].get(name, Missing) for one in records]
        for name in names
    }


def _results(records: Sequence[Mapping[str, Any]], taken: set[str]) -> Columns:
    """Return the columns of the objectives after the first, then of all other results."""
    further = [_further(record["results"]) for record in records]
    others = [
        {one["name"]: one["value"] for one in record["results"] if one["type"] != OBJECTIVE}
        for record in records
    ]
    names = [_names(name for one in found for name in one) for found in (further, others)]
    _check_cells(sum(map(len, names)), len(records))
    return {
        _free(name, "results", taken): [one.get(name, Missing) for one in found]
        for of_kind, found in zip(names, (further, others), strict=True)
        for name in of_kind
    }


def _further(results: Results) -> dict[str, Any]:
    """Return the objectives after the first, by name."""
    objectives = [one for one in results if one["type"] == OBJECTIVE]
    return {one["name"]: one["value"] for one in objectives[1:]}


def moment(seconds: float) -> datetime:
    """Return the time that is ``seconds`` after the epoch, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc)


def iso(seconds: Any) -> str | None:
    """Return a time in ISO 8601, UTC; None if ``seconds`` is no number."""
    return moment(seconds).isoformat() if isinstance(seconds, int | float) else None


def _time(seconds: Any) -> Any:
    return Missing if seconds is Missing else iso(seconds)


def _naive(seconds: float | None) -> Any:
    # Oríon's times are in UTC without a time zone.
    return Missing if seconds is None else moment(seconds).replace(tzinfo=None)


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _free(name: str, prefix: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{prefix}.{name}"
    taken.add(name)
    return name


def finite(value: Any) -> Any:
    """Return a value as JSON has it; see :func:`as_json`."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def as_text(value: Any) -> str:
    """Return a value as text; lists in JSON's form."""
    if isinstance(value, list | tuple):
        return json.dumps(finite(value), ensure_ascii=False)
    return value if isinstance(value, str) else repr(value)


def _cell(value: Any) -> str:
    return "" if value is Missing else as_text(value)
