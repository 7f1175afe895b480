"""A trial as programs read it, in Oríon's names: the part that the client's trials and the trial
that a function gets have in common.

Reserving and recording a trial is left to the client, running it to the rest of this room.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from orion_hpc.model import trial_record as model
from orion_hpc.model.space import Space
from orion_hpc.worker.task import hash_params_of


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
        """Return the result as a mapping, as ``observe`` of the client takes it.

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


class TrialView:
    """A point of the space with its status and its results, as of one moment.

    Parameters
    ----------
    trial : TrialRecord
    home : Home
    folder : str
        The trial's working directory, which needn't exist.
    parent : Parent, optional
        The trial that this one continues.
    """

    __slots__ = ("_folder", "_home", "_parent", "_trial")

    def __init__(
        self, trial: model.TrialRecord, home: Home, folder: str, parent: Parent | None = None
    ) -> None:
        self._trial = trial
        self._home = home
        self._folder = folder
        self._parent = parent

    @property
    def id(self) -> str:
        """32 hex digits that identify this point of the space; an imported trial keeps its id."""
        return self._trial.id

    @property
    def hash_name(self) -> str:
        """The same as :attr:`id`, as in Oríon."""
        return self.id

    @property
    def hash_params(self) -> str:
        """32 hex digits, the same for trials that differ only in their fidelity.

        So it may name a checkpoint that the trials of one point at several budgets share.
        """
        return hash_params_of(self._trial.params, self._home.fidelity)

    @property
    def number(self) -> int:
        """The trial's number, from 0, in the order of registration."""
        return self._trial.number

    @property
    def params(self) -> dict[str, Any]:
        """The hyperparameters, nested as in the space; a new mapping each time."""
        return Space.nest(copy.deepcopy(self._trial.params))

    @property
    def full_name(self) -> str:
        """The hyperparameters in one line that may name a file: ``lr:0.1-model.depth:3``."""
        return self.params_repr("-").replace("/", ".")

    def params_repr(self, sep: str = ",", ignore_fidelity: bool = False) -> str:
        """Return the hyperparameters in one line: ``lr:0.1,model.depth:3``.

        Parameters
        ----------
        sep : str, default ","
            What separates them.
        ignore_fidelity : bool, default False
            Whether to leave out the fidelity.

        Returns
        -------
        str

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> space = {"x": "uniform(-5, 5)", "epochs": "fidelity(1, 9, 3)"}
        >>> experiment = build_experiment("demo", space=space, debug=True)
        >>> trial = experiment.insert({"x": 0.5, "epochs": 3})
        >>> trial.params_repr(), trial.params_repr(ignore_fidelity=True), trial.full_name
        ('epochs:3,x:0.5', 'x:0.5', 'epochs:3-x:0.5')
        """
        left_out = self._home.fidelity if ignore_fidelity else None
        shown = self._trial.params.items()
        return sep.join(f"{name}:{value}" for name, value in shown if name != left_out)

    @property
    def status(self) -> str:
        """``new``, ``reserved``, ``suspended``, ``completed``, ``interrupted`` or ``broken``."""
        return self._trial.status

    @property
    def attempt(self) -> int:
        """How many times the trial was reserved."""
        return self._trial.attempt

    @property
    def parent(self) -> str | None:
        """The :attr:`id` of the trial that this one continues, or None."""
        return None if self._parent is None else self._parent.id

    @property
    def resumed(self) -> bool:
        """Whether an earlier attempt or the parent may have left files in :attr:`working_dir`."""
        return self._trial.attempt > 1 or self._parent is not None

    @property
    def results(self) -> list[Result]:
        """All results; empty while there are none."""
        return [Result(**result) for result in self._trial.results or ()]

    @property
    def objective(self) -> Result | None:
        """The first result of type ``objective``, which is minimised; None without one."""
        return next(iter(self.objectives), None)

    @property
    def objectives(self) -> list[Result]:
        """The results of type ``objective``, all of which are minimised."""
        return self._of_type("objective")

    @property
    def constraints(self) -> list[Result]:
        """The results of type ``constraint``; a value of at most 0 satisfies it."""
        return self._of_type("constraint")

    @property
    def gradient(self) -> Result | None:
        """The first result of type ``gradient``, or None."""
        return next(iter(self._of_type("gradient")), None)

    @property
    def statistics(self) -> list[Result]:
        """The results of type ``statistic``."""
        return self._of_type("statistic")

    @property
    def submit_time(self) -> datetime:
        """When the trial was registered, in UTC without a time zone, as in Oríon."""
        return _utc(self._trial.submit_time)

    @property
    def start_time(self) -> datetime | None:
        """When the latest attempt started, in UTC without a time zone; None before that."""
        return None if self._trial.start_time is None else _utc(self._trial.start_time)

    @property
    def end_time(self) -> datetime | None:
        """When the latest attempt ended, in UTC without a time zone; None before that."""
        return None if self._trial.end_time is None else _utc(self._trial.end_time)

    @property
    def heartbeat(self) -> datetime | None:
        """When the trial was last recorded as alive: the end of the latest attempt, or its start.

        Heartbeats belong to workers here, not to trials, so the value doesn't change meanwhile.
        """
        return self.end_time or self.start_time

    @property
    def execution_interval(self) -> tuple[datetime, datetime] | None:
        """The latest attempt's start and its end (while it runs, :attr:`heartbeat`), or None."""
        if self.start_time is None or self.heartbeat is None:
            return None
        return self.start_time, self.heartbeat

    @property
    def duration(self) -> timedelta:
        """The time between the two ends of :attr:`execution_interval`; 0 without one."""
        interval = self.execution_interval
        return timedelta() if interval is None else interval[1] - interval[0]

    @property
    def worker(self) -> str | None:
        """The name of the worker that made the latest attempt."""
        return self._trial.worker

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self._home.name

    @property
    def working_dir(self) -> str:
        """The trial's own directory, the same for all attempts."""
        return self._folder

    @property
    def exp_working_dir(self) -> str:
        """The directory that holds the :attr:`working_dir` of every trial of the experiment."""
        return os.path.dirname(self._folder)

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
            "params": copy.deepcopy(self._trial.params),
            "results": [result.to_dict() for result in self.results],
            "submit_time": self.submit_time,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "heartbeat": self.heartbeat,
            "worker": self.worker,
            "parent": self.parent,
            "exp_working_dir": os.path.dirname(self._folder),
        }

    def _of_type(self, kind: str) -> list[Result]:
        return [one for one in self.results if one.type == kind]


def _utc(time: float) -> datetime:
    return datetime.fromtimestamp(time, timezone.utc).replace(tzinfo=None)
