"""Trials as plain records, and as tables with a column for each thing. Pure."""

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

_MOST_CELLS = 30_000_000
"""Of a table, which takes some gigabytes of memory then."""


def record(experiment: ExperimentState, trial: TrialRecord) -> dict[str, Any]:
    """Return a trial as plain data: what it is, ``params`` by flat name, ``results`` in Oríon's
    form, times as seconds since the epoch, and the number of the trial that it goes on from as
    ``parent``."""
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

    Times are in ISO 8601, UTC. What JSON has no number for is a text that any ``float()`` reads:
    ``"NaN"``, ``"Infinity"``, ``"-Infinity"``.
    """
    plain = [
        {key: iso(value) if key in TIMES else _finite(value) for key, value in one.items()}
        for one in records
    ]
    lines = ",\n".join(json.dumps(one, allow_nan=False, ensure_ascii=False) for one in plain)
    return f"[\n{lines}\n]\n" if plain else "[]\n"


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the records as a table, one line of names and one row for each.

    What there isn't is empty; lists are in JSON's form; times are in ISO 8601, UTC.
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
    if columns * rows > _MOST_CELLS:
        raise ConfigurationError(
            f"a table of {rows:,} trials with {columns:,} different parameters and results is too "
            f"large: {_MOST_CELLS:,} cells are possible",
            "Choose an experiment by its name, or the format json, which needs no columns.",
        )


class Missing:
    """What a trial doesn't have, which isn't the same as a hyperparameter that is None."""


Columns = dict[str, list[Any]]


def table(records: Sequence[Mapping[str, Any]]) -> Columns:
    """Return a column for each thing, by its name, with a value for each record.

    The first objective stands under ``objective``, further ones and the other results under their
    names, and so do hyperparameters; one whose name another column has already is called
    ``results.NAME`` or ``params.NAME``. :class:`Missing` is no value.

    Raises
    ------
    ConfigurationError
        The trials have so little in common that the table would hardly fit into memory.
    """
    taken = {*_FIRST, *_LAST}
    results = _results(records, taken)
    return {**_own(records, _FIRST), **results, **_params(records, taken), **_own(records, _LAST)}


def suggested_columns(records: Sequence[Mapping[str, Any]]) -> Columns:
    """Return the columns of Oríon's ``to_pandas``, and behind them those of :func:`table` that
    aren't among them, with times as datetimes.

    Hyperparameters keep their names: ours of the same name is called ``trial.NAME``.
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
    """Return columns of what each trial has."""
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
    """Return columns of the objectives after the first, then of all other results."""
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
    """Return the time of so many seconds since the epoch."""
    return datetime.fromtimestamp(seconds, timezone.utc)


def iso(seconds: Any) -> str | None:
    """Return a time in ISO 8601, UTC; None of none."""
    return moment(seconds).isoformat() if isinstance(seconds, int | float) else None


def _time(seconds: Any) -> Any:
    return Missing if seconds is Missing else iso(seconds)


def _naive(seconds: float | None) -> Any:
    # As Oríon's are: in UTC, and without a word on it.
    return Missing if seconds is None else moment(seconds).replace(tzinfo=None)


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _free(name: str, prefix: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{prefix}.{name}"
    taken.add(name)
    return name


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def as_text(value: Any) -> str:
    """Return a value of any kind as a text: lists in JSON's form."""
    if isinstance(value, list | tuple):
        return json.dumps(_finite(value), ensure_ascii=False)
    return value if isinstance(value, str) else repr(value)


def _cell(value: Any) -> str:
    return "" if value is Missing else as_text(value)
