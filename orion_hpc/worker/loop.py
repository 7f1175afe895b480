"""The worker's life: reserve, run, record and reserve the next, until the experiment is done.

Knows the order of things; what to write is decided in :mod:`orion_hpc.worker.plan`, how a trial is
run in :mod:`orion_hpc.worker.task`, and how a job sets a worker up in :mod:`orion_hpc.worker.job`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import NamedTuple

from orion_hpc.algorithms.base import Algorithm
from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.executors.base import Executor, ExecutorLost, ProcessDied
from orion_hpc.journal.base import Storage
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.model.trial import (
    BROKEN,
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    KILLED,
    RESERVED,
    USER_ERROR,
    Trial,
)
from orion_hpc.worker import plan
from orion_hpc.worker.grace import NO_GRACE, Grace
from orion_hpc.worker.notice import Notice
from orion_hpc.worker.recovery import Recovery
from orion_hpc.worker.stop import StopNotice
from orion_hpc.worker.task import Outcome, TrialTask
from orion_hpc.worker.walltime import JobTime, TrialTime, is_too_late

log = logging.getLogger(__name__)

_POLL = 0.5
"""Seconds. A signal handler can't wake a thread that waits for a process; it is noticed so soon."""

_SHORTEST_IDLE = 0.02
_LONGEST_IDLE = 2.0

_ESTIMATE = 0.2
"""Seconds for which it is believed that a trial does, or doesn't, fit in what is left of a job."""

_LONGEST_GLANCE = 15.0
"""Seconds after which a worker whose slots are all taken has seen that the experiment is over."""

_LOSS_INTERVALS = 4.0
"""Heartbeats after which a silent worker has been found by any other: two of silence, one and a
half of looking again, and a look in between."""


class _Ended(NamedTuple):
    """An attempt that is over, though the journal doesn't know it yet."""

    trial: Trial
    attempt: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker is told besides its experiment.

    Attributes
    ----------
    name : str
        Who it is, in every journal entry.
    heartbeat : float
        Seconds between signs of life; also how often silent workers are looked for, at most.
    idle_timeout : float
        Seconds without any trial to reserve after which it leaves.
    seed, max_attempts : int
        As the experiment records them.
    patience : float, default 600
        Seconds for which a full disk or an unavailable lock is borne before the worker gives up.
    notice_delay : float, default 1
        Seconds in which a stop notice reaches all processes of a job, at most.
    n_workers : int, optional
        Trials at once, by default as many as the executor runs.
    max_trials : int, optional
        It begins no trial where so many of the experiment are completed or reserved.
    max_attempts_here : int, optional
        How many attempts it begins.
    impatient : bool, default False
        Whether ``idle_timeout`` holds also while others have trials and may be lost.
    grace : Grace
        The time that running trials have after a stop notice, by default none.
    trial_time : float, "auto" or "off"
        How long a trial takes, so that none begins which is unlikely to end within the job.
    """

    name: str
    heartbeat: float
    idle_timeout: float
    seed: int
    max_attempts: int
    patience: float = 600.0
    notice_delay: float = 1.0
    n_workers: int | None = None
    max_trials: int | None = None
    max_attempts_here: int | None = None
    impatient: bool = False
    grace: Grace = NO_GRACE
    trial_time: TrialTime = "off"


@dataclass(slots=True)
class Summary:
    """What a worker did, and why it left.

    ``idle``: because there was no trial to be had; ``stopped``: because of a stop notice;
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


