"""What became of a worker's attempts: how each one ended, the transaction that records it, and what
is reported of it.

What else the worker writes, and when, is left to ``scheduler`` and ``loop``; which events an end
makes is decided in ``plan``.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import NamedTuple

from orion_hpc.executors.base import ExecutorLost, ProcessDied
from orion_hpc.journal.base import Storage
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.model.trial_record import BROKEN, INTERRUPTED, KILLED, USER_ERROR, TrialRecord
from orion_hpc.worker import plan
from orion_hpc.worker.recovery import Recovery
from orion_hpc.worker.runtime_options import RuntimeOptions
from orion_hpc.worker.shutdown import StopNotice
from orion_hpc.worker.task import Outcome

log = logging.getLogger(__name__)

MoreEvents = Callable[[ExperimentState, float], Sequence[ev.Event]]
"""Returns further events for a transaction, by the newest state and the time of it."""


@dataclass(slots=True)
class Summary:
    """What a worker did, and why it left.

    ``idle``: because there was no trial to reserve; ``stopped``: because of a stop notice;
    ``too_late``: because none that is left is likely to end within the job. ``over``: the
    experiment is done or closed. ``cleared``: it was the one that cancelled the jobs which hadn't
    begun.
    """

    completed: int = 0
    broken: int = 0
    interrupted: int = 0
    lost: int = 0
    reason: str = ""
    idle: bool = False
    stopped: bool = False
    too_late: bool = False
    over: bool = False
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentJournal:
    """One experiment of an open storage."""

    storage: Storage
    number: int

    @property
    def state(self) -> ExperimentState:
        """The experiment as it was read last."""
        return self.storage.state.experiments[self.number]

    def refresh(self) -> ExperimentState:
        """Return the experiment as it is now."""
        return self.storage.refresh().experiments[self.number]

    def position(self) -> int:
        """Return a number that grows with each append; see :class:`Storage`."""
        return self.storage.position()

    def transact(self, decide: Callable[[ExperimentState], Sequence[ev.Event]]) -> ExperimentState:
        """Append what ``decide`` returns; return the experiment as it is then."""
        number = self.number

        def decide_all(state: State) -> Sequence[ev.Event]:
            return decide(state.experiments[number])

        return self.storage.transact(number, decide_all).experiments[number]


class _Ended(NamedTuple):
    """An attempt that is over and not yet in the journal."""

    trial: TrialRecord
    attempt: int
    outcome: Outcome


class Recorder:
    """Records the ends of one worker's attempts.

    Parameters
    ----------
    journal : ExperimentJournal
    recovery : Recovery
        Keeps results that can't be recorded.
    stop : StopNotice
    options : RuntimeOptions
    watcher : callable
        Called with each attempt that ended and was recorded: ``(TrialRecord, Outcome) -> str``. If
        it returns a text, the worker begins no further trial and leaves for that reason.
    clock : callable
        Seconds since the epoch, for the journal.

    Attributes
    ----------
    summary : Summary
    leaving : str
        The last text that ``watcher`` returned.
    executor_lost : ExecutorLost or None
        The error with which an attempt ended because its executor can't run anything any more.
    """

    def __init__(
        self,
        journal: ExperimentJournal,
        recovery: Recovery,
        stop: StopNotice,
        options: RuntimeOptions,
        watcher: Callable[[TrialRecord, Outcome], str] = lambda trial, outcome: "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.summary = Summary()
        self.leaving = ""
        self.executor_lost: ExecutorLost | None = None
        self._journal = journal
        self._recovery = recovery
        self._stop = stop
        self._options = options
        self._watcher = watcher
        self._clock = clock
        self._unrecorded: list[_Ended] = []
        self._interruptions: Counter[int] = Counter()

    @property
    def has_unrecorded(self) -> bool:
        """Whether an end is still to be recorded."""
        return bool(self._unrecorded)

    def unrecorded_trials(self) -> set[int]:
        """Return the numbers of the trials whose end is still to be recorded."""
        return {ended.trial.number for ended in self._unrecorded}

    def add(self, trial: TrialRecord, attempt: int, outcome: Outcome) -> None:
        """Take an end, to be recorded by the next transaction."""
        self._unrecorded.append(_Ended(trial, attempt, outcome))

    def add_finished(self, trial: TrialRecord, attempt: int, future: Future[Outcome]) -> None:
        """Take the end of an attempt whose ``future`` is done."""
        self.add(trial, attempt, self._end_of(trial, future))

    def record(
        self,
        loss: plan.Loss | None = None,
        more: MoreEvents = lambda state, now: (),
    ) -> ExperimentState:
        """Record the ends, and ``more``, in one transaction; return the experiment after it.

        ``loss`` is what ``more`` takes from lost workers.
        """
        me = self._options.name

        def decide(state: ExperimentState) -> Sequence[ev.Event]:
            now = self._clock()
            further = more(state, now)
            ends = [
                plan.ending(trial, attempt, outcome, now)
                for trial, attempt, outcome in self._unrecorded
                if plan.may_end(state, trial, attempt, me)
            ]
            return [*ends, *further]

        state = self._transact(decide)
        if loss is not None:
            self._recovery.settle(loss)
        self._report_ends(state)
        return state

    def keep_unrecorded(self) -> None:
        """Save the results that the database didn't take."""
        for trial, attempt, end in self._unrecorded:
            if end.results is not None:
                self._recovery.keep(trial.number, attempt, end.results)

    def _transact(self, decide: Callable[[ExperimentState], Sequence[ev.Event]]) -> ExperimentState:
        """Make the transaction; an end that can't be written is replaced by one that can."""
        self._stop.await_suspension()
        try:
            return self._journal.transact(decide)
        except ValueError:
            self._unrecorded = [
                ended._replace(outcome=plan.writable(ended.outcome)) for ended in self._unrecorded
            ]
            return self._journal.transact(decide)

    def _end_of(self, trial: TrialRecord, future: Future[Outcome]) -> Outcome:
        """Return how a trial ended; one that died of the job's stop notice isn't broken.

        A notice reaches all processes of a job, and a trial's may die of it before this one
        receives it.
        """
        if isinstance(error := future.exception(), ExecutorLost):
            self.executor_lost = error
            return Outcome(INTERRUPTED, cause=KILLED, message=error.message)
        end, stop = _outcome(future), self._stop
        deadline = time.monotonic() + self._options.notice_delay
        while end.status == BROKEN and stop.cause is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if end.status == BROKEN and stop.cause is not None:
            message = f"{stop.description} ({end.message})"
            return Outcome(INTERRUPTED, cause=stop.cause, message=message)
        if end.status != INTERRUPTED:
            return end
        # The trial itself can't know the notice's cause.
        return self._by_itself(trial, end) if stop.cause is None else replace(end, cause=stop.cause)

    def _by_itself(self, trial: TrialRecord, end: Outcome) -> Outcome:
        """Return the end of a trial that interrupted itself: broken, if it does so every time."""
        self._interruptions[trial.number] += 1
        times = self._interruptions[trial.number]
        if times < self._options.max_attempts:
            return end
        message = f"{end.message} ({times} times, and no stop notice came)"
        return replace(end, status=BROKEN, cause=USER_ERROR, message=message)

    def _report_ends(self, state: ExperimentState) -> None:
        """Count and log what was just recorded."""
        unrecorded, self._unrecorded = self._unrecorded, []
        for trial, attempt, end in unrecorded:
            mine = plan.may_end(state, trial, attempt, self._options.name)
            now = state.trials[trial.number] if trial.number < len(state.trials) else trial
            if not mine or now.status != end.status:
                self.summary.lost += 1
                log.warning(
                    "trial %d: reservation lost: attempt %d was taken from this worker (now "
                    "attempt %d, %s); its end (%s) isn't recorded",
                    trial.number, attempt, now.attempt, now.status, end.status,
                )  # fmt: skip
                continue
            if end.status == INTERRUPTED:
                self.summary.interrupted += 1
            elif end.status == BROKEN:
                self.summary.broken += 1
            else:
                self.summary.completed += 1
                if end.message:
                    log.warning("trial %d: %s", trial.number, end.message)
            result = f"objective {now.objective:g}" if now.objective is not None else end.message
            log.info("trial %d: attempt %d %s: %s", trial.number, attempt, end.status, result)
            if end.detail.startswith("Traceback"):
                log.error("trial %d: %s", trial.number, end.detail)
            elif end.status == BROKEN:
                log.error("trial %d: %s\n%s", trial.number, end.message, end.detail)
            self.leaving = self._watcher(now, end) or self.leaving


def _outcome(future: Future[Outcome]) -> Outcome:
    """Return how the task ended, also where its process died."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, ProcessDied):
        return Outcome(status=BROKEN, cause=error.cause, message=error.message)
    return Outcome(status=BROKEN, message=f"the executor failed: {error!r}")
