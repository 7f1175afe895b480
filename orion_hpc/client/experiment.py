"""The experiment as a Python program holds it: Oríon's ``ExperimentClient``."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from orion_hpc.algorithms.base import Algorithm
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.client import arguments
from orion_hpc.client.array import SubmittedJobs, submit
from orion_hpc.client.executor_choice import ExecutorChoice
from orion_hpc.client.reservations import Reservations
from orion_hpc.client.running import Run, broken_error, lazy_error, run_trials
from orion_hpc.client.session import Session
from orion_hpc.client.trial import Trial, shown
from orion_hpc.errors import ReservationLost, UnsupportedOperation
from orion_hpc.executors.base import Executor
from orion_hpc.experiments import frames
from orion_hpc.experiments.location import Place
from orion_hpc.experiments.lookup import check_status
from orion_hpc.experiments.stats import ExperimentStats, statistics
from orion_hpc.experiments.trial_table import record, suggested_columns
from orion_hpc.model import trial as model
from orion_hpc.model.pareto import front
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState

log = logging.getLogger(__name__)

MODES = ("r", "w", "x")
"""To read; to insert, release and set, too; to run trials, too."""


class ExperimentClient:
    """One experiment of a database, or in memory.

    :func:`~orion_hpc.client.build_experiment` and :func:`~orion_hpc.client.get_experiment` make it.
    What it tells is as of the moment of asking: other workers may be at work. It may be used from
    several threads.

    Parameters
    ----------
    place, session, executor, n_workers, idle_timeout, grace, mode
        As the functions above give them.
    """

    def __init__(
        self,
        place: Place,
        session: Session,
        executor: ExecutorChoice,
        n_workers: int,
        idle_timeout: float,
        grace: float,
        mode: str,
    ) -> None:
        self._place = place
        self._session = session
        self._executor = executor
        self._default_executor = executor
        self._n_workers = n_workers
        self._idle_timeout = idle_timeout
        self._grace = grace
        self._mode = mode
        state = session.refresh()
        self._space = Space.parse(state.configuration["space"])
        self._reservations = Reservations(session, self._space)
        self._left: set[str] = set()

    # -- what it is ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self._session.state.name

    @property
    def version(self) -> int:
        """Its version, from 1."""
        return self._session.state.version

    @property
    def id(self) -> str:
        """``NAME-vVERSION``: what the experiment is called in one database."""
        return self._session.state.title

    @property
    def mode(self) -> str:
        """``r``, ``w`` or ``x``: what may be done with it."""
        return self._mode

    @property
    def space(self) -> Space:
        """The search space: a mapping of flat names to dimensions."""
        return self._space

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm, as it is configured; its history is the experiment's trials."""
        return make_algorithm(self._session.state.configuration["algorithm"], self._space)

    @property
    def max_trials(self) -> int | None:
        """How many trials complete before it is done; None: no limit. As it was read last."""
        return self._session.state.max_trials

    @property
    def max_broken(self) -> int:
        """How many broken trials stop it. As it was read last."""
        return self._session.state.max_broken

    @property
    def heartbeat(self) -> float:
        """Seconds between the signs of life of this client."""
        return self._session.interval

    @property
    def executor(self) -> ExecutorChoice:
        """What :meth:`workon` runs trials with."""
        return self._executor

    @property
    def working_dir(self) -> str:
        """The directory under which each trial has its own, named by its number."""
        return os.path.dirname(self._place.folder_of(self._state)(0))

    @property
    def storage(self) -> str:
        """The path of the database; ``ephemeraldb`` in memory; a third party's name."""
        return self._place.name

    @property
    def metadata(self) -> dict[str, Any]:
        """``datetime``: when it was created, in UTC without a time zone."""
        created = datetime.fromtimestamp(self._state.create_time, timezone.utc)
        return {"datetime": created.replace(tzinfo=None)}

    @property
    def configuration(self) -> dict[str, Any]:
        """Everything that makes it up, as plain data: a copy."""
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

    # -- how it stands ---------------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether every trial that the budget or the space allows is completed."""
        return self._state.is_done

    @property
    def is_broken(self) -> bool:
        """Whether ``max_broken`` trials are broken."""
        return self._state.is_broken

    @property
    def stats(self) -> ExperimentStats:
        """How far it is, and the best trial."""
        return statistics(self._state)

    def fetch_trials(self, with_evc_tree: bool = False) -> list[Trial]:
        """Return all trials, by their numbers.

        Parameters
        ----------
        with_evc_tree : bool, default False
            Oríon's; versions of an experiment have no trials in common here.
        """
        return self._trials(lambda state: state.trials)

    def fetch_trials_by_status(self, status: str, with_evc_tree: bool = False) -> list[Trial]:
        """Return the trials of one status, by their numbers.

        Raises
        ------
        ConfigurationError
            There is no such status.
        """
        check_status(status)
        return self._having(status)

    def fetch_pending_trials(self, with_evc_tree: bool = False) -> list[Trial]:
        """Return the trials that are new, interrupted or suspended."""
        return self._having(*model.RESERVABLE)

    def fetch_noncompleted_trials(self, with_evc_tree: bool = False) -> list[Trial]:
        """Return the trials of every status but ``completed``."""
        return self._having(*(one for one in model.STATUSES if one != model.COMPLETED))

    def get_trial(self, trial: Trial | None = None, uid: str | None = None) -> Trial | None:
        """Return the trial of an id, as it is now; None if there is none.

        Parameters
        ----------
        trial : Trial, optional
        uid : str, optional
            Its id. One of the two is needed.

        Raises
        ------
        ValueError
            None is given, or both and they don't match.
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
        """Return the trials of several objectives that none other is better than in all of them.

        Only feasible ones, once there is one. With one objective, the best trials.
        """
        return self._trials(lambda state: front(state.finalists()))

    def to_pandas(self, with_evc_tree: bool = False) -> frames.DataFrame:
        """Return the trials as a table, a row for each.

        Returns
        -------
        pandas.DataFrame
            See :func:`orion_hpc.client.trials.to_pandas`.

        Raises
        ------
        ConfigurationError
            pandas isn't installed.
        """
        with self._session.lock:
            state = self._state
            return frames.data_frame(
                suggested_columns([record(state, one) for one in state.trials])
            )

    # -- one trial at a time ---------------------------------------------------------------------

    def suggest(self, pool_size: int = 0) -> Trial:
        """Reserve a trial: an interrupted one, a new one, or a fresh suggestion of the algorithm.

        It is this client's until it is observed or released, or this process ends. Used as a
        context manager the trial releases itself.

        Parameters
        ----------
        pool_size : int, default 0
            Oríon's; suggestions are made one by one here, which is no slower.

        Raises
        ------
        CompletedExperiment
            All trials are completed.
        BrokenExperiment
            ``max_broken`` trials are broken.
        WaitingForTrials
            Others run what there is; try again later.
        ReservationRaceCondition
            Others were faster, several times.
        UnsupportedOperation
            The experiment wasn't opened to run trials.
        """
        self._need("x", "suggest")
        self._reservations.release_left(self._left)
        return self._seen(self._reservations.suggest())

    def observe(self, trial: Trial, results: float | Sequence[Mapping[str, Any]]) -> None:
        """Record the results of a trial that this client has reserved; it is completed then.

        Parameters
        ----------
        trial : Trial
        results : number, or list of mappings
            A number is the objective, to be minimised. A mapping has ``name``, ``type``
            (``objective``, ``constraint``, ``gradient`` or ``statistic``) and ``value``; there is
            at least one objective.

        Raises
        ------
        InvalidResult
            They aren't results; the trial stays reserved.
        ReservationLost
            The trial isn't reserved by this client any more, or never was. Nothing was recorded.
        UnsupportedOperation
            The experiment wasn't opened to run trials.
        """
        self._need("x", "observe")
        arguments.check_trial(trial)
        trial._update(self._reservations.observe(trial._trial, results))

    def reserve(self, trial: Trial) -> None:
        """Reserve a certain trial, which is new, interrupted or suspended.

        Raises
        ------
        ReservationLost
            Somebody else has reserved it, or it has another status.
        UnsupportedOperation
            The experiment wasn't opened to run trials.
        """
        self._need("x", "reserve")
        arguments.check_trial(trial)
        trial._update(self._reservations.reserve(trial._trial))

    def release(self, trial: Trial, status: str = "interrupted") -> None:
        """Give back a trial that this client has reserved.

        Parameters
        ----------
        trial : Trial
        status : {"interrupted", "suspended", "new", "broken"}
            What it is then.

        Raises
        ------
        AlreadyReleased
            This client has released or observed it before.
        ReservationLost
            It isn't reserved by this client any more.
        ConfigurationError
            A trial can't be released to this status.
        UnsupportedOperation
            The experiment was opened for reading.
        """
        self._need("w", "release")
        arguments.check_trial(trial)
        trial._update(self._reservations.release(trial._trial, status))

    def insert(
        self,
        params: Mapping[str, Any],
        results: float | Sequence[Mapping[str, Any]] | None = None,
        reserve: bool = False,
    ) -> Trial:
        """Add a trial at a point of your choice.

        Parameters
        ----------
        params : mapping
            By name, nested or flat. A dimension that isn't given takes its default value.
        results : optional
            As of :meth:`observe`; the trial is completed then.
        reserve : bool, default False
            Whether this client reserves it. Else any worker may.

        Raises
        ------
        InvalidParams
            They aren't a point of the space.
        InvalidResult
            The results aren't any; nothing was added.
        ValueError
            ``results`` and ``reserve`` are both given.
        DuplicateKeyError
            There is a trial at this point already.
        CompletedExperiment
            The experiment has no room for a further trial.
        UnsupportedOperation
            The experiment was opened for reading, or ``reserve`` is given and it wasn't opened to
            run trials.
        """
        self._need("x" if reserve else "w", "insert")
        if results is not None and reserve:
            raise ValueError("a trial with results is completed and can't be reserved")
        return self._seen(self._reservations.insert(params, results, reserve))

    def close(self) -> None:
        """End what this client has started: its executor's processes and its signs of life.

        Raises
        ------
        RuntimeError
            It still holds trials: observe or release them first.
        """
        self._reservations.release_left(self._left)
        with self._session.lock:
            if held := sorted(self._session.held):
                raise RuntimeError(
                    f"trials {', '.join(map(str, held))} are still reserved by this client; "
                    "observe or release them before it is closed"
                )
            self._default_executor.close()
            self._session.close()

    # -- many trials -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def tmp_executor(
        self, executor: str | Executor, n_workers: int | None = None, **config: Any
    ) -> Iterator[ExperimentClient]:
        """Run trials with another executor in a ``with`` block.

        Parameters
        ----------
        executor : str or Executor
            ``joblib``, ``dask``, ``single``, ``poolexecutor``, a third party's name, or an object.
        n_workers : int, optional
            How many processes it may use, by default one for each CPU. ``workon``'s own
            ``n_workers`` says how many trials run at once, which share these.
        **config
            The executor's options: ``backend`` of joblib and poolexecutor; ``address``, ``cluster``
            or ``client`` of dask.

        Raises
        ------
        ConfigurationError
            There is no such executor; the message lists those there are.
        """
        before, chosen = self._executor, ExecutorChoice(executor, n_workers, **config)
        self._executor = chosen
        try:
            yield self
        finally:
            self._executor = before
            chosen.close()

    def workon(
        self,
        fct: Callable[..., Any],
        n_workers: int | None = None,
        pool_size: int = 0,
        reservation_timeout: float | None = None,
        max_trials: int | None = None,
        max_trials_per_worker: int | None = None,
        max_broken: int | None = None,
        trial_arg: str | None = None,
        on_error: Callable[[ExperimentClient, Trial, BaseException, int], bool] | None = None,
        prepare_trial: Callable[[ExperimentClient, Trial], None] | None = None,
        idle_timeout: float | None = None,
        **kwargs: Any,
    ) -> int:
        """Run trials until the experiment is done; return how many this call completed.

        Other workers of the experiment, here or elsewhere, may run meanwhile; together they
        complete ``max_trials`` and no more.

        Parameters
        ----------
        fct : callable
            Called with a trial's hyperparameters by name; returns a number to be minimised, or a
            list of results as :meth:`observe` takes it.
        n_workers : int, optional
            Trials at once, by default as many as the executor was given, or the settings say (1).
        pool_size, reservation_timeout
            Oríon's, which have nothing to do here: suggestions cost next to nothing, and reserving
            waits for the lock only.
        max_trials : int, optional
            Stop when so many trials of the experiment are completed, if that is less than its own
            limit.
        max_trials_per_worker : int, optional
            How many trials this call begins.
        max_broken : int, optional
            How many trials of this call may break. The experiment's own limit holds, too.
        trial_arg : str, optional
            The name of an argument of ``fct`` that gets the trial.
        on_error : callable, optional
            Called as ``on_error(client, trial, error, number_of_broken_trials)``. If it returns
            False the trial doesn't count towards this call's ``max_broken``; what it raises ends
            the call.
        prepare_trial : callable, optional
            Called as ``prepare_trial(client, trial)`` in this process before each trial begins: to
            put files into ``trial.working_dir``, say. What it raises ends the call.
        idle_timeout : float, optional
            Seconds to wait for a trial while others hold all there are. By default 60, and long
            enough to find out whether one of them is lost (four heartbeats).
        **kwargs
            Constant arguments for ``fct``; a hyperparameter of the same name wins.

        Raises
        ------
        BrokenExperiment
            Too many trials are broken.
        InvalidResult
            ``fct`` returned what isn't a result.
        LazyWorkers
            There was no trial to be run for ``idle_timeout`` seconds.
        KeyboardInterrupt
            After Ctrl-C. The trials that ran are released as interrupted. SIGTERM does the same and
            then ends the program.
        ConfigurationError
            ``fct`` can't be sent to other processes, or the executor doesn't run ``n_workers``.
        UnsupportedOperation
            The experiment wasn't opened to run trials.
        """
        self._need("x", "workon")
        arguments.check_function(fct, self._space, kwargs, trial_arg)
        arguments.check_count("max_trials", max_trials, least=0)
        arguments.check_count("max_trials_per_worker", max_trials_per_worker, least=0)
        arguments.check_count("max_broken", max_broken, least=1)
        arguments.check_seconds("idle_timeout", idle_timeout)
        arguments.check_callback("on_error", on_error)
        arguments.check_callback("prepare_trial", prepare_trial)
        at_once = self._at_once(n_workers)
        self._reservations.release_left(self._left)
        patience = self._idle_timeout if idle_timeout is None else float(idle_timeout)

        def told(trial: model.Trial, error: BaseException, broken: int) -> bool:
            assert on_error is not None
            return on_error(self, self._seen(trial), error, broken)

        def prepare(trial: model.Trial) -> None:
            if prepare_trial is not None:
                prepare_trial(self, self._seen(trial))

        run = Run(
            function=fct,
            kwargs=kwargs,
            trial_arg=trial_arg,
            n_workers=at_once,
            max_trials=max_trials,
            max_trials_per_worker=max_trials_per_worker,
            max_broken=max_broken,
            on_error=None if on_error is None else told,
            prepare_trial=prepare,
            heartbeat=self._session.interval,
            on_suspend=self._session.on_suspend,
            idle_timeout=patience,
            impatient=idle_timeout is not None,
            grace=self._grace,
        )
        choice = self._executor
        executor = choice.take(at_once)
        good = False
        try:
            summary = run_trials(self._place, self._state, executor, run, self._left)
            good = True
        finally:
            choice.give_back(executor, keep=good and choice is not self._default_executor)
        state = self._state
        if state.is_broken and not state.is_done:
            raise broken_error(state)
        if summary.idle and not state.is_done:
            raise lazy_error()
        return summary.completed

    def submit(
        self,
        fct: Callable[..., Any],
        array: int | str = 1,
        executor: str = "auto",
        trial_arg: str | None = None,
        n_workers: int | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> SubmittedJobs:
        """Have jobs run the trials: what the command ``orion-hpc submit`` does.

        Each job runs trials with this client's executor (see :meth:`tmp_executor`), until the
        experiment is done. No more jobs are submitted than have a trial to run.

        Parameters
        ----------
        fct : callable
            As of :meth:`workon`. It is sent by value if this program or a notebook defines it, else
            by its module's name.
        array : int or str, default 1
            How many jobs; ``"10%4"`` lets four of them run at once.
        executor : {"auto", "slurm", "local", "debug"}
            What starts the jobs; ``auto`` is Slurm where ``sbatch`` is on the PATH, else processes
            on this machine, which go on when this program ends.
        trial_arg, kwargs
            As of :meth:`workon`; constants are given as a mapping here.
        n_workers : int, optional
            Trials at once in each job, by default 1.
        **options
            Options of ``sbatch``: ``cpus_per_task=5``, ``time="01:00:00"``, ``mem="2G"``, ….

        Returns
        -------
        SubmittedJobs
            With ``job_ids``, ``wait()``, ``cancel()`` and ``status()``.

        Raises
        ------
        ConfigurationError
            An option is wrong, ``fct`` can't be sent, or the experiment is in memory.
        LaunchError
            The jobs were refused; none runs.
        BrokenExperiment
            ``max_broken`` trials are broken.
        UnsupportedOperation
            The experiment wasn't opened to run trials.
        """
        self._need("x", "submit")
        kwargs = kwargs or {}
        arguments.check_options(fct, options)
        arguments.check_function(fct, self._space, kwargs, trial_arg)
        arguments.check_count("n_workers", n_workers, least=1)
        self._reservations.release_left(self._left)
        state = self._state
        if state.is_broken and not state.is_done:
            raise broken_error(state)
        return submit(
            self._place, self._session, self._executor, fct, array, executor, trial_arg, n_workers,
            options, kwargs,
        )  # fmt: skip

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _state(self) -> ExperimentState:
        return self._session.refresh()

    def _need(self, mode: str, method: str) -> None:
        if MODES.index(self._mode) < MODES.index(mode):
            raise UnsupportedOperation(
                f"{method}() can't be used on an experiment opened with mode {self._mode!r}",
                f"Open it with mode={mode!r}, or with build_experiment.",
            )

    def _at_once(self, n_workers: int | None) -> int:
        arguments.check_count("n_workers", None if n_workers == -1 else n_workers, least=1)
        if n_workers is None:
            n_workers = self._executor.asked or self._n_workers
        elif n_workers == -1:
            n_workers = self._executor.n_workers
        most = self._executor.asked
        if most is not None and n_workers > most:
            log.warning(
                "n_workers=%d of workon is more than the executor's %d, which is taken instead",
                n_workers, most,
            )  # fmt: skip
            return most
        return n_workers

    def _seen(self, trial: model.Trial) -> Trial:
        return self._shown(trial, self._session.state)

    def _trials(self, choose: Callable[[ExperimentState], Sequence[model.Trial]]) -> list[Trial]:
        with self._session.lock:
            state = self._state
            return [self._shown(trial, state) for trial in choose(state)]

    def _shown(self, trial: model.Trial, state: ExperimentState) -> Trial:
        return shown(trial, state, self._place.folder_of(state), self._leave)

    def _having(self, *statuses: str) -> list[Trial]:
        return self._trials(lambda state: [one for one in state.trials if one.status in statuses])

    def _leave(self, trial: Trial, error: BaseException | None) -> None:
        """End a ``with`` block on a trial."""
        if self._session.holds(trial._trial):
            # The caller's own error is what matters to them, not that the trial was lost.
            with contextlib.suppress(*([] if error is None else [ReservationLost])):
                trial._update(self._reservations.leave(trial._trial, error))

    def __repr__(self) -> str:
        return f"Experiment(name={self.name}, version={self.version})"
