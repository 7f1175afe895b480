"""The worker's life: reserve, run, record and reserve the next, until the experiment is done.

The order of steps and the waits between them. What to begin is ``scheduler``'s to decide, what
ended is ``recorder``'s to write; how a worker is assembled is in ``runtime``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.executors.base import Executor
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import CANCELLED, INTERRUPTED, KILLED, TrialRecord
from orion_hpc.worker import plan
from orion_hpc.worker.recorder import ExperimentJournal, Recorder, Summary
from orion_hpc.worker.runtime_options import RuntimeOptions
from orion_hpc.worker.scheduler import TOO_LATE, Scheduler, reason_over
from orion_hpc.worker.shutdown import Shutdown
from orion_hpc.worker.task import Outcome, TrialTask

log = logging.getLogger(__name__)

_POLL = 0.5
"""Seconds. A signal handler can't wake a thread that waits for a process; it is noticed so soon."""

_SHORTEST_IDLE = 0.02
_LONGEST_IDLE = 2.0

_LONGEST_CHECK = 15.0
"""Seconds after which a worker whose slots are all taken has seen that the experiment is over."""


@dataclass(frozen=True, slots=True)
class TrialRunner:
    """How trials are run.

    Attributes
    ----------
    executor : Executor
    run : callable
        Runs a task, in the executor: ``TrialTask -> Outcome``.
    make_task : callable
        Makes the task of a reserved trial.
    """

    executor: Executor
    run: Callable[[TrialTask], Outcome]
    make_task: Callable[[ExperimentState, TrialRecord], TrialTask]


