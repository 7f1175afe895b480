"""The experiment as a Python program holds it: Oríon's ``ExperimentClient``.

Adds running many trials to the base classes: ``workon`` in this process, ``submit`` in jobs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from orion_hpc.client import arguments
from orion_hpc.client.array import JobRequest, SubmittedJobs, submit
from orion_hpc.client.ask_tell import AskTellClient
from orion_hpc.client.executor_choice import ExecutorChoice
from orion_hpc.client.running import Run, broken_error, lazy_error, run_trials
from orion_hpc.client.session import Session
from orion_hpc.client.trial import Trial
from orion_hpc.executors.base import Executor
from orion_hpc.experiments.location import Place
from orion_hpc.model import trial_record as model
from orion_hpc.model.state import ExperimentState

log = logging.getLogger(__name__)

OnError: TypeAlias = "Callable[[ExperimentClient, Trial, BaseException, int], bool]"
PrepareTrial: TypeAlias = "Callable[[ExperimentClient, Trial], None]"


class ExperimentClient(AskTellClient):
    """One experiment, in a database or in memory.

    :func:`~orion_hpc.client.build_experiment` and :func:`~orion_hpc.client.get_experiment` make it.
    Other workers may run trials of the experiment at the same time, so every answer is as of the
    moment of the call. A client may be used from several threads.

    Parameters
    ----------
    place, session, executor, n_workers, idle_timeout, grace, mode
        As the functions above give them.

    Examples
    --------
    >>> from orion_hpc.client import build_experiment
    >>> experiment = build_experiment(
    ...     "demo",
    ...     space={"x": "uniform(-5, 5)"},
    ...     algorithm={"random": {"seed": 1}},
    ...     max_trials=20,
    ...     executor="single",
    ...     debug=True,
    ... )
    >>> experiment.workon(lambda x: (x - 1) ** 2)
    20
    >>> experiment.stats.best_evaluation < 1
    True
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
        super().__init__(place, session, mode)
        self._executor = executor
        self._default_executor = executor
        self._n_workers = n_workers
        self._idle_timeout = idle_timeout
        self._grace = grace

    @property
    def executor(self) -> ExecutorChoice:
        """The executor that :meth:`workon` runs trials with.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment("demo", space={"x": "uniform(-5, 5)"}, debug=True)
        >>> with experiment.tmp_executor("joblib", n_workers=2):
        ...     experiment.executor
        <executor 'joblib', n_workers=2>
        """
        return self._executor

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
            How many processes the executor may use; by default one for each CPU. ``workon``'s own
            ``n_workers`` says how many trials run at once and share them.
        **config
            The executor's options: ``backend`` of joblib and poolexecutor; ``address``, ``cluster``
            or ``client`` of dask.

        Yields
        ------
        ExperimentClient
            This client.

        Raises
        ------
        ConfigurationError
            There is no such executor; the message lists those there are.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment(
        ...     "demo", space={"x": "uniform(-5, 5)"}, max_trials=4, debug=True
        ... )
        >>> with experiment.tmp_executor("poolexecutor", n_workers=2, backend="thread"):
        ...     experiment.workon(lambda x: x**2, n_workers=2)
        4
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
        max_trials: int | None = None,
        max_trials_per_worker: int | None = None,
        max_broken: int | None = None,
        trial_arg: str | None = None,
        on_error: OnError | None = None,
        prepare_trial: PrepareTrial | None = None,
        idle_timeout: float | None = None,
        *,
        reservation_timeout: float | None = None,
        progress: bool | None = None,
        **kwargs: Any,
    ) -> int:
        """Run trials until the experiment is done; return how many this call completed.

        Other workers of the experiment, here or elsewhere, may run at the same time; together they
        complete ``max_trials`` and no more. Trials that :meth:`suggest` gave this
        thread and that weren't observed are released and run when no other one is left.

        Parameters
        ----------
        fct : callable
            Called with a trial's hyperparameters by name; returns a number to be minimised, or a
            list of results as :meth:`observe` takes it.
        n_workers : int, optional
            Trials at once; by default the executor's ``n_workers``, or that of the settings (1).
        pool_size, reservation_timeout
            Accepted for Oríon's sake, without effect: suggestions are made one by one, and
            reserving waits for the lock only.
        max_trials : int, optional
            Stop when so many trials of the experiment are completed, if that is less than its own
            limit.
        max_trials_per_worker : int, optional
            How many trials this call starts.
        max_broken : int, optional
            How many trials of this call may break. The experiment's own limit holds too.
        trial_arg : str, optional
            The name of an argument of ``fct`` that gets the trial.
        on_error : callable, optional
            Called as ``on_error(client, trial, error, number_of_broken_trials)``. If it returns
            False, the trial doesn't count towards this call's ``max_broken``. An exception that it
            raises ends the call.
        prepare_trial : callable, optional
            Called as ``prepare_trial(client, trial)`` in this process before each trial starts, to
            put files into ``trial.working_dir`` for example. An exception that it raises ends the
            call.
        idle_timeout : float, optional
            Seconds to wait for a trial while other workers hold all there are. By default 60, and
            long enough to find out whether one of them is lost (four heartbeats).
        progress : bool, optional
            Whether a progress bar is shown; by default on a terminal and in a notebook. The logger
            ``orion_hpc.worker`` has records of each trial at the level INFO.
        **kwargs
            Constant arguments for ``fct``; a hyperparameter of the same name wins.

        Returns
        -------
        int

        Raises
        ------
        BrokenExperiment
            Too many trials are broken.
        InvalidResult
            ``fct`` returned what isn't a result.
        LazyWorkers
            There was no trial to run for ``idle_timeout`` seconds.
        KeyboardInterrupt
            After Ctrl-C. Running trials are released as interrupted. SIGTERM does the same and then
            ends the program.
        ConfigurationError
            ``fct`` can't be sent to other processes, or the executor doesn't run ``n_workers``.
        UnsupportedOperation
            The experiment wasn't opened to run trials.

        Examples
        --------
        A constant argument, and the trial itself for its directory:

        >>> from orion_hpc.client import build_experiment
        >>> experiment = build_experiment(
        ...     "demo", space={"x": "uniform(-5, 5)"}, max_trials=4, executor="single", debug=True
        ... )
        >>> def loss(x, shift, trial):
        ...     assert trial.params == {"x": x}
        ...     return (x - shift) ** 2
        >>> experiment.workon(loss, trial_arg="trial", max_trials_per_worker=3, shift=1)
        3
        >>> experiment.workon(loss, trial_arg="trial", shift=1)
        1
        """
        self._need("x", "workon")
        arguments.check_function(fct, self._space, kwargs, trial_arg)
        arguments.check_limits(max_trials, max_trials_per_worker, max_broken, idle_timeout)
        arguments.check_callback("on_error", on_error)
        arguments.check_callback("prepare_trial", prepare_trial)
        run = Run(
            function=fct,
            kwargs=kwargs,
            trial_arg=trial_arg,
            n_workers=self._executor.trials_at_once(n_workers, self._n_workers),
            max_trials=max_trials,
            max_trials_per_worker=max_trials_per_worker,
            max_broken=max_broken,
            on_error=self._error_callback(on_error),
            prepare_trial=self._prepare_callback(prepare_trial),
            idle=self._reservations.release_own,
            heartbeat=self._session.interval,
            on_suspend=self._session.on_suspend,
            idle_timeout=self._idle_timeout if idle_timeout is None else float(idle_timeout),
            impatient=idle_timeout is not None,
            grace=self._grace,
            progress=progress,
        )
        return self._run(run)

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
        """Submit jobs that run the trials, as the command ``orion-hpc submit`` does.

        Each job runs trials with this client's executor (see :meth:`tmp_executor`) until the
        experiment is done. No more jobs are submitted than there are trials left to run.

        Parameters
        ----------
        fct : callable
            As of :meth:`workon`; sent by value if this program or notebook defines it.
        array : int or str, default 1
            How many jobs; ``"10%4"`` lets four of them run at once.
        executor : {"auto", "slurm", "local", "debug"}
            What starts the jobs. ``auto``: Slurm if ``sbatch`` is on the PATH, otherwise processes
            on this machine, which outlive this program. ``debug``: one job, run by the call itself.
        trial_arg, kwargs
            As of :meth:`workon`; constants are given as a mapping here.
        n_workers : int, optional
            Trials at once in each job; by default 1.
        **options
            Options of ``sbatch``: ``cpus_per_task=5``, ``time="01:00:00"``, ``mem="2G"``, ….

        Returns
        -------
        SubmittedJobs

        Raises
        ------
        ConfigurationError
            An option is wrong, ``fct`` can't be sent, or the experiment is in memory.
        LaunchError
            The jobs were refused; none runs.
        BrokenExperiment, UnsupportedOperation
            As of :meth:`workon`.

        Examples
        --------
        >>> from orion_hpc.client import build_experiment
        >>> space = {"x": "uniform(-5, 5)"}
        >>> experiment = build_experiment("demo", space=space, max_trials=2, executor="single")
        >>> experiment.submit(lambda x: x**2, executor="debug").wait(timeout=60)
        True
        """
        self._need("x", "submit")
        request = JobRequest(fct, array, executor, trial_arg, n_workers, options, kwargs or {})
        request.check(self._space)
        self._reservations.release_left(self._left)
        state = self._state
        if state.is_broken and not state.is_done:
            raise broken_error(state)
        return submit(self._place, self._session, self._executor, request)

    # -- internal --------------------------------------------------------------------------------

    def _run(self, run: Run) -> int:
        """Run trials with the current executor; return how many were completed."""
        self._reservations.release_left(self._left)
        choice = self._executor
        executor = choice.take(run.n_workers)
        keep = False
        try:
            summary = run_trials(self._place, self._state, executor, run, self._left)
            keep = choice is not self._default_executor
        finally:
            choice.give_back(executor, keep)
        state = self._state
        if state.is_broken and not state.is_done:
            raise broken_error(state)
        if summary.idle and not state.is_done:
            raise lazy_error()
        if state.is_done and not summary.completed and run.max_trials is not None:
            _warn_of_done(state, run.max_trials)
        return summary.completed

    def _error_callback(
        self, on_error: OnError | None
    ) -> Callable[[model.TrialRecord, BaseException, int], bool] | None:
        if on_error is None:
            return None
        return lambda trial, error, broken: on_error(self, self._last_read(trial), error, broken)

    def _prepare_callback(
        self, prepare_trial: PrepareTrial | None
    ) -> Callable[[model.TrialRecord], None]:
        if prepare_trial is None:
            return lambda trial: None
        return lambda trial: prepare_trial(self, self._last_read(trial))

    def _close(self) -> None:
        self._default_executor.close()
        super()._close()


def _warn_of_done(state: ExperimentState, wanted: int) -> None:
    """Warn that there was nothing to run, if more trials were wanted than the experiment's own
    limit allows."""
    if state.max_trials is not None and wanted > state.max_trials:
        log.warning(
            "%s is done: its max_trials is %d. For more, build it with max_trials=%d",
            state.title, state.max_trials, wanted,
        )  # fmt: skip
