"""A trial as the Python API shows it, in Oríon's words: what it was when it was looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

from orion_hpc.model import trial as model
from orion_hpc.model.history import fidelity_of
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs.layout import make_folder
from orion_hpc.worker.checkpoint_copy import inherit


@dataclass(frozen=True, slots=True)
class Result:
    """One result of a trial.

    Attributes
    ----------
    name : str
    type : {"objective", "constraint", "gradient", "statistic"}
    value : float, int or list
        A number; of a gradient or a statistic also nested lists of them.
    """

    name: str
    type: str
    value: Any

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": …, "type": …, "value": …}``."""
        return {"name": self.name, "type": self.type, "value": self.value}


class Home(NamedTuple):
    """What a trial needs to know of its experiment."""

    name: str
    version: int
    fidelity: str | None


class Parent(NamedTuple):
    """The trial that another one goes on from: its id, and its working directory."""

    id: str
    folder: str


Leave: TypeAlias = "Callable[[Trial, BaseException | None], None]"
"""What is done at the end of a ``with`` block on a trial."""


class Trial:
    """One point of the space and what became of it.

    A snapshot: the client that gave it brings it up to date when it reserves, observes or releases
    it. Of :meth:`ExperimentClient.suggest` it is a context manager too, which releases the trial if
    it wasn't observed: as ``broken`` after an exception, else as ``interrupted``. One that was only
    read (:mod:`orion_hpc.client.trials`) has no client, and ``leave`` is None.
    """

    def __init__(
        self,
        trial: model.Trial,
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

    def _update(self, trial: model.Trial) -> None:
        self._trial = replace(trial)

    @property
    def id(self) -> str:
        """32 hex digits that name this point of the space; what an imported trial was called."""
        return self._trial.id

    @property
    def number(self) -> int:
        """0, 1, 2, … in the order of registration."""
        return self._trial.number

    @property
    def params(self) -> dict[str, Any]:
        """The hyperparameters, nested as in the space; a new mapping each time."""
        return Space.nest(self._trial.params)

    @property
    def hash_params(self) -> str:
        """32 hex digits that trials share which differ at most in their fidelity."""
        params = self._trial.params.items()
        flat = {name: value for name, value in params if name != self._home.fidelity}
        return model.hash_of(flat)

    @property
    def status(self) -> str:
        """``new``, ``reserved``, ``suspended``, ``completed``, ``interrupted`` or ``broken``."""
        return self._trial.status

    @property
    def attempt(self) -> int:
        """How often it was reserved."""
        return self._trial.attempt

    @property
    def resumed(self) -> bool:
        """Whether an earlier attempt, or the trial that this one goes on from, may have left
        something in :attr:`working_dir`."""
        return self._trial.attempt > 1 or self._parent is not None

    @property
    def parent(self) -> str | None:
        """The :attr:`id` of the trial that this one goes on from, None if there is none."""
        return None if self._parent is None else self._parent.id

    @property
    def stop_requested(self) -> bool:
        """Whether what runs it should save its state and return soon."""
        return False

    @property
    def results(self) -> list[Result]:
        """All results; empty while there are none."""
        return [Result(**result) for result in self._trial.results or ()]

    @property
    def objective(self) -> Result | None:
        """The result to be minimised; of several, the first."""
        return next((one for one in self.results if one.type == "objective"), None)

    @property
    def objectives(self) -> list[Result]:
        """The results of type ``objective``, all to be minimised."""
        return [one for one in self.results if one.type == "objective"]

    @property
    def constraints(self) -> list[Result]:
        """The results of type ``constraint``; one is kept where it is at most 0."""
        return [one for one in self.results if one.type == "constraint"]

    @property
    def gradient(self) -> Result | None:
        """The result of type ``gradient``."""
        return next((one for one in self.results if one.type == "gradient"), None)

    @property
    def statistics(self) -> list[Result]:
        """The results of type ``statistic``."""
        return [one for one in self.results if one.type == "statistic"]

    @property
    def submit_time(self) -> datetime:
        """When it was registered, in UTC without a time zone, as in Oríon."""
        time = _utc(self._trial.submit_time)
        assert time is not None
        return time

    @property
    def start_time(self) -> datetime | None:
        """When its latest attempt began, in UTC; None before that."""
        return _utc(self._trial.start_time)

    @property
    def end_time(self) -> datetime | None:
        """When its latest attempt ended, in UTC; None before that."""
        return _utc(self._trial.end_time)

    @property
    def duration(self) -> timedelta | None:
        """What its latest attempt took; None while there is no such time."""
        if self.start_time is None or self.end_time is None:
            return None
        return self.end_time - self.start_time

    @property
    def worker(self) -> str | None:
        """Who made the latest attempt."""
        return self._trial.worker

    @property
    def cause(self) -> str | None:
        """Why the latest attempt ended without a result, such as ``user error``."""
        return self._trial.cause

    @property
    def message(self) -> str | None:
        """What is known of that, with the traceback."""
        return self._trial.message

    @property
    def experiment(self) -> str:
        """The name of its experiment."""
        return self._home.name

    @property
    def working_dir(self) -> str:
        """Its own directory, the same for all attempts; made here if a client has reserved it."""
        if self._leave is not None and self._trial.status == model.RESERVED:
            if self._parent is not None:
                inherit(self._parent.folder, self._folder, self._trial.attempt)
            make_folder(self._folder)
        return self._folder

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data: times as datetimes, ``params`` by flat name."""
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
    trial: model.Trial,
    experiment: ExperimentState,
    folder_of: Callable[[int], str],
    leave: Leave | None = None,
) -> Trial:
    """Return a trial of the journal as the Python API shows it.

    Parameters
    ----------
    trial : model.Trial
    experiment : ExperimentState
        Which it is of.
    folder_of : callable
        Returns a trial's working directory by its number.
    leave : callable, optional
        Of a client that may reserve it.
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
