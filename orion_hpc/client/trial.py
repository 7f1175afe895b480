"""A trial as the Python API shows it: a snapshot of when it was read.

What it has in common with the trial that a function gets is in :mod:`orion_hpc.worker.trial_view`.
Reading, reserving and recording trials is left to the client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TypeAlias

from orion_hpc.model import trial_record as model
from orion_hpc.model.history import fidelity_of
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs.layout import make_folder
from orion_hpc.text import html_table
from orion_hpc.worker.checkpoint_copy import inherit
from orion_hpc.worker.trial_view import Home, Parent, TrialView
from orion_hpc.worker.trial_view import Result as Result

Leave: TypeAlias = "Callable[[Trial, BaseException | None], None]"
"""Called at the end of a ``with`` block on a trial, with its exception."""


class Trial(TrialView):
    """A point of the space with its status and its results.

    A snapshot: the client that returned it updates it when it reserves, observes or releases the
    trial, and at no other time. A trial that a client has reserved is also a context manager, which
    releases the trial if it wasn't observed: as ``broken`` after an exception, otherwise as
    ``interrupted``.

    Parameters
    ----------
    trial, home, folder, leave, parent
        As the client gives them. ``leave`` is None for a trial that was only read
        (:mod:`orion_hpc.client.trials`).

    Examples
    --------
    The settings of a trial that is reserved:

    >>> from orion_hpc.client import build_experiment
    >>> space = {"x": "uniform(-5, 5)", "model": {"depth": "choices([3])"}}
    >>> experiment = build_experiment("demo", space=space, debug=True)
    >>> trial = experiment.insert({"x": 0.5, "model": {"depth": 3}}, reserve=True)
    >>> trial.experiment, trial.number, trial.status, trial.params
    ('demo', 0, 'reserved', {'model': {'depth': 3}, 'x': 0.5})
    >>> len(trial.id), len(trial.hash_params), trial.hash_name == trial.id
    (32, 32, True)
    >>> trial.full_name
    'model.depth:3-x:0.5'
    >>> trial.attempt, trial.resumed, trial.parent, trial.stop_requested
    (1, False, None, False)
    >>> import os
    >>> os.path.isdir(trial.working_dir)
    True
    >>> trial.exp_working_dir == os.path.dirname(trial.working_dir) == experiment.working_dir
    True

    Its results and times, once it is completed:

    >>> experiment.observe(
    ...     trial,
    ...     [
    ...         {"name": "loss", "type": "objective", "value": 0.25},
    ...         {"name": "memory", "type": "constraint", "value": -1.0},
    ...         {"name": "slope", "type": "gradient", "value": [1.0, 0.0]},
    ...         {"name": "epochs", "type": "statistic", "value": 7},
    ...     ],
    ... )
    >>> trial.objective.value, len(trial.objectives), len(trial.results)
    (0.25, 1, 4)
    >>> trial.constraints[0].name, trial.gradient.value, trial.statistics[0].value
    ('memory', [1.0, 0.0], 7)
    >>> trial.submit_time <= trial.start_time <= trial.end_time
    True
    >>> trial.duration == trial.end_time - trial.start_time
    True
    >>> trial.execution_interval == (trial.start_time, trial.heartbeat)
    True

    What is known of a failure:

    >>> with experiment.suggest() as trial:
    ...     raise ValueError("too deep")
    Traceback (most recent call last):
        ...
    ValueError: too deep
    >>> trial.status, trial.cause, trial.message.splitlines()[0]
    ('broken', 'user error', 'ValueError: too deep')
    >>> trial.worker is None
    False
    """

    def __init__(
        self,
        trial: model.TrialRecord,
        home: Home,
        folder: str,
        leave: Leave | None = None,
        parent: Parent | None = None,
    ) -> None:
        super().__init__(replace(trial), home, folder, parent)
        self._leave = leave

    def _update(self, trial: model.TrialRecord) -> None:
        self._trial = replace(trial)

    @property
    def stop_requested(self) -> bool:
        """Whether the function should save its state and return soon: False, as nothing runs here.

        The trial that a function gets as its ``trial_arg`` has it, too.
        """
        return False

    @property
    def cause(self) -> str | None:
        """Why the latest attempt ended without a result, such as ``user error``."""
        return self._trial.cause

    @property
    def message(self) -> str | None:
        """The details of :attr:`cause`, with the traceback."""
        return self._trial.message

    @property
    def working_dir(self) -> str:
        """The trial's own directory, the same for all attempts.

        If a client has reserved the trial, reading this property creates the directory.
        """
        if self._leave is not None and self._trial.status == model.RESERVED:
            if self._parent is not None:
                inherit(self._parent.folder, self._folder, self._trial.attempt)
            make_folder(self._folder)
        return self._folder

    def __enter__(self) -> Trial:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._leave is not None:
            self._leave(self, error)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trial):
            return NotImplemented
        mine, theirs = (self._home, self.number, self.id), (other._home, other.number, other.id)
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self._home, self.number, self.id))

    def __repr__(self) -> str:
        return (
            f"Trial(experiment={self.experiment!r}, number={self.number}, "
            f"status={self.status!r}, params={self.params!r})"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: status, parameters and results."""
        rows: list[tuple[str, object]] = [("status", self.status), *self.params.items()]
        rows += [(f"{one.name} ({one.type})", one.value) for one in self.results]
        return html_table(f"Trial {self.number} of {self.experiment}", rows)


def shown(
    trial: model.TrialRecord,
    experiment: ExperimentState,
    folder_of: Callable[[int], str],
    leave: Leave | None = None,
) -> Trial:
    """Return a trial of the journal as the Python API shows it.

    Parameters
    ----------
    trial : model.TrialRecord
    experiment : ExperimentState
        The trial's experiment.
    folder_of : callable
        Returns a trial's working directory by its number.
    leave : callable, optional
        Called at the end of a ``with`` block, if a client may have reserved the trial.
    """
    home = Home(experiment.name, experiment.version, fidelity_of(experiment.configuration))
    parent = None
    if trial.parent is not None:
        parent = Parent(experiment.trials[trial.parent].id, folder_of(trial.parent))
    return Trial(trial, home, folder_of(trial.number), leave, parent)
