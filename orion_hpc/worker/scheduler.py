"""What a worker does next: how many trials it may begin, which ones, and when nothing is left.

Decides, and asks the algorithm and the recovery; what is written and run is left to ``loop`` and
``recorder``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from orion_hpc.algorithms.base import Algorithm
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED, RESERVED
from orion_hpc.worker import plan
from orion_hpc.worker.recorder import ExperimentJournal
from orion_hpc.worker.recovery import Recovery
from orion_hpc.worker.runtime_options import RuntimeOptions
from orion_hpc.worker.shutdown import StopNotice
from orion_hpc.worker.walltime import JobTime, is_too_late

TOO_LATE = "what is left of the job's time is unlikely to be enough for another trial"
"""Why a worker leaves at the end of its job's time."""

_ESTIMATE = 0.2
"""Seconds for which an estimate holds whether a trial fits in what is left of a job."""

_LOSS_INTERVALS = 4.0
"""Heartbeats after which a silent worker has been found by any other: two of silence, one and a
half of looking again, and a look in between."""


class Scheduler:
    """Decides for one worker what to begin.

    Parameters
    ----------
    journal : ExperimentJournal
    algorithm : Algorithm
    recovery : Recovery
        Finds lost workers.
    stop : StopNotice
        Knows the job's time limit.
    options : RuntimeOptions

    Attributes
    ----------
    begun : int
        How many attempts the worker has begun.
    """

    def __init__(
        self,
        journal: ExperimentJournal,
        algorithm: Algorithm,
        recovery: Recovery,
        stop: StopNotice,
        options: RuntimeOptions,
    ) -> None:
        self.begun = 0
        self._journal = journal
        self._algorithm = algorithm
        self._recovery = recovery
        self._stop = stop
        self._options = options
        self._next_estimate = 0.0
        self._is_too_late = False

    @property
    def learns(self) -> bool:
        """Whether the next suggestion depends on what ended before."""
        return self._algorithm.learns

    def slots(self, state: ExperimentState, free: int) -> int:
        """Return how many of ``free`` slots may take a trial now, if there are any trials."""
        if self.begun and self._too_late(state):
            return 0
        slots: float = free
        if self._options.max_attempts_here is not None:
            slots = min(slots, self._options.max_attempts_here - self.begun)
        if self._options.max_trials is not None:
            taken = state.count(COMPLETED) + state.count(RESERVED)
            slots = min(slots, self._options.max_trials - taken)
        return max(0, int(slots))

    def reason_to_leave(self, state: ExperimentState, leaving: str) -> str:
        """Return why this worker has nothing to do any more, or ``''``.

        ``leaving`` is a reason that the worker has already.
        """
        most = self._options.max_trials
        if most is not None and state.count(COMPLETED) >= most:
            return f"{most} trials are completed"
        if self.begun == self._options.max_attempts_here:
            return f"it has begun {self.begun} trials"
        if reason := reason_over(state) or leaving:
            return reason
        if self.begun and plan.something_to_reserve(state) and self._too_late(state):
            return TOO_LATE
        return ""

    def idle_patience(self, state: ExperimentState) -> float:
        """Return how many seconds to wait for a trial: until any lost worker has been found."""
        if self._options.impatient or not state.count(RESERVED):
            return self._options.idle_timeout
        return max(self._options.idle_timeout, _LOSS_INTERVALS * self._options.heartbeat)

    def look_for_losses(self, state: ExperimentState, free: int) -> plan.Loss:
        """Look, from time to time and with a slot free, for lost workers that hold trials."""
        if not free or not self._recovery.is_due(self._options.heartbeat):
            return plan.Loss()
        # On the newest state: a worker that has left in good order meanwhile isn't lost.
        return self._recovery.look(self._journal.refresh(), self._options.name)

    def propose(self, state: ExperimentState, slots: int) -> plan.Proposal | None:
        """Ask the algorithm, outside the lock, for a trial if one of ``slots`` takes a new one."""
        if not self._algorithm.cheap and plan.waiting(state) < slots:
            state = self._journal.refresh()
        seed, name = self._options.seed, self._options.name
        return plan.propose(state, self._algorithm, seed, name, slots)

    def losses(self, state: ExperimentState, loss: plan.Loss, now: float) -> list[ev.Event]:
        """Return events that take the trials of lost workers."""
        return plan.losses(state, loss, self._options.max_attempts, now)

    def reservations(
        self, state: ExperimentState, slots: int, now: float, proposal: plan.Proposal | None
    ) -> Sequence[ev.Event]:
        """Return events that reserve up to ``slots`` trials."""
        seed, name = self._options.seed, self._options.name
        return plan.reservations(state, self._algorithm, seed, name, slots, now, proposal)

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


def reason_over(state: ExperimentState) -> str:
    """Return why no worker has anything to do any more, or ``''``."""
    if state.is_done:
        return "the experiment is done"
    if state.is_broken:
        broken = state.count(BROKEN)
        return f"{broken} trials are broken" if broken > 1 else "1 trial is broken"
    if state.stopped is not None:
        return f"the experiment was stopped: {state.stopped}"
    return ""
