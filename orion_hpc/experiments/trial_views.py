"""Trials as people read them: chosen, sorted, and as rows or lines of text. Pure.

Complete records, for programs, are made in :mod:`orion_hpc.experiments.trial_table`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.experiments.lookup import check_status
from orion_hpc.experiments.progress import duration
from orion_hpc.experiments.trial_table import TIMES, Missing, record, table
from orion_hpc.model.history import fidelity_of
from orion_hpc.model.result import OBJECTIVE
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import TrialRecord
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.worker.placeholders import fill, trial_values

DURATION = "duration"
"""The column of the seconds that the last attempt took."""

_NONE = "-"

_DIGITS = 11
"""Characters of a hyperparameter that is shown unrounded."""


def select_trials(
    state: ExperimentState,
    statuses: Collection[str] = (),
    sort: str | None = None,
    reverse: bool = False,
    limit: int | None = None,
) -> list[TrialRecord]:
    """Return the trials of these statuses (none: all) in the order of one column.

    Parameters
    ----------
    state : ExperimentState
    statuses : collection of str
    sort : str, optional
        A column of :func:`trial_columns`; by default the number. ``objective`` means from the best
        trial on, by the rules of :attr:`ExperimentState.best`. Trials without a value come last.
    reverse : bool, default False
        Whether to begin with the greatest value, or the worst trial.
    limit : int, optional
        The most trials.

    Raises
    ------
    ConfigurationError
        There is no such status or column.
    """
    for status in statuses:
        check_status(status)
    trials = [one for one in state.trials if not statuses or one.status in statuses]
    if sort == "objective":
        ranks = {one.number: rank for rank, one in enumerate(state.ranked())}
        trials = _sorted(trials, [ranks.get(one.number) for one in trials], reverse)
    elif sort not in (None, "number"):
        columns = _columns(state, trials)
        values = columns[_known(sort, columns)]
        trials = _sorted(trials, [None if one is Missing else one for one in values], reverse)
    elif reverse:
        trials.reverse()
    return trials[:limit]


def _sorted(
    trials: Sequence[TrialRecord], values: Sequence[Any], reverse: bool
) -> list[TrialRecord]:
    """Return the trials in the order of their values: numbers before texts, None last."""
    some = [(one, value) for one, value in zip(trials, values, strict=True) if value is not None]
    some.sort(key=lambda pair: _sort_key(pair[1]), reverse=reverse)
    rest = [one for one, value in zip(trials, values, strict=True) if value is None]
    return [one for one, _ in some] + rest


def _sort_key(value: Any) -> tuple[bool, Any]:
    number = isinstance(value, int | float)
    return (not number, value if number else str(value))


def _known(name: str, columns: Mapping[str, Any]) -> str:
    if name not in columns:
        raise ConfigurationError(
            f"there is no column {name!r:.100}{did_you_mean(name, columns)}",
            f"There are: {', '.join(columns)}.",
        )
    return name


def _columns(state: ExperimentState, trials: Sequence[TrialRecord]) -> dict[str, list[Any]]:
    """Return every column by its name, with a value for each trial."""
    columns = table([record(state, one) for one in trials])
    for name in state.configuration.get("space") or ():
        columns.setdefault(name, [Missing] * len(trials))
    del columns["experiment"], columns["version"]
    columns[DURATION] = [_seconds(one) for one in trials]
    return columns


def _seconds(trial: TrialRecord) -> Any:
    if trial.start_time is None or trial.end_time is None:
        return Missing
    return max(0.0, trial.end_time - trial.start_time)


def trial_columns(
    state: ExperimentState, trials: Sequence[TrialRecord], wanted: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return a table's columns, as texts, by their headings.

    Parameters
    ----------
    state : ExperimentState
    trials : sequence of TrialRecord
    wanted : sequence of str
        Names of columns. By default number, status, objectives and hyperparameters; the cause where
        there is one.

    Raises
    ------
    ConfigurationError
        There is no such column.
    """
    columns = _columns(state, trials)
    params = {name for one in trials for name in one.params}
    if not wanted:
        further = {name for one in trials for name in _further_objectives(one)}
        wanted = [
            *("number", "status", "objective"),
            *(name for name in columns if name.removeprefix("results.") in further),
            *(name for name in columns if name.removeprefix("params.") in params),
            *(["cause"] if any(one.cause for one in trials) else []),
        ]
    return {
        name: [
            _cell(name, one, name.removeprefix("params.") in params)
            for one in columns[_known(name, columns)]
        ]
        for name in wanted
    }


