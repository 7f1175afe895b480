"""What the page of an experiment shows, as values that JSON has. Pure.

The page itself, and the file of a report, are made in ``page``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.experiment_info import experiment_info, info_rows
from orion_hpc.experiments.resources import resource_lines, resources
from orion_hpc.experiments.trial_table import Missing, finite, iso, record, table
from orion_hpc.model.state import ExperimentState
from orion_hpc.visual.chart import Chart
from orion_hpc.visual.kinds import make_chart

_BEST = 10

_MODEL_TRIALS = 1000
"""Trials to which models are fitted; of more, the last ones."""

_CHARTS: dict[str, dict[str, Any]] = {
    "regret": {},
    "parallel_coordinates": {},
    "importance": {},
    "lpi": {"n_runs": 3, "model_kwargs": {"random_state": 0}, "most": _MODEL_TRIALS},
    "slice": {},
    "pareto_front": {},
    "fidelity": {},
    "partial_dependencies": {
        "n_samples": 20, "model_kwargs": {"random_state": 0}, "most": _MODEL_TRIALS,
    },
    "timeline": {},
}  # fmt: skip
"""The charts of the page, with their options; those that don't suit an experiment are left out."""

_MOST_DIMENSIONS = 6
"""Dimensions with which there is a picture for each pair of them."""


def page_data(
    state: ExperimentState, summary: Mapping[str, Any], storage: str, now: float
) -> dict[str, Any]:
    """Return what the page shows of one experiment.

    Parameters
    ----------
    state : ExperimentState
    summary : mapping
        See :func:`~orion_hpc.experiments.summary.experiment_summary`.
    storage : str
        The path of its database.
    now : float
        Seconds since the epoch.

    Returns
    -------
    dict
        ``title``, ``time`` (ISO 8601), ``state``, ``counts`` (trials by status), ``max_trials``,
        ``best`` (numbers of the best trials), ``info`` (names and values), ``resources`` (lines),
        ``charts`` (see :class:`~orion_hpc.visual.chart.Chart`; their points name trials, without
        labels) and ``trials`` (``columns``, and a row of values for each trial; None: no value).
    """
    found = experiment_info(state, summary, storage)
    asked = resources(state)
    return {
        "title": f"{state.name} v{state.version}",
        "time": iso(now),
        "state": found["state"],
        "counts": {name: count for name, count in found["trials"].items() if count},
        "max_trials": state.max_trials,
        "best": [one.number for one in state.ranked(_BEST)],
        "info": [list(row) for row in info_rows(state, found)],
        "resources": resource_lines(state.title, asked) if asked["asked"] else [],
        "charts": [_without_labels(one).to_dict() for one in charts_of(state)],
        "trials": _trials(state),
    }


def charts_of(state: ExperimentState) -> list[Chart]:
    """Return the charts that suit the experiment."""
    found = []
    for kind, options in _CHARTS.items():
        if kind == "partial_dependencies" and len(_space(state)) > _MOST_DIMENSIONS:
            continue
        try:
            found.append(make_chart(kind, [state], **options))
        except ConfigurationError:  # too few trials, one objective, no fidelity, a missing library
            continue
    return found


def _space(state: ExperimentState) -> Mapping[str, Any]:
    space: Mapping[str, Any] = state.configuration.get("space") or {}
    return space


def _without_labels(chart: Chart) -> Chart:
    panels = tuple(
        dataclasses.replace(
            panel,
            series=tuple(
                dataclasses.replace(one, labels=() if one.trials else one.labels)
                for one in panel.series
            ),
        )
        for panel in chart.panels
    )
    return dataclasses.replace(chart, panels=panels)


def _trials(state: ExperimentState) -> dict[str, Any]:
    columns = table([record(state, one) for one in state.trials])
    for name in ("experiment", "version", "id"):
        columns.pop(name, None)
    values = [[_value(one) for one in column] for column in columns.values()]
    params = [name for name in columns if name.removeprefix("params.") in _space(state)]
    return {
        "columns": list(columns),
        "params": params,
        "times": ["submit_time", "start_time", "end_time"],
        "rows": [list(row) for row in zip(*values, strict=True)],
    }


def _value(value: Any) -> Any:
    if value is Missing:
        return None
    if value is None or isinstance(value, bool):  # a choice
        return str(value)
    return finite(value)