class Worker:
    """Runs trials of one experiment, up to ``executor.n_workers`` at once.

    Parameters
    ----------
    storage : Storage
    number : int
        The experiment's number in it.
    algorithm : Algorithm
    executor : Executor
    run : callable
        Runs a task, in the executor: ``TrialTask -> Outcome``.
    make_task : callable
        Prepares a reserved trial for it.
    recovery : Recovery
        Finds lost workers.
    stop : StopNotice
    options : WorkerOptions
    clock : callable
        Seconds since the epoch, for the journal.
    notice : Notice, optional
        Tells the running trials of a stop notice.
    watcher : callable
        Told of each attempt that ended and was recorded: ``(Trial, Outcome) -> str``. With a text,
        the worker begins no further trial and leaves for that reason when those that run have
        ended. What it raises ends them, and leaves :meth:`run`.
    awake : callable, default the monotonic clock
        Seconds without those in which this process was stopped, for its patience: who comes back
        from a suspension has just begun to wait.
    """

    def __init__(
        self,
        storage: Storage,
        number: int,
        algorithm: Algorithm,
        executor: Executor,
        run: Callable[[TrialTask], Outcome],
        make_task: Callable[[ExperimentState, Trial], TrialTask],
        recovery: Recovery,
        stop: StopNotice,
        options: WorkerOptions,
        clock: Callable[[], float] = time.time,
        notice: Notice | None = None,
        watcher: Callable[[Trial, Outcome], str] = lambda trial, outcome: "",
        awake: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._number = number
        self._algorithm = algorithm
        self._executor = executor
        self._run = run
        self._make_task = make_task
        self._recovery = recovery
        self._stop = stop
        self._options = options
        self._clock = clock
        self._notice = notice or Notice(None)
        self._watcher = watcher
        self._awake = awake
        self._n_workers = min(options.n_workers or executor.n_workers, executor.n_workers)
        self._begun = 0
        self._leaving = ""
        self._executor_lost: ExecutorLost | None = None
        self._running: dict[Future[Outcome], tuple[Trial, int]] = {}
        self._unrecorded: list[_Ended] = []
        self._interruptions: Counter[int] = Counter()
        self._trouble_since: float | None = None
        self._next_look = 0.0
        self._next_glance = 0.0
        self._next_estimate = 0.0
        self._is_too_late = False
        self._more = False
        self.summary = Summary()

    def run(self) -> Summary:
        """Work until the experiment is done or broken, nothing comes up, or a notice arrives.

        Raises
        ------
        ExecutorLost
            It can't run anything any more. What ran there is released.
        StorageError
            The database can't be read or written, and waiting didn't help. Results that have no
            place in it are kept in their trials' directories.
        """
        try:
            self.summary.reason = self._work()
            if self._stop.cause is not None:
                self._give_grace()
            if self._executor_lost is not None:
                self.abandon(KILLED, self._executor_lost.message)
                raise self._executor_lost
            if self._stop.cause is not None:
                self.abandon(self._stop.cause, self._stop.said)
        except BaseException:
            self._keep_unrecorded()
            raise
        finally:
            self._notice.withdraw()
        return self.summary

    def _work(self) -> str:
        """Return why there is nothing more to do."""
        idle_since: float | None = None
        pause = _SHORTEST_IDLE
        # The position first: what is appended in between is then seen at the next look.
        position = self._storage.position()
        state = self._state(self._storage.refresh())
        while self._stop.cause is None and self._executor_lost is None:
            try:
                state = self._advance(state)
                # Only the file's size is looked at while nothing changes; the lock is left alone.
                if self._free_slots and (there := self._storage.position()) != position:
                    position = there
                    state = self._state(self._storage.refresh())
                elif not self._free_slots:
                    state, position = self._glance(state, position)
                self._heed(state)
                self._trouble_since = None
            except StorageError as error:
                self._bear(error)
            if self._running:
                idle_since, pause = None, _SHORTEST_IDLE
                if not self._more:
                    self._executor.wait(self._running, _POLL)
            elif self._unrecorded:
                time.sleep(_POLL)
            elif reason := self._over(state):
                return reason
            else:
                # Everything is taken, or this worker's reservations lose to faster ones.
                now = self._awake()
                idle_since = idle_since or now
                if now - idle_since > self._idle_patience(state):
                    self.summary.idle = True
                    return "idle: there is no trial to be had"
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_IDLE, self._options.heartbeat)
        if self._executor_lost is not None:
            return self._executor_lost.message
        self.summary.stopped = not self._stop.why or self._stop.count > 0
        return self._stop.why or f"stopped by {self._stop.signal}"

    def _glance(self, state: ExperimentState, position: int) -> tuple[ExperimentState, int]:
        """Look from time to time what there is new, though no trial can begin here."""
        now = time.monotonic()
        if now < self._next_glance:
            return state, position
        self._next_glance = now + min(_LONGEST_GLANCE, self._options.heartbeat)
        if (there := self._storage.position()) != position:
            position = there
            state = self._state(self._storage.refresh())
        return state, position

    def _heed(self, state: ExperimentState) -> None:
        """Give the trials that run here notice if nobody wants them to go on."""
        if self._running and not state.is_done and (why := _over(state)):
            self._stop.give(CANCELLED, "SIGTERM", why)

    def _give_grace(self) -> None:
        """Let the running trials know of the notice, and wait for them as long as there is time."""
        stop, grace = self._stop, self._options.grace
        if not self._running or grace.seconds <= 0:
            return
        self._notice.post(stop.signal)
        left = grace.left(time.monotonic(), stop.since, stop.terminated, stop.limit)
        log.warning(
            "%s: the running trials (%s) have %.0f s to end or to save their state; "
            "a second Ctrl-C ends them at once",
            stop.why or stop.signal,
            ", ".join(str(trial.number) for trial, _ in self._running.values()),
            left,
        )
        while self._running and not stop.hurried and self._executor_lost is None:
            left = grace.left(time.monotonic(), stop.since, stop.terminated, stop.limit)
            if left <= 0:
                log.warning("the time is over; what still runs is ended")
                return
            self._executor.wait(self._running, min(_POLL, left))
            try:
                self._advance(self._state(self._storage.state))
            except StorageError as error:
                self._bear(error)
                time.sleep(min(_POLL, left))

    def _idle_patience(self, state: ExperimentState) -> float:
        """Return how many seconds to wait for a trial: until any lost worker has been found."""
        if self._options.impatient or not state.count(RESERVED):
            return self._options.idle_timeout
        return max(self._options.idle_timeout, _LOSS_INTERVALS * self._options.heartbeat)

    def _bear(self, error: StorageError) -> None:
        """Let a trouble of the storage pass; raise it where it can't or doesn't.

        Not while trials run: when they end, the trouble is met again, or it has passed.
        """
        lasting, now = isinstance(error, StorageUnusable | DamagedDatabase), self._awake()
        since, self._trouble_since = self._trouble_since, self._trouble_since or now
        if (lasting or now - (since or now) > self._options.patience) and not self._running:
            raise error
        if since is None:
            then = "the running trials are waited for" if lasting else "trying again"
            log.warning("%s; %s", error.message, then)

    @property
    def _free_slots(self) -> int:
        return max(0, self._n_workers - len(self._running))

    def _slots(self, state: ExperimentState) -> int:
        """Return how many trials this worker may begin now, if there are any."""
        slots: float = self._free_slots
        if self._stop.cause is not None or self._leaving or self._executor_lost is not None:
            return 0
        if self._begun and self._too_late(state):
            return 0
        if self._options.max_attempts_here is not None:
            slots = min(slots, self._options.max_attempts_here - self._begun)
        if self._options.max_trials is not None:
            taken = state.count(COMPLETED) + state.count(RESERVED)
            slots = min(slots, self._options.max_trials - taken)
        return max(0, int(slots))

    def _over(self, state: ExperimentState) -> str:
        """Return why this worker has nothing to do any more, or ``''``."""
        most = self._options.max_trials
        if most is not None and state.count(COMPLETED) >= most:
            return f"{most} trials are completed"
        if self._begun == self._options.max_attempts_here:
            return f"it has begun {self._begun} trials"
        if reason := _over(state) or self._leaving:
            return reason
        if self._begun and plan.something_to_reserve(state) and self._too_late(state):
            self.summary.too_late = True
            return "what is left of the job's time is unlikely to be enough for another trial"
        return ""

    def _too_late(self, state: ExperimentState) -> bool:
        stop = self._stop
        if stop.limit is None:
            return False
        now = time.monotonic()
        if now >= self._next_estimate:
            # Not for each of a thousand short trials.
            self._next_estimate = now + _ESTIMATE
            left = JobTime(stop.limit - now, stop.whole)
            self._is_too_late = is_too_late(state, left, self._options.trial_time)
        return self._is_too_late

    def _state(self, state: State) -> ExperimentState:
        return state.experiments[self._number]

    def _advance(self, state: ExperimentState) -> ExperimentState:
        """Record what ended and reserve for the free slots, in one transaction; start the new."""
        for future in [future for future in self._running if future.done()]:
            trial, attempt = self._running.pop(future)
            self._unrecorded.append(_Ended(trial, attempt, self._end_of(trial, future)))
        self._more = False
        loss = self._look_for_losses(state)
        if self._algorithm.learns and (self._unrecorded or loss.workers):
            # The next trial is to know of these.
            state = self._write(loss, None, begin=False)
            loss = plan.Loss()
        free = self._slots(state) and plan.something_to_reserve(state)
        if not self._unrecorded and not loss.workers and not free:
            return state
        proposal = self._propose(state, self._slots(state))
        if plan.must_wait(state, proposal):
            return state
        begun = self._begun
        state = self._begin(self._write(loss, proposal, begin=True))
        self._more = self._algorithm.learns and self._begun > begun and self._free_slots > 0
        return state

    def _write(
        self, loss: plan.Loss, proposal: plan.Proposal | None, begin: bool
    ) -> ExperimentState:
        """Record what ended and whose worker is lost, and reserve for the free slots."""
        name, seed = self._options.name, self._options.seed

        def decide(database: State) -> Sequence[ev.Event]:
            now, seen = self._clock(), self._state(database)
            slots = self._slots(seen) if begin else 0
            return [
                *self._ends(seen, now),
                *plan.losses(seen, loss, self._options.max_attempts, now),
                *plan.reservations(seen, self._algorithm, seed, name, slots, now, proposal),
            ]

        state = self._state(self._record(decide))
        self._recovery.settle(loss)
        self._note_ends(state)
        return state

    def _ends(self, state: ExperimentState, now: float) -> list[ev.Event]:
        """Return events that record what ended and was this worker's to the end."""
        name = self._options.name
        return [
            plan.ending(trial, attempt, outcome, now)
            for trial, attempt, outcome in self._unrecorded
            if plan.may_end(state, trial, attempt, name)
        ]

    def _begin(self, state: ExperimentState) -> ExperimentState:
        """Start what was reserved."""
        for trial in self._held(state):
            if self._leaving:
                break
            log.info("trial %d: attempt %d starts: %s", trial.number, trial.attempt, trial.params)
            task = self._make_task(state, trial)
            self._running[self._executor.submit(self._run, task)] = (trial, trial.attempt)
            self._begun += 1
        else:
            return state
        end = Outcome(INTERRUPTED, cause=CANCELLED, message=f"not begun: {self._leaving}")
        self._unrecorded.extend(_Ended(one, one.attempt, end) for one in self._held(state))
        return state

    def _held(self, state: ExperimentState) -> list[Trial]:
        """Return what this worker has reserved and neither runs nor is about to give back."""
        busy = {trial.number for trial, _ in self._running.values()}
        busy |= {ended.trial.number for ended in self._unrecorded}
        return plan.held(state, self._options.name, busy)

    def _end_of(self, trial: Trial, future: Future[Outcome]) -> Outcome:
        """Return how a trial ended; one that died of the job's stop notice is no broken trial.

        A notice reaches all processes of a job, and a trial's may die of it before this one hears.
        """
        if isinstance(error := future.exception(), ExecutorLost):
            self._executor_lost = error
            return Outcome(INTERRUPTED, cause=KILLED, message=error.message)
        end = _outcome(future)
        deadline = time.monotonic() + self._options.notice_delay
        while end.status == BROKEN and self._stop.cause is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if end.status == BROKEN and self._stop.cause is not None:
            message = f"{self._stop.said} ({end.message})"
            return Outcome(INTERRUPTED, cause=self._stop.cause, message=message)
        if self._stop.cause is None and end.status == INTERRUPTED:
            return self._by_itself(trial, end)
        return _caused(end, self._stop.cause) if self._stop.cause else end

    def _by_itself(self, trial: Trial, end: Outcome) -> Outcome:
        """Return the end of a trial that interrupted itself: as broken, if it does so for ever."""
        self._interruptions[trial.number] += 1
        times = self._interruptions[trial.number]
        if times < self._options.max_attempts:
            return end
        message = f"{end.message} ({times} times, and no stop notice came)"
        return replace(end, status=BROKEN, cause=USER_ERROR, message=message)

    def _propose(self, state: ExperimentState, slots: int) -> plan.Proposal | None:
        if not self._algorithm.cheap and plan.waiting(state) < slots:
            state = self._state(self._storage.refresh())
        seed, name = self._options.seed, self._options.name
        return plan.propose(state, self._algorithm, seed, name, slots)

    def _look_for_losses(self, state: ExperimentState) -> plan.Loss:
        """Look, from time to time and with a slot free, for workers whose trials can be had."""
        now = time.monotonic()
        if not self._free_slots or now < self._next_look:
            return plan.Loss()
        self._next_look = now + max(1.0, self._options.heartbeat / 4)
        # On the newest state: a worker that has left in good order meanwhile isn't lost.
        state = self._state(self._storage.refresh())
        return self._recovery.look(state, self._options.name)

    def abandon(self, cause: str, why: str) -> None:
        """End what runs and release it as interrupted, also after :meth:`run` has raised.

        Raises
        ------
        StorageError
            The database can't be written: others find the trials by this worker's silence.
        """
        # What has ended by itself until now is still recorded as what it is.
        for future, (trial, attempt) in self._running.items():
            if future.done():
                self._unrecorded.append(_Ended(trial, attempt, self._end_of(trial, future)))
        self._running = {future: one for future, one in self._running.items() if not future.done()}
        self._executor.close(kill=True)
        end = Outcome(status=INTERRUPTED, cause=cause, message=why)
        held = self._held(self._state(self._storage.state))
        self._unrecorded.extend(_Ended(*one, end) for one in self._running.values())
        self._running.clear()
        self._unrecorded.extend(_Ended(one, one.attempt, end) for one in held)
        if self._unrecorded:

            def decide(database: State) -> Sequence[ev.Event]:
                return self._ends(self._state(database), self._clock())

            self._note_ends(self._state(self._record(decide)))

    def _record(self, decide: Callable[[State], Sequence[ev.Event]]) -> State:
        """Make the transaction; an end that can't be written is replaced by words that can."""
        self._stop.await_suspension()
        try:
            return self._storage.transact(self._number, decide)
        except ValueError:
            self._unrecorded = [
                ended._replace(outcome=plan.writable(ended.outcome)) for ended in self._unrecorded
            ]
            return self._storage.transact(self._number, decide)

    def _keep_unrecorded(self) -> None:
        """Save the results that the database didn't take."""
        for trial, attempt, end in self._unrecorded:
            if end.results is not None:
                self._recovery.keep(trial.number, attempt, end.results)

    def _note_ends(self, state: ExperimentState) -> None:
        """Tell of what was just recorded."""
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
            told = f"objective {now.objective:g}" if now.objective is not None else end.message
            log.info("trial %d: attempt %d %s: %s", trial.number, attempt, end.status, told)
            if end.detail.startswith("Traceback"):
                log.error("trial %d: %s", trial.number, end.detail)
            elif end.status == BROKEN:
                log.error("trial %d: %s\n%s", trial.number, end.message, end.detail)
            self._leaving = self._watcher(now, end) or self._leaving


def _outcome(future: Future[Outcome]) -> Outcome:
    """Return how the task ended, also where its process didn't live to tell."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, ProcessDied):
        return Outcome(status=BROKEN, cause=error.cause, message=error.message)
    return Outcome(status=BROKEN, message=f"the executor failed: {error!r}")


def _caused(end: Outcome, cause: str) -> Outcome:
    """Return an interruption's outcome with the notice's cause; the trial itself can't know it."""
    return replace(end, cause=cause) if end.status == INTERRUPTED else end


def _over(state: ExperimentState) -> str:
    """Return why nobody needs to work any more, or ``''``."""
    if state.is_done:
        return "the experiment is done"
    if state.is_broken:
        broken = state.count(BROKEN)
        return f"{broken} trials are broken" if broken > 1 else "1 trial is broken"
    if state.stopped is not None:
        return f"the experiment was stopped: {state.stopped}"
    return ""