def _further_objectives(trial: TrialRecord) -> list[str]:
    """Return the names of the objectives after the first."""
    return [one["name"] for one in trial.results or () if one["type"] == OBJECTIVE][1:]


def _cell(name: str, value: Any, is_param: bool = False) -> str:
    if value is Missing or (value is None and not is_param):
        return _NONE
    if name in TIMES:
        return local_time(value)
    if name == DURATION:
        return took(value)
    if is_param and isinstance(value, float) and len(repr(value)) <= _DIGITS:
        return repr(value)
    return short(value)


def local_time(seconds: float) -> str:
    """Return a time by this machine's clock, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def local_clock(seconds: float) -> str:
    """Return the time of day by this machine's clock."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def took(seconds: float) -> str:
    """Return how long something took; of a short time two digits."""
    return duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"


def short(value: Any) -> str:
    """Return a value with at most six significant digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value).partition("\n")[0]


def trial_rows(
    state: ExperimentState, trial: TrialRecord, folder: str, logs: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the names and values of all that is known of a trial.

    ``folder`` is its working directory, ``logs`` the paths of the logs with its output.
    """
    who = Identity.parse(trial.worker) if trial.worker else None
    rows = [
        ("trial", f"{trial.number} of {state.name} v{state.version}"),
        ("id", trial.id),
        ("status", trial.status + (f" ({trial.cause})" if trial.cause else "")),
        ("attempts", str(trial.attempt) + (f", {trial.losses} lost" if trial.losses else "")),
        ("parameters", ""),
        *((f"  {name}", repr(value)) for name, value in trial.params.items()),
    ]
    if trial.results:
        rows.append(("results", ""))
        rows += [(f"  {one['name']}", f"{one['value']!r} ({one['type']})") for one in trial.results]
        if not trial.feasible:
            rows.append(("feasible", "no: a constraint is above 0"))
    if trial.parent is not None:
        rows.append(("parent", f"trial {trial.parent}, whose checkpoint it continues"))
    for name, time in zip(("submitted", "started", "ended"), TIMES, strict=True):
        if (seconds := getattr(trial, time)) is not None:
            rows.append((name, local_time(seconds)))
    if (seconds := _seconds(trial)) is not Missing:
        rows.append(("took", took(seconds)))
    if trial.worker:
        rows.append(("worker", trial.worker))
    if who is not None:
        rows.append(("host", who.host))
    rows.append(("folder", folder))
    rows += [("log", path) for path in logs]
    if trial.message:
        first, *rest = trial.message.strip().splitlines()
        rows += [("message", first), *(("", line) for line in rest)]
    return rows


def command_of(state: ExperimentState, trial: TrialRecord, folder: str) -> str:
    """Return the command of a trial, filled in, for a shell; ``folder`` is its working directory.

    Raises
    ------
    ConfigurationError
        The experiment runs a function.
    """
    argv = state.configuration.get("command")
    if not argv:
        raise ConfigurationError(
            f"{state.title} runs a function, and no command",
            "'orion-hpc best CONFIG --json' prints its arguments.",
        )
    values = trial_values(
        trial.id, trial.number, trial.params, fidelity_of(state.configuration), folder,
        state.name, state.version,
    )  # fmt: skip
    return shlex.join(fill(argv, values))
