"""The part of the client that handles one trial at a time: suggest, observe, reserve, release,
insert.

How events are decided and recorded is left to ``reservations``, running many trials to
``experiment``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from orion_hpc.client.arguments import check_trial
from orion_hpc.client.experiment_view import ExperimentView
from orion_hpc.client.reservations import Reservations
from orion_hpc.client.session import Session
from orion_hpc.client.trial import Trial, shown
from orion_hpc.errors import ReservationLost, UnsupportedOperation
from orion_hpc.experiments.location import Place
from orion_hpc.model import trial_record as model
from orion_hpc.model.state import ExperimentState

MODES = ("r", "w", "x")
"""``r`` reads; ``w`` inserts and releases trials too; ``x`` runs them too."""


class AskTellClient(ExperimentView):
    """An experiment whose trials the program runs itself, one at a time.

    Parameters
    ----------
    place, session, mode
        As of :class:`~orion_hpc.client.experiment_view.ExperimentView`.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> space = {"x": "uniform(-5, 5)"}
    >>> experiment = build_experiment("demo", space=space, max_trials=5, debug=True)
    >>> while not experiment.is_done:
    ...     with experiment.suggest() as trial:
    ...         experiment.observe(trial, (trial.params["x"] - 1) ** 2)
    >>> experiment.stats.trials_completed
    5
    """

    def __init__(self, place: Place, session: Session, mode: str) -> None:
        super().__init__(place, session, mode)
        self._reservations = Reservations(session, self._space)
        self._left: set[str] = set()

    @property
    def is_done(self) -> bool:
        """Whether every trial that ``max_trials``, the space or the algorithm allows is completed.

        With the mode ``x``, that the algorithm has no further point is recorded.
        """
        done = self._state.is_done
        return done or (self._mode == "x" and self._reservations.record_exhaustion())

    def suggest(self, pool_size: int = 0) -> Trial:
        """Reserve a trial: an interrupted one, a new one, or a fresh suggestion of the algorithm.

        It stays reserved until it is observed or released, or this process ends. As a context
        manager the trial releases itself, unless it was observed: as ``broken`` after an
        exception, otherwise as ``interrupted``.

        Parameters
        ----------
        pool_size : int, default 0
            Accepted for Oríon's sake, without effect: suggestions are made one by one.

        Returns
        -------
        Trial

        Raises
        ------
        CompletedExperiment
            All trials are completed.
        BrokenExperiment
            ``max_broken`` trials are broken.
        WaitingForTrials
            Other workers run all trials there are; try again later.
        ReservationRaceCondition
            Other workers were faster, several times in a row.
        UnsupportedOperation
            The experiment wasn't opened to run trials.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, debug=True)
        >>> trial = experiment.suggest()
        >>> trial.status, trial.params["x"] in experiment.space["x"]
        ('reserved', True)
        """
        self._need("x", "suggest")
        self._reservations.release_left(self._left)
        return self._last_read(self._reservations.suggest())

    def observe(
        self, trial: Trial, results: float | Sequence[Mapping[str, Any]], name: str = "objective"
    ) -> None:
        """Record the results of a trial that this client has reserved, and complete it.

        Parameters
        ----------
        trial : Trial
        results : number, or list of mappings
            A number is the objective, to be minimised. A mapping has ``name``, ``type``
            (``objective``, ``constraint``, ``gradient`` or ``statistic``) and ``value``; at least
            one is an objective.
        name : str, default "objective"
            The objective's, where ``results`` is a number.

        Raises
        ------
        InvalidResult
            ``results`` has another form; the trial stays reserved.
        ReservationLost
            This client doesn't hold the trial any more, or never did. Nothing was recorded.
        UnsupportedOperation
            The experiment wasn't opened to run trials.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, debug=True)
        >>> trial = experiment.suggest()
        >>> experiment.observe(trial, 0.25)
        >>> trial.status, trial.objective.value
        ('completed', 0.25)
        """
        self._need("x", "observe")
        check_trial(trial)
        trial._update(self._reservations.observe(trial._trial, results, name))

    def reserve(self, trial: Trial) -> None:
        """Reserve a given trial, which is new, interrupted or suspended.

        Parameters
        ----------
        trial : Trial

        Raises
        ------
        ReservationLost
            Another worker has reserved it, or its status doesn't allow it.
        UnsupportedOperation
            The experiment wasn't opened to run trials.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, debug=True)
        >>> trial = experiment.insert({"x": 0.5})
        >>> experiment.reserve(trial)
        >>> trial.status
        'reserved'
        """
        self._need("x", "reserve")
        check_trial(trial)
        trial._update(self._reservations.reserve(trial._trial))

    def release(self, trial: Trial, status: str = "interrupted") -> None:
        """Give back a trial that this client has reserved.

        Parameters
        ----------
        trial : Trial
        status : {"interrupted", "suspended", "new", "broken"}
            The trial's new status.

        Raises
        ------
        AlreadyReleased
            This client has released or observed the trial before.
        ReservationLost
            This client doesn't hold the trial any more.
        ConfigurationError, ValueError
            A trial can't be released to this status; one error that is both.
        UnsupportedOperation
            The experiment was opened for reading.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, debug=True)
        >>> trial = experiment.suggest()
        >>> experiment.release(trial)
        >>> trial.status, experiment.suggest() == trial
        ('interrupted', True)
        """
        self._need("w", "release")
        check_trial(trial)
        trial._update(self._reservations.release(trial._trial, status))

    def insert(
        self,
        params: Mapping[str, Any],
        results: float | Sequence[Mapping[str, Any]] | None = None,
        reserve: bool = False,
    ) -> Trial:
        """Add a trial at a given point.

        Parameters
        ----------
        params : mapping
            By name, nested or flat. A dimension that isn't given takes its default value.
        results : number or list of mappings, optional
            As of :meth:`observe`; the trial is then completed.
        reserve : bool, default False
            Whether this client reserves it. Otherwise any worker may.

        Returns
        -------
        Trial

        Raises
        ------
        InvalidParams
            ``params`` isn't a point of the space.
        InvalidResult
            ``results`` has another form; nothing was added.
        ValueError
            ``results`` and ``reserve`` are both given.
        DuplicateKeyError
            There is a trial at this point already.
        CompletedExperiment
            The experiment has no room for a further trial.
        UnsupportedOperation
            The mode is ``r``, or ``reserve`` is given and the mode isn't ``x``.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, debug=True)
        >>> experiment.insert({"x": 0.5}).status, experiment.insert({"x": 0.25}, 7).status
        ('new', 'completed')
        """
        self._need("x" if reserve else "w", "insert")
        if results is not None and reserve:
            raise ValueError("a trial with results is completed and can't be reserved")
        return self._last_read(self._reservations.insert(params, results, reserve))

    def close(self) -> None:
        """End what this client has started: its executor's processes and its heartbeat.

        Raises
        ------
        RuntimeError
            This client still holds trials: observe or release them first.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, debug=True)
        >>> experiment.close()
        """
        self._reservations.release_left(self._left)
        with self._session.lock:
            if held := sorted(self._session.held):
                raise RuntimeError(
                    f"trials {', '.join(map(str, held))} are still reserved by this client; "
                    "observe or release them before it is closed"
                )
            self._close()

    # -- internal --------------------------------------------------------------------------------

    def _close(self) -> None:
        self._session.close()

    def _need(self, mode: str, method: str) -> None:
        if MODES.index(self._mode) < MODES.index(mode):
            raise UnsupportedOperation(
                f"{method}() can't be used on an experiment opened with mode {self._mode!r}",
                f"Open it with mode={mode!r}, or with build_experiment.",
            )

    def _last_read(self, trial: model.TrialRecord) -> Trial:
        """Return ``trial`` for the user, by the state that was read last."""
        return self._shown(trial, self._session.state)

    def _shown(self, trial: model.TrialRecord, state: ExperimentState) -> Trial:
        return shown(trial, state, self._place.files_of(state).folder_of, self._leave)

    def _leave(self, trial: Trial, error: BaseException | None) -> None:
        """End a ``with`` block on a trial."""
        if self._session.holds(trial._trial):
            # The caller's own error matters more than the loss of the trial.
            with contextlib.suppress(*([] if error is None else [ReservationLost])):
                trial._update(self._reservations.leave(trial._trial, error))
