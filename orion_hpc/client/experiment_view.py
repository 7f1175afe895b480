"""What an experiment is and what became of its trials: the part of the client that only reads.

Reserving, recording and running trials is left to the subclasses.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from orion_hpc.algorithms.base import Algorithm
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.client.search_space import SearchSpace
from orion_hpc.client.session import Session
from orion_hpc.client.trial import Trial, shown
from orion_hpc.experiments import frames
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.lookup import check_status
from orion_hpc.experiments.stats import ExperimentStats, statistics
from orion_hpc.experiments.trial_table import record, suggested_columns
from orion_hpc.model import trial_record as model
from orion_hpc.model.pareto import front
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.text import html_table
from orion_hpc.worker.trial_view import Home

if TYPE_CHECKING:
    from orion_hpc.client.plotting import PlotAccessor


class ExperimentView:
    """An experiment, to be read.

    Every method reads the database, so the answer is as of the moment of the call. The properties
    ``name``, ``version``, ``id``, ``mode``, ``space``, ``algorithm``, ``max_trials``,
    ``max_broken``, ``heartbeat`` and ``storage`` do no I/O.

    Parameters
    ----------
    place : Place
        Where the experiment is stored.
    session : Session
        Through which it is read.
    mode : {"r", "w", "x"}
        What may be done with it.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> space = {"x": "uniform(-5, 5)"}
    >>> experiment = build_experiment("demo", space=space, max_trials=3, debug=True)
    >>> experiment.name, experiment.version, experiment.id, experiment.mode
    ('demo', 1, 'demo-v1', 'x')
    >>> experiment.space["x"].interval()
    (-5.0, 5.0)
    >>> experiment.max_trials, experiment.max_broken, experiment.heartbeat
    (3, 3, 60.0)
    >>> experiment.algorithm.cheap
    True
    >>> experiment.storage
    'ephemeraldb'
    >>> sorted(experiment.configuration)  # doctest: +NORMALIZE_WHITESPACE
    ['algorithm', 'max_broken', 'max_trials', 'metadata', 'name', 'space', 'version',
     'working_dir']
    >>> experiment.working_dir == experiment.configuration["working_dir"]
    True
    >>> experiment.metadata["datetime"] <= experiment.stats.start_time
    True
    >>> experiment.is_done, experiment.is_broken
    (False, False)
    >>> experiment
    Experiment(name=demo, version=1)
    """

    def __init__(self, place: Place, session: Session, mode: str) -> None:
        self._place = place
        self._session = session
        self._mode = mode
        self._space = Space.parse(session.refresh().configuration["space"])

    # -- settings --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self._session.state.name

    @property
    def version(self) -> int:
        """The experiment's version, from 1."""
        return self._session.state.version

    @property
    def id(self) -> str:
        """``NAME-vVERSION``, which is unique in a database."""
        return self._session.state.title

    @property
    def mode(self) -> str:
        """``r`` to read, ``w`` to insert and release trials too, ``x`` to run them too."""
        return self._mode

    @property
    def space(self) -> SearchSpace:
        """The search space: a mapping of flat names to dimensions."""
        return SearchSpace(self._space, Home(self.name, self.version, self._space.fidelity))

    @property
    def algorithm(self) -> Algorithm:
        """A new instance of the algorithm; its history is the experiment's trials."""
        return make_algorithm(self._session.state.configuration["algorithm"], self._space)

    @property
    def max_trials(self) -> int | None:
        """Completed trials after which the experiment is done, as read last; None: no limit."""
        return self._session.state.max_trials

    @property
    def max_broken(self) -> int:
        """Broken trials that stop the experiment, as read last."""
        return self._session.state.max_broken

    @property
    def heartbeat(self) -> float:
        """Seconds between heartbeats of this client."""
        return self._session.interval

    @property
    def working_dir(self) -> str:
        """The directory that holds each trial's own directory, which is named by its number."""
        return os.path.dirname(self._place.files_of(self._state).folder_of(0))

    @property
    def storage(self) -> str:
        """The path of the database, ``ephemeraldb`` in memory, or the name of a third party's."""
        return self._place.name

    @property
    def metadata(self) -> dict[str, Any]:
        """``datetime``: when the experiment was created, in UTC without a time zone."""
        created = datetime.fromtimestamp(self._state.create_time, timezone.utc)
        return {"datetime": created.replace(tzinfo=None)}

    @property
    def configuration(self) -> dict[str, Any]:
        """All settings of the experiment as plain data: a copy."""
        state = self._state
        return {
            "name": state.name,
            "version": state.version,
            "space": dict(self._space.configuration),
            "algorithm": copy.deepcopy(dict(state.configuration["algorithm"])),
            "max_trials": state.max_trials,
            "max_broken": state.max_broken,
            "working_dir": self.working_dir,
            "metadata": self.metadata,
        }

    # -- progress --------------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether every trial that ``max_trials`` or the space allows is completed."""
        return self._state.is_done

    @property
    def is_broken(self) -> bool:
        """Whether ``max_broken`` trials are broken."""
        return self._state.is_broken

    @property
    def stats(self) -> ExperimentStats:
        """Counts, times and the best trial.

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> experiment = workon(lambda x: x**2, {"x": "choices([1, 2, 3])"}, max_trials=3)
        >>> experiment.stats.trials_completed, experiment.stats.best_evaluation
        (3, 1.0)
        """
        return statistics(self._state)

    @property
    def plot(self) -> PlotAccessor:
        """The plots of the experiment, as figures of plotly.

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> experiment = workon(lambda x: x**2, {"x": "choices([1, 2, 3])"}, max_trials=3)
        >>> experiment.plot.regret().layout.yaxis.title.text
        'objective'
        """
        from orion_hpc.client.plotting import PlotAccessor

        return PlotAccessor(self)

    # -- trials ----------------------------------------------------------------------------------

    def fetch_trials(self, with_evc_tree: bool = False) -> list[Trial]:
        """Return all trials, by number.

        Parameters
        ----------
        with_evc_tree : bool, default False
            Accepted for Oríon's sake, without effect: versions share no trials here.

        Returns
        -------
        list of Trial

        Raises
        ------
        StorageError
            The database can't be read.

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> experiment = workon(lambda x: x, {"x": "choices([4])"}, max_trials=1)
        >>> [(trial.number, trial.status, trial.params) for trial in experiment.fetch_trials()]
        [(0, 'completed', {'x': 4})]
        """
        return self._trials(lambda state: state.trials)

    def fetch_trials_by_status(self, status: str, with_evc_tree: bool = False) -> list[Trial]:
        """Return the trials of one status, by number.

        Parameters
        ----------
        status : {"new", "reserved", "suspended", "completed", "interrupted", "broken"}
        with_evc_tree : bool, default False
            As in :meth:`fetch_trials`.

        Returns
        -------
        list of Trial

        Raises
        ------
        ConfigurationError
            There is no such status.

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> experiment = workon(lambda x: x, {"x": "choices([4])"}, max_trials=1)
        >>> len(experiment.fetch_trials_by_status("completed"))
        1
        """
        check_status(status)
        return self._having(status)

    def fetch_pending_trials(self, with_evc_tree: bool = False) -> list[Trial]:
        """Return the trials that can be reserved: new, interrupted or suspended ones.

        Parameters
        ----------
        with_evc_tree : bool, default False
            As in :meth:`fetch_trials`.

        Returns
        -------
        list of Trial

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(0, 1)"}, debug=True)
        >>> trial = experiment.insert({"x": 0.5})
        >>> [trial.params for trial in experiment.fetch_pending_trials()]
        [{'x': 0.5}]
        """
        return self._having(*model.RESERVABLE)

    def fetch_noncompleted_trials(self, with_evc_tree: bool = False) -> list[Trial]:
        """Return the trials of every status except ``completed``.

        Parameters
        ----------
        with_evc_tree : bool, default False
            As in :meth:`fetch_trials`.

        Returns
        -------
        list of Trial

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(0, 1)"}, debug=True)
        >>> trial = experiment.suggest()
        >>> [trial.status for trial in experiment.fetch_noncompleted_trials()]
        ['reserved']
        """
        return self._having(*(one for one in model.STATUSES if one != model.COMPLETED))

    def get_trial(self, trial: Trial | None = None, uid: str | None = None) -> Trial | None:
        """Return one trial as it is now.

        Parameters
        ----------
        trial : Trial, optional
        uid : str, optional
            The trial's :attr:`~orion_hpc.client.Trial.id`. One of the two is needed.

        Returns
        -------
        Trial or None
            None if the experiment has no such trial.

        Raises
        ------
        ValueError
            None is given, or both and they don't match.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(0, 1)"}, debug=True)
        >>> trial = experiment.insert({"x": 0.5})
        >>> experiment.get_trial(uid=trial.id) == experiment.get_trial(trial) == trial
        True
        >>> experiment.get_trial(uid="0" * 32) is None
        True
        """
        if isinstance(trial, str):
            trial, uid = None, uid or trial
        if trial is None and uid is None:
            raise ValueError("either a trial or its id (uid) must be given")
        if trial is not None and uid is not None and trial.id != uid:
            raise ValueError(f"the trial's id is {trial.id}, not {uid}")
        if trial is not None:
            found = self._trials(lambda state: state.trials[trial.number : trial.number + 1])
            return next((one for one in found if one.id == trial.id), None)
        found = self._trials(lambda state: [one for one in state.trials if one.id == uid][:1])
        return found[0] if found else None

    def pareto_front(self) -> list[Trial]:
        """Return the completed trials that no other one dominates.

        A trial dominates another if it is as good in every objective and better in one. Trials
        that violate a constraint are left out once there is one that doesn't.

        Returns
        -------
        list of Trial
            With a single objective, the best trials.

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> def two(x):
        ...     return [
        ...         {"name": "loss", "type": "objective", "value": x},
        ...         {"name": "time", "type": "objective", "value": abs(2 - x)},
        ...     ]
        >>> experiment = workon(two, {"x": "choices([0, 1, 2, 3])"}, max_trials=4)
        >>> sorted(trial.params["x"] for trial in experiment.pareto_front())
        [0, 1, 2]
        """
        return self._trials(lambda state: front(state.finalists()))

    def to_pandas(self, with_evc_tree: bool = False) -> frames.DataFrame:
        """Return the trials as a table, one row for each.

        Parameters
        ----------
        with_evc_tree : bool, default False
            As in :meth:`fetch_trials`.

        Returns
        -------
        pandas.DataFrame
            With the columns of :func:`orion_hpc.client.trials.to_pandas`.

        Raises
        ------
        ConfigurationError
            pandas isn't installed.

        Examples
        --------
        >>> from orion_hpc.client import workon
        >>> experiment = workon(lambda x: 2 * x, {"x": "choices([4])"}, max_trials=1)
        >>> experiment.to_pandas()[["status", "objective", "x"]]
              status  objective  x
        0  completed        8.0  4
        """
        with self._session.lock:
            state = self._state
            return frames.data_frame(
                suggested_columns([record(state, one) for one in state.trials])
            )

    # -- internal --------------------------------------------------------------------------------

    @property
    def _state(self) -> ExperimentState:
        return self._session.refresh()

    def _trials(
        self, choose: Callable[[ExperimentState], Sequence[model.TrialRecord]]
    ) -> list[Trial]:
        with self._session.lock:
            state = self._state
            return [self._shown(trial, state) for trial in choose(state)]

    def _having(self, *statuses: str) -> list[Trial]:
        return self._trials(lambda state: [one for one in state.trials if one.status in statuses])

    def _shown(self, trial: model.TrialRecord, state: ExperimentState) -> Trial:
        return shown(trial, state, self._place.files_of(state).folder_of)

    def __repr__(self) -> str:
        return f"Experiment(name={self.name}, version={self.version})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: counts, the best trial, and the space."""
        state = self._state
        counts = [f"{count:,} {name}" for name in model.STATUSES if (count := state.count(name))]
        rows: list[tuple[str, object]] = [("trials", ", ".join(counts) or "none")]
        if state.max_trials is not None:
            rows.append(("max_trials", state.max_trials))
        if state.best is not None:
            rows.append(("best objective", state.best.objective))
            rows += [(f"best {name}", value) for name, value in state.best.params.items()]
        rows += [(name, str(prior)) for name, prior in self._space.configuration.items()]
        return html_table(f"Experiment {self.name} v{self.version}", rows)