class Worker:
    """Runs trials of one experiment, up to ``executor.n_workers`` at once.

    Parameters
    ----------
    journal : ExperimentJournal
    scheduler : Scheduler
    recorder : Recorder
        What its watcher raises ends the running trials, and leaves :meth:`run`.
    shutdown : Shutdown
    runner : TrialRunner
    options : RuntimeOptions
    awake : callable, default the monotonic clock
        Seconds without those in which this process was stopped, for its patience: a worker that
        comes back from a suspension has just begun to wait.
    idle : callable, optional
        As of :class:`~orion_hpc.worker.runtime.TrialHooks`.
    """

    def __init__(
        self,
        journal: ExperimentJournal,
        scheduler: Scheduler,
        recorder: Recorder,
        shutdown: Shutdown,
        runner: TrialRunner,
        options: RuntimeOptions,
        awake: Callable[[], float] = time.monotonic,
        idle: Callable[[], bool] = lambda: False,
    ) -> None:
        self.summary: Summary = recorder.summary
        self._journal = journal
        self._scheduler = scheduler
        self._recorder = recorder
        self._shutdown = shutdown
        self._stop = shutdown.stop
        self._runner = runner
        self._executor = runner.executor
        self._options = options
        self._awake = awake
        self._idle = idle
        most = runner.executor.n_workers
        self._n_workers = min(options.n_workers or most, most)
        self._running: dict[Future[Outcome], tuple[TrialRecord, int]] = {}
        self._trouble_since: float | None = None
        self._next_check = 0.0
        self._more = False

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
            if (lost := self._recorder.executor_lost) is not None:
                self.abandon(KILLED, lost.message)
                raise lost
            if self._stop.cause is not None:
                self.abandon(self._stop.cause, self._stop.description)
        except BaseException:
            self._recorder.keep_unrecorded()
            raise
        finally:
            self._shutdown.file.withdraw()
        return self.summary

    def abandon(self, cause: str, why: str) -> None:
        """End what runs and release it as interrupted, also after :meth:`run` has raised.

        Raises
        ------
        StorageError
            The database can't be written: others find the trials by this worker's silence.
        """
        # What has ended by itself until now is still recorded as what it is.
        self._collect_finished()
        self._executor.close(kill=True)
        end = Outcome(status=INTERRUPTED, cause=cause, message=why)
        held = self._held(self._journal.state)
        for trial, attempt in self._running.values():
            self._recorder.add(trial, attempt, end)
        self._running.clear()
        for trial in held:
            self._recorder.add(trial, trial.attempt, end)
        if self._recorder.has_unrecorded:
            self._recorder.record()

    # -- the loop --------------------------------------------------------------------------------

    def _work(self) -> str:
        """Return why there is nothing more to do."""
        idle_since: float | None = None
        pause = _SHORTEST_IDLE
        # The position first: what is appended in between is then seen at the next look.
        position = self._journal.position()
        state = self._journal.refresh()
        while self._stop.cause is None and self._recorder.executor_lost is None:
            try:
                state = self._advance(state)
                # Only the file's size is looked at while nothing changes; the lock is left alone.
                look = self._free_slots or self._check_is_due()
                if look and (there := self._journal.position()) != position:
                    position = there
                    state = self._journal.refresh()
                self._stop_if_over(state)
                self._trouble_since = None
            except StorageError as error:
                self._tolerate(error)
            if self._running:
                idle_since, pause = None, _SHORTEST_IDLE
                if not self._more:
                    self._executor.wait(self._running, _POLL)
            elif self._recorder.has_unrecorded:
                time.sleep(_POLL)
            elif reason := self._scheduler.reason_to_leave(state, self._recorder.leaving):
                self.summary.too_late = reason == TOO_LATE
                return reason
            elif not self._idle():
                # Everything is taken, or this worker's reservations lose to faster ones.
                now = self._awake()
                idle_since = idle_since or now
                if now - idle_since > self._scheduler.idle_patience(state):
                    self.summary.idle = True
                    return "idle: there is no trial to be had"
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_IDLE, self._options.heartbeat)
        if self._recorder.executor_lost is not None:
            return self._recorder.executor_lost.message
        self.summary.stopped = not self._stop.why or self._stop.count > 0
        return self._stop.why or f"stopped by {self._stop.signal}"

    def _check_is_due(self) -> bool:
        """Return whether to look for news although no trial can begin here: from time to time."""
        now = time.monotonic()
        if now < self._next_check:
            return False
        self._next_check = now + min(_LONGEST_CHECK, self._options.heartbeat)
        return True

    def _stop_if_over(self, state: ExperimentState) -> None:
        """Give the trials that run here notice if the experiment is over without being done."""
        if self._running and not state.is_done and (why := reason_over(state)):
            self._stop.give(CANCELLED, "SIGTERM", why)

    def _tolerate(self, error: StorageError) -> None:
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

    # -- one step --------------------------------------------------------------------------------

    @property
    def _free_slots(self) -> int:
        return max(0, self._n_workers - len(self._running))

    def _slots(self, state: ExperimentState) -> int:
        """Return how many trials this worker may begin now, if there are any."""
        recorder = self._recorder
        if self._stop.cause is not None or recorder.leaving or recorder.executor_lost is not None:
            return 0
        return self._scheduler.slots(state, self._free_slots)

    def _collect_finished(self) -> None:
        for future in [future for future in self._running if future.done()]:
            trial, attempt = self._running.pop(future)
            self._recorder.add_finished(trial, attempt, future)

    def _advance(self, state: ExperimentState) -> ExperimentState:
        """Record what ended and reserve for the free slots, in one transaction; start the new."""
        scheduler, recorder = self._scheduler, self._recorder
        self._collect_finished()
        self._more = False
        loss = scheduler.look_for_losses(state, self._free_slots)
        if scheduler.learns and (recorder.has_unrecorded or loss.workers):
            # The algorithm must know of these to suggest the next trial.
            state = self._write(loss, None, begin=False)
            loss = plan.Loss()
        free = self._slots(state) and plan.something_to_reserve(state)
        if not recorder.has_unrecorded and not loss.workers and not free:
            return state
        proposal = scheduler.propose(state, self._slots(state))
        if plan.must_wait(state, proposal):
            return state
        begun = scheduler.begun
        state = self._begin(self._write(loss, proposal, begin=True))
        self._more = scheduler.learns and scheduler.begun > begun and self._free_slots > 0
        return state

    def _write(
        self, loss: plan.Loss, proposal: plan.Proposal | None, begin: bool
    ) -> ExperimentState:
        """Record what ended and whose worker is lost, and reserve for the free slots."""
        scheduler = self._scheduler

        def more(seen: ExperimentState, now: float) -> Sequence[ev.Event]:
            slots = self._slots(seen) if begin else 0
            return [
                *scheduler.losses(seen, loss, now),
                *scheduler.reservations(seen, slots, now, proposal),
            ]

        return self._recorder.record(loss, more)

    def _begin(self, state: ExperimentState) -> ExperimentState:
        """Start what was reserved."""
        runner, recorder = self._runner, self._recorder
        for trial in self._held(state):
            if recorder.leaving:
                break
            log.info("trial %d: attempt %d starts: %s", trial.number, trial.attempt, trial.params)
            task = runner.make_task(state, trial)
            self._running[self._executor.submit(runner.run, task)] = (trial, trial.attempt)
            self._scheduler.begun += 1
        else:
            return state
        end = Outcome(INTERRUPTED, cause=CANCELLED, message=f"not begun: {recorder.leaving}")
        for trial in self._held(state):
            recorder.add(trial, trial.attempt, end)
        return state

    def _held(self, state: ExperimentState) -> list[TrialRecord]:
        """Return what this worker has reserved and neither runs nor is about to give back."""
        busy = {trial.number for trial, _ in self._running.values()}
        busy |= self._recorder.unrecorded_trials()
        return plan.held(state, self._options.name, busy)

    # -- the end ---------------------------------------------------------------------------------

    def _give_grace(self) -> None:
        """Notify the running trials, and wait for them as long as there is time."""
        stop, shutdown = self._stop, self._shutdown
        if not self._running or shutdown.grace.seconds <= 0:
            return
        shutdown.notify()
        log.warning(
            "%s: the running trials (%s) have %.0f s to end or to save their state; "
            "a second Ctrl-C ends them at once",
            stop.why or stop.signal,
            ", ".join(str(trial.number) for trial, _ in self._running.values()),
            shutdown.time_left(),
        )
        while self._running and not stop.hurried and self._recorder.executor_lost is None:
            left = shutdown.time_left()
            if left <= 0:
                log.warning("the time is over; what still runs is ended")
                return
            self._executor.wait(self._running, min(_POLL, left))
            try:
                self._advance(self._journal.state)
            except StorageError as error:
                self._tolerate(error)
                time.sleep(min(_POLL, left))
