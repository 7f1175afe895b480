"""Plots of experiments under Oríon's names, as figures of plotly.

The charts themselves are computed in :mod:`orion_hpc.visual`. ``orion-hpc plot`` writes them as
images.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from orion_hpc.visual.chart import Chart
from orion_hpc.visual.kinds import make_chart

if TYPE_CHECKING:
    from orion_hpc.model.state import ExperimentState
    from orion_hpc.visual.plotly_figures import Figure


class Experiment(Protocol):
    """What plots need of an experiment's client."""

    @property
    def _state(self) -> ExperimentState: ...


Several: TypeAlias = "Sequence[Experiment] | Mapping[str, Experiment | Sequence[Experiment]]"


def regret(
    experiment: Experiment,
    with_evc_tree: bool = True,
    order_by: str = "suggested",
    verbose_hover: bool = True,
    **kwargs: Any,
) -> Figure:
    """Return the objectives of the completed trials in order, and the best of them so far.

    Parameters
    ----------
    experiment : ExperimentClient
    with_evc_tree : bool
        Without effect: an experiment's plots show its own trials.
    order_by : {"suggested", "reserved", "completed"}
        The time by which trials are ordered.
    verbose_hover : bool, default True
        Whether a trial's parameters are shown under the mouse.
    **kwargs
        For the figure's ``update_layout``.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    ConfigurationError
        There is no completed trial, or plotly isn't installed.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> from orion_hpc.client.plotting import regret
    >>> space = {"x": "uniform(-5, 5)"}
    >>> experiment = build_experiment("demo", space=space, max_trials=3, debug=True)
    >>> experiment.workon(lambda x: x**2)
    3
    >>> [trace.name for trace in regret(experiment).data]
    ['trials', 'best-to-date']
    """
    return _figure("regret", [experiment], kwargs, verbose_hover, order_by=order_by)


def parallel_coordinates(
    experiment: Experiment,
    with_evc_tree: bool = True,
    order: Sequence[str] | None = None,
    **kwargs: Any,
) -> Figure:
    """Return a line for each trial through its hyperparameters, to its objective.

    Parameters
    ----------
    experiment, with_evc_tree, **kwargs
        As of :func:`regret`.
    order : sequence of str, optional
        The hyperparameters, from left to right.
    """
    return _figure("parallel_coordinates", [experiment], kwargs, order=order)


def lpi(
    experiment: Experiment,
    with_evc_tree: bool = True,
    model: str = "RandomForestRegressor",
    model_kwargs: Mapping[str, Any] | None = None,
    n_points: int = 20,
    n_runs: int = 10,
    **kwargs: Any,
) -> Figure:
    """Return each hyperparameter's local parameter importance.

    Parameters
    ----------
    experiment, with_evc_tree, **kwargs
        As of :func:`regret`.
    model : str
        An ensemble of scikit-learn.
    model_kwargs : mapping, optional
        Its options.
    n_points, n_runs : int
        Values of each hyperparameter, and models whose mean is shown.
    """
    return _figure(
        "lpi", [experiment], kwargs,
        model=model, model_kwargs=model_kwargs, n_points=n_points, n_runs=n_runs,
    )  # fmt: skip


