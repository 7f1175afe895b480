"""The kinds of charts by name, those of one experiment and those that compare several."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.model.state import ExperimentState
from orion_hpc.visual import comparison_charts, model_charts, trial_charts
from orion_hpc.visual.chart import Chart

OF_ONE: dict[str, Callable[..., Chart]] = {
    "regret": trial_charts.regret,
    "parallel_coordinates": trial_charts.parallel_coordinates,
    "lpi": model_charts.lpi,
    "partial_dependencies": model_charts.partial_dependencies,
    "importance": model_charts.importance,
    "slice": trial_charts.slices,
    "contour": model_charts.contour,
    "pareto_front": trial_charts.pareto_front,
    "timeline": trial_charts.timeline,
    "fidelity": trial_charts.fidelity,
}
"""Charts of one experiment."""

OF_SEVERAL: dict[str, Callable[..., Chart]] = {
    "regrets": comparison_charts.regrets,
    "rankings": comparison_charts.rankings,
    "durations": comparison_charts.durations,
    "parallel_assessment": comparison_charts.parallel_assessment,
}
"""Charts that compare experiments."""

KINDS = (*OF_ONE, *OF_SEVERAL)

Several: TypeAlias = (
    Sequence[ExperimentState] | Mapping[str, ExperimentState | Sequence[ExperimentState]]
)


def make_chart(kind: str, experiments: Several, **options: Any) -> Chart:
    """Return the chart of a kind.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    experiments : sequence of ExperimentState, or mapping of str to one or a sequence
        One of them for a chart of :data:`OF_ONE`.
    options
        Arguments of the chart's function.

    Raises
    ------
    ConfigurationError
        There is no such kind or option, or there are several experiments where one is shown; or the
        trials suit no such chart.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"there is no plot {kind!r:.100}{did_you_mean(kind, KINDS)}",
            f"There are: {', '.join(KINDS)}.",
        )
    make = OF_ONE.get(kind) or OF_SEVERAL[kind]
    known = list(inspect.signature(make).parameters)[1:]
    for name in options:
        if name not in known:
            raise ConfigurationError(
                f"the plot {kind} has no option {name!r:.100}{did_you_mean(name, known)}",
                f"There are: {', '.join(known)}." if known else "It has none.",
            )
    if kind in OF_SEVERAL:
        return make(comparison_charts.grouped(experiments), **options)
    if isinstance(experiments, Mapping) or len(experiments) != 1:
        raise ConfigurationError(
            f"the plot {kind} shows one experiment, and {len(experiments)} are given",
            f"These compare several: {', '.join(OF_SEVERAL)}.",
        )
    return make(experiments[0], **options)
