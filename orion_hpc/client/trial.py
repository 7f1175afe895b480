"""A trial as the Python API shows it, in Oríon's names: a snapshot of when it was read.

Reading, reserving and recording trials is left to the client.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

from orion_hpc.model import trial_record as model
from orion_hpc.model.history import fidelity_of
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs.layout import make_folder
from orion_hpc.worker.checkpoint_copy import inherit


@dataclass(frozen=True, slots=True)
class Result:
    """One result of a trial.

    Parameters
    ----------
    name : str
    type : {"objective", "constraint", "gradient", "statistic"}
    value : float, int, list, str, bool or None
        A number. Gradients and statistics may be nested lists of numbers, statistics also a text, a
        boolean or None.

    Examples
    --------
    >>> from orion_hpc.client import workon
    >>> experiment = workon(lambda x: x / 2, {"x": "choices([1])"}, max_trials=1)
    >>> experiment.fetch_trials()[0].objective
    Result(name='objective', type='objective', value=0.5)
    """

    name: str
    type: str
    value: Any

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a mapping, as :meth:`ExperimentClient.observe` takes it.

        Returns
        -------
        dict
            ``{"name": …, "type": …, "value": …}``

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> experiment = workon(lambda x: x / 2, {"x": "choices([1])"}, max_trials=1)
        >>> experiment.fetch_trials()[0].objective.to_dict()
        {'name': 'objective', 'type': 'objective', 'value': 0.5}
        """
        return {"name": self.name, "type": self.type, "value": self.value}


class Home(NamedTuple):
    """What a trial knows of its experiment."""

    name: str
    version: int
    fidelity: str | None


class Parent(NamedTuple):
    """The trial that another one continues: its id, and its working directory."""

    id: str
    folder: str


Leave: TypeAlias = "Callable[[Trial, BaseException | None], None]"
"""Called at the end of a ``with`` block on a trial, with its exception."""


class Trial:
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
    >>> len(trial.id), len(trial.hash_params)
    (32, 32)
    >>> trial.attempt, trial.resumed, trial.parent, trial.stop_requested
    (1, False, None, False)
    >>> import os
    >>> os.path.isdir(trial.working_dir)
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
        self._home = home
        self._folder = folder
        self._leave = leave
        self._parent = parent
        self._update(trial)

    def _update(self, trial: model.TrialRecord) -> None:
        self._trial = replace(trial)

    @property
    def id(self) -> str:
        """32 hex digits that identify this point of the space; an imported trial keeps its id."""
        return self._trial.id

    @property
    def number(self) -> int:
        """The trial's number, from 0, in the order of registration."""
        return self._trial.number

    @property
    def params(self) -> dict[str, Any]:
        """The hyperparameters, nested as in the space; a new mapping each time."""
        return Space.nest(self._trial.params)

    @property
    def hash_params(self) -> str:
        """32 hex digits, the same for trials that differ only in their fidelity."""
        params = self._trial.params.items()
        flat = {name: value for name, value in params if name != self._home.fidelity}
        return model.hash_of(flat)

    @property
    def status(self) -> str:
        """``new``, ``reserved``, ``suspended``, ``completed``, ``interrupted`` or ``broken``."""
        return self._trial.status

    @property
    def attempt(self) -> int:
        """How many times the trial was reserved."""
        return self._trial.attempt

    @property
    def resumed(self) -> bool:
        """Whether an earlier attempt or the parent may have left files in :attr:`working_dir`."""
        return self._trial.attempt > 1 or self._parent is not None

    @property
    def parent(self) -> str | None:
        """The :attr:`id` of the trial that this one continues, or None."""
        return None if self._parent is None else self._parent.id

    @property
    def stop_requested(self) -> bool:
        """Whether the function should save its state and return soon: False, as nothing runs here.

        The trial that a function gets as its ``trial_arg`` has it, too.
        """
        return False

    @property
    def results(self) -> list[Result]:
        """All results; empty while there are none."""
        return [Result(**result) for result in self._trial.results or ()]

    @property
    def objective(self) -> Result | None:
        """The first result of type ``objective``, which is minimised; None without one."""
        return next((one for one in self.results if one.type == "objective"), None)

    @property
    def objectives(self) -> list[Result]:
        """The results of type ``objective``, all of which are minimised."""
        return [one for one in self.results if one.type == "objective"]

    @property
    def constraints(self) -> list[Result]:
        """The results of type ``constraint``; a value of at most 0 satisfies it."""
        return [one for one in self.results if one.type == "constraint"]

    @property
    def gradient(self) -> Result | None:
        """The first result of type ``gradient``, or None."""
        return next((one for one in self.results if one.type == "gradient"), None)

    @property
    def statistics(self) -> list[Result]:
        """The results of type ``statistic``."""
        return [one for one in self.results if one.type == "statistic"]

    @property
    def submit_time(self) -> datetime:
        """When the trial was registered, in UTC without a time zone, as in Oríon."""
        time = _utc(self._trial.submit_time)
        assert time is not None
        return time

    @property
    def start_time(self) -> datetime | None:
        """When the latest attempt started, in UTC without a time zone; None before that."""
        return _utc(self._trial.start_time)

    @property
    def end_time(self) -> datetime | None:
        """When the latest attempt ended, in UTC without a time zone; None before that."""
        return _utc(self._trial.end_time)

    @property
    def duration(self) -> timedelta | None:
        """How long the latest attempt took; None until it has ended."""
        if self.start_time is None or self.end_time is None:
            return None
        return self.end_time - self.start_time

    @property
    def worker(self) -> str | None:
        """The name of the worker that made the latest attempt."""
        return self._trial.worker

    @property
    def cause(self) -> str | None:
        """Why the latest attempt ended without a result, such as ``user error``."""
        return self._trial.cause

    @property
    def message(self) -> str | None:
        """The details of :attr:`cause`, with the traceback."""
        return self._trial.message

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self._home.name

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

    def to_dict(self) -> dict[str, Any]:
        """Return the trial as a mapping.

        Returns
        -------
        dict
            Times are datetimes, ``params`` are by flat name.

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> experiment = workon(lambda x: x / 2, {"x": "choices([1])"}, max_trials=1)
        >>> found = experiment.fetch_trials()[0].to_dict()
        >>> found["number"], found["status"], found["params"]
        (0, 'completed', {'x': 1})
        """
        return {
            "experiment": self.experiment,
            "number": self.number,
            "id": self.id,
            "status": self.status,
            "attempt": self.attempt,
            "params": dict(self._trial.params),
            "results": [result.to_dict() for result in self.results],
            "submit_time": self.submit_time,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "worker": self.worker,
            "parent": self.parent,
        }

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


def _utc(time: float | None) -> datetime | None:
    if time is None:
        return None
    return datetime.fromtimestamp(time, timezone.utc).replace(tzinfo=None)