def partial_dependencies(
    experiment: Experiment,
    with_evc_tree: bool = True,
    params: Collection[str] | None = None,
    smoothing: float = 0.85,
    verbose_hover: bool = True,
    n_grid_points: int = 10,
    n_samples: int = 50,
    colorscale: str = "Blues",
    model: str = "RandomForestRegressor",
    model_kwargs: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Figure:
    """Return a model's mean objective over each hyperparameter, and over each pair of them.

    Parameters
    ----------
    experiment, with_evc_tree, verbose_hover, **kwargs
        As of :func:`regret`.
    params : collection of str, optional
        Only these hyperparameters.
    smoothing : float
        Of the lines of equal objective, from 0 to 1.3.
    n_grid_points, n_samples : int
        Values of each hyperparameter, and random points over which the others are averaged.
    colorscale : str
        One of plotly's.
    model, model_kwargs
        As of :func:`lpi`.
    """
    found = _figure(
        "partial_dependencies", [experiment], kwargs, verbose_hover, params=params,
        n_grid_points=n_grid_points, n_samples=n_samples, model=model, model_kwargs=model_kwargs,
    )  # fmt: skip
    found.update_traces(
        {"line.smoothing": smoothing, "colorscale": colorscale}, {"type": "contour"}
    )
    return found


def regrets(
    experiments: Several, with_evc_tree: bool = True, order_by: str = "suggested", **kwargs: Any
) -> Figure:
    """Return the best objective so far of each experiment, by the number of trials.

    Parameters
    ----------
    experiments : sequence of ExperimentClient, or mapping of str to one or a sequence of them
        Of a group, the mean and the standard deviation are shown.
    with_evc_tree, order_by, **kwargs
        As of :func:`regret`.
    """
    return _figure("regrets", experiments, kwargs, order_by=order_by)


def rankings(
    experiments: Several, with_evc_tree: bool = True, order_by: str = "suggested", **kwargs: Any
) -> Figure:
    """Return the rank of each experiment by its best objective so far; 0 is the best rank.

    Parameters
    ----------
    experiments, with_evc_tree, order_by, **kwargs
        As of :func:`regrets`. Groups must be of the same size.
    """
    return _figure("rankings", experiments, kwargs, order_by=order_by)


def durations(experiments: Several, with_evc_tree: bool = True, **kwargs: Any) -> Figure:
    """Return the best objective so far of each experiment, by the seconds since its first trial.

    Parameters
    ----------
    experiments, with_evc_tree, **kwargs
        As of :func:`regrets`.
    """
    return _figure("durations", experiments, kwargs)


def parallel_assessment(experiments: Several, with_evc_tree: bool = True, **kwargs: Any) -> Figure:
    """Return the best objective of each experiment, by the number of its workers.

    Parameters
    ----------
    experiments, with_evc_tree, **kwargs
        As of :func:`regrets`.
    """
    return _figure("parallel_assessment", experiments, kwargs)


class PlotAccessor:
    """The plots of one experiment: ``experiment.plot.regret()``, ``experiment.plot("regret")``.

    Besides Oríon's plots there are ``importance``, ``slice``, ``contour``, ``pareto_front``,
    ``timeline`` and ``fidelity``.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> space = {"x": "uniform(-5, 5)"}
    >>> experiment = build_experiment("demo", space=space, max_trials=3, debug=True)
    >>> experiment.workon(lambda x: x**2)
    3
    >>> experiment.plot.slice().layout.title.text
    'Slices of demo-v1'
    >>> experiment.plot(kind="regret").layout.title.text
    'Regret of demo-v1'
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment

    def __call__(self, kind: str = "regret", **kwargs: Any) -> Figure:
        """Return the plot of a kind, with the options of the method of that name."""
        own = getattr(type(self), kind, None) if not kind.startswith("_") else None
        if own is not None:
            found: Figure = own(self, **kwargs)
            return found
        return _figure(kind, [self._experiment], {})  # which says what kinds there are

    def regret(self, **kwargs: Any) -> Figure:
        """See :func:`regret`."""
        return regret(self._experiment, **kwargs)

    def parallel_coordinates(self, **kwargs: Any) -> Figure:
        """See :func:`parallel_coordinates`."""
        return parallel_coordinates(self._experiment, **kwargs)

    def lpi(self, **kwargs: Any) -> Figure:
        """See :func:`lpi`."""
        return lpi(self._experiment, **kwargs)

    def partial_dependencies(self, **kwargs: Any) -> Figure:
        """See :func:`partial_dependencies`."""
        return partial_dependencies(self._experiment, **kwargs)

    def importance(self, evaluator: str = "ped-anova", **kwargs: Any) -> Figure:
        """Return each hyperparameter's importance, by ``"ped-anova"`` or ``"fanova"``."""
        return _figure("importance", [self._experiment], kwargs, evaluator=evaluator)

    def slice(self, params: Collection[str] | None = None, **kwargs: Any) -> Figure:
        """Return the objectives by each hyperparameter; the later a trial, the darker it is."""
        return _figure("slice", [self._experiment], kwargs, params=params)

    def contour(self, params: Collection[str] | None = None, **kwargs: Any) -> Figure:
        """Return a model's mean objective over each pair of hyperparameters."""
        return _figure("contour", [self._experiment], kwargs, params=params)

    def pareto_front(self, **kwargs: Any) -> Figure:
        """Return the objectives against each other, with the trials of the Pareto front."""
        return _figure("pareto_front", [self._experiment], kwargs)

    def timeline(self, **kwargs: Any) -> Figure:
        """Return the trials of each worker over time, coloured by how they ended."""
        return _figure("timeline", [self._experiment], kwargs)

    def fidelity(self, **kwargs: Any) -> Figure:
        """Return the objectives by the fidelity, with the promotions of trials."""
        return _figure("fidelity", [self._experiment], kwargs)


def _figure(
    kind: str,
    experiments: Several,
    layout: Mapping[str, Any],
    verbose_hover: bool = True,
    **options: Any,
) -> Figure:
    from orion_hpc.visual.plotly_figures import figure

    chart = make_chart(kind, _states(experiments), **options)
    return figure(chart if verbose_hover else _without_labels(chart), **layout)


def _states(experiments: Several) -> Any:
    """Return the current states of experiments, in the same form."""
    if isinstance(experiments, Mapping):
        return {
            name: _states(some) if isinstance(some, Sequence) else some._state
            for name, some in experiments.items()
        }
    return [one._state for one in experiments]


def _without_labels(chart: Chart) -> Chart:
    panels = tuple(
        replace(panel, series=tuple(replace(one, labels=()) for one in panel.series))
        for panel in chart.panels
    )
    return replace(chart, panels=panels)
