"""Describes one experiment completely: settings, space, algorithm, best trial, times, jobs. Pure.

What changes from minute to minute is in :mod:`orion_hpc.experiments.summary`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from orion_hpc.experiments.progress import duration
from orion_hpc.experiments.stats import statistics
from orion_hpc.experiments.trial_table import finite, iso, plain, record
from orion_hpc.experiments.trial_views import local_time, short
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import COMPLETED

_COMMIT = 10
"""Characters of a commit that are shown."""

_TIMES = {"created": "created", "first_start": "first trial", "last_end": "last result"}
"""By the key of a time, what it is called."""

Rows = list[tuple[str, str]]


def experiment_info(
    state: ExperimentState, summary: Mapping[str, Any], storage: str
) -> dict[str, Any]:
    """Return all that is known of an experiment, its trials but the best aside.

    Parameters
    ----------
    state : ExperimentState
    summary : mapping
        See :func:`~orion_hpc.experiments.summary.experiment_summary`.
    storage : str
        The path of its database.

    Returns
    -------
    dict
        The keys of the summary, with the complete record of the best trial as ``best``, and
        ``storage``, ``configuration`` (as the database records it), ``created``, ``first_start``,
        ``last_end`` (seconds since the epoch, or None) and ``seconds`` (the sum of the completed
        attempts).
    """
    starts = [one.start_time for one in state.trials if one.start_time is not None]
    ends = [one.end_time for one in state.having(COMPLETED) if one.end_time is not None]
    return {
        **summary,
        "storage": storage,
        "configuration": finite(state.configuration),
        "best": None if state.best is None else plain(record(state, state.best)),
        "created": state.create_time,
        "first_start": min(starts, default=None),
        "last_end": max(ends, default=None),
        "seconds": statistics(state).sum_of_trials_time.total_seconds(),
    }


def info_json(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return :func:`experiment_info` for a program: times in ISO 8601."""
    return {key: iso(value) if key in _TIMES else value for key, value in found.items()}


def info_rows(state: ExperimentState, found: Mapping[str, Any]) -> Rows:
    """Return the names and values of :func:`experiment_info` as texts."""
    trials = [f"{count:,} {status}" for status, count in found["trials"].items() if count]
    hosts = sorted({one["host"] for one in found["workers"] if one["host"]})
    rows = [
        ("experiment", f"{state.name} v{state.version}"),
        ("database", found["storage"]),
        ("state", found["state"] + (f": {found['reason']}" if found["reason"] else "")),
        ("trials", ", ".join(trials) or "none"),
        ("workers", f"{len(found['workers'])}" + (f" on {', '.join(hosts)}" if hosts else "")),
        *_settings(state),
    ]
    rows += [
        (name, local_time(found[key])) for key, name in _TIMES.items() if found[key] is not None
    ]
    if found["seconds"]:
        rows.append(("trials took", duration(found["seconds"])))
    rows += _best(state)
    if found["jobs"]:
        rows.append(("submissions", ""))
        rows += [("  " + local_time(one["time"]), _submission(one)) for one in found["jobs"]]
    return rows


def _settings(state: ExperimentState) -> Iterator[tuple[str, str]]:
    configuration = state.configuration
    command = configuration.get("command")
    if command:
        yield "command", shlex.join(command)
    elif configuration.get("function"):
        yield "function", str(configuration["function"])
    if configuration.get("path"):
        yield "code in", str(configuration["path"])
    for name, value in (configuration.get("kwargs") or {}).items():
        yield f"  {name}", json.dumps(value)
    yield "space", ""
    for name, prior in (configuration.get("space") or {}).items():
        yield f"  {name}", str(prior)
    algorithm = configuration.get("algorithm")
    for name, options in algorithm.items() if isinstance(algorithm, Mapping) else ():
        yield "algorithm", str(name)
        for option, value in (options or {}).items():
            yield f"  {option}", json.dumps(value, default=str)
    yield "max_trials", "no limit" if state.max_trials is None else str(state.max_trials)
    yield "max_broken", str(state.max_broken)


def _best(state: ExperimentState) -> Iterator[tuple[str, str]]:
    if state.best is None:
        return
    yield "best trial", f"{state.best.number}" + ("" if state.best.feasible else " (infeasible)")
    for name, value in state.best.params.items():
        yield f"  {name}", repr(value)
    for one in state.best.results or ():
        yield f"  {one['name']}", f"{short(one['value'])} ({one['type']})"


def _submission(one: Mapping[str, Any]) -> str:
    text = f"{one['launcher']} {', '.join(one['ids'])}"
    if one["commit"]:
        text += f", commit {one['commit'][:_COMMIT]}"
    return f"{text}, logs in {one['folder']}"
