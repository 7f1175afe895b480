"""The output of ``submit`` after the launch: the next command, or the progress of the workers."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from orion_hpc.cli.terminal import Terminal
from orion_hpc.config.settings import Settings
from orion_hpc.errors import LaunchError, OrionHpcError
from orion_hpc.experiments.broken_trials import broken_groups
from orion_hpc.experiments.comparison import comparison, comparison_notes
from orion_hpc.experiments.failed_starts import FailedStarts
from orion_hpc.experiments.get_or_create import Built
from orion_hpc.experiments.progress import progress
from orion_hpc.experiments.status import summary_of
from orion_hpc.experiments.summary import (
    best_trial,
    broken_notes,
    exhaustion,
    shown,
    status_notes,
)
from orion_hpc.jobs.base import Jobs, Launcher
from orion_hpc.jobs.replenishment import Patience, hopeless, launch_time, now, top_up
from orion_hpc.jobs.submission import (
    Submission,
    missing_tasks,
    useful_tasks,
)
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED
from orion_hpc.slurm.queue import in_queue
from orion_hpc.text import counted_are
from orion_hpc.worker.recovery import release_lost
from orion_hpc.worker.shutdown import StopNotice

_QUEUE_INTERVAL = 10.0
"""Seconds between two requests to Slurm."""

_STOP_STEP = 0.25
_STOP_WAIT = 15.0
"""Seconds that local workers get to release their trials after Ctrl-C, beyond the grace."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands to continue this experiment, and to show its status."""

    again: str
    status: str


def announce(terminal: Terminal, settings: Settings, built: Built) -> None:
    """Print which experiment it is, before a worker starts here."""
    experiment = built.experiment
    title, where = f"{experiment.name} v{experiment.version}", f"in {settings.storage}"
    if built.created:
        terminal.note(f"Experiment {title} was created {where}.")
    else:
        done = counted_are(experiment.count(COMPLETED), "trial")
        terminal.note(f"Experiment {title} goes on: {done} completed {where}.")
    for change in built.changes:
        terminal.note(f"Changed {change}.")
    for line in built.learned:
        terminal.note(f"It {line}.")
    if built.released:
        whose = "their workers are" if built.released > 1 else "its worker is"
        terminal.note(f"{counted_are(built.released, 'trial')} free again: {whose} gone.")
    if experiment.is_broken:
        broken = experiment.count(BROKEN)
        terminal.note(
            f"Note: it is closed, {counted_are(broken, 'trial')} broken. Fix the cause; then "
            f"'orion-hpc submit CONFIG --max-broken {broken + 3}' continues."
        )
    for line in (*built.kept, *built.advice):
        terminal.note(f"Note: {line}.")


def tell_submission(
    terminal: Terminal, commands: Commands, settings: Settings, done: Submission
) -> None:
    """Print what was started; with jobs that end with this process, stay until they do."""
    number = done.experiment.number
    if done.waiting is None:
        terminal.note("squeue doesn't answer: tasks that still wait or run aren't counted in.")
    if done.jobs is not None and done.tasks < done.asked:
        besides = f", beside {done.waiting} in the queue" if done.waiting else ""
        terminal.note(
            f"{done.tasks} of {done.asked} tasks are enough for the trials that are left{besides}."
        )
    if done.jobs is None and done.waiting and not done.attached:
        terminal.say(
            f"{counted_are(done.waiting, 'task')} in the queue already: none is submitted."
        )
        terminal.say("A larger --array adds tasks, if so many trials are left.")
        terminal.say(f"Next: {commands.status}")
        return
    if done.jobs is not None and not done.attached:
        kind = f"job array of {done.tasks} tasks" if done.tasks > 1 else "job"
        terminal.say(f"Submitted {kind}, job id {', '.join(done.jobs.ids)}.")
        terminal.say(f"Logs: {done.jobs.logs}")
        terminal.say(f"Next: {commands.status}")
        return
    if done.jobs is not None:
        # A flag and no exception, which would interrupt a replay.
        with StopNotice().listening(in_job=False) as notice:
            if done.jobs.alive():
                _follow(terminal, done, done.jobs, notice)
            if notice.cause is not None:
                _stop(terminal, done.jobs, notice, settings.worker.grace)
        release_lost(done.storage, number)
        if notice.cause is not None or done.jobs.stopped:
            terminal.note(f"Stopped. Go on from here with: {commands.again}")
            sys.exit(130)
        for failure in done.jobs.failures():
            terminal.note(f"Failed: {failure}")
    _finish(terminal, done, done.storage.refresh().experiments[number])


def stay(
    terminal: Terminal,
    commands: Commands,
    settings: Settings,
    done: Submission,
    keeper: Launcher | None,
) -> None:
    """Show the progress of jobs that don't need this process; ``keeper`` replaces lost tasks.

    Return when the experiment is done; exit with 1 if it ended otherwise, 130 after Ctrl-C.

    Raises
    ------
    OrionHpcError
        Tasks end before they are workers, one after the other: no more are submitted.
    """
    pace = _Pace.of(done)
    queue = _Queue(terminal, settings, done, keeper)

    def look() -> tuple[str, bool]:
        state = now(done)
        line = pace.line(state)
        over = state.is_done or not state.is_open
        if not over:
            queue.tend(state)
        over = over or queue.failed is not None or (keeper is None and queue.tasks == 0)
        tasks = "?" if queue.tasks is None else str(queue.tasks)
        return f"{line}, tasks in the queue: {tasks}", over or notice.cause is not None

    with StopNotice().listening(in_job=False) as notice:
        terminal.note("Ctrl-C leaves the jobs as they are.")
        terminal.follow(look)
    if notice.cause is not None:
        terminal.note(f"The jobs go on without this command. Next: {commands.status}")
        sys.exit(130)
    if queue.failed is not None:
        raise OrionHpcError(
            f"no more tasks are submitted: {queue.failed.text}",
            f"Fix the cause, then continue with: {commands.again}",
        )
    _finish(terminal, done, now(done))


@dataclass(slots=True)
class _Pace:
    """The trials that were completed since this command began to watch."""

    began: float
    before: int
    seen: int
    last: float = 0.0

    @classmethod
    def of(cls, done: Submission) -> _Pace:
        completed = done.experiment.count(COMPLETED)
        return cls(time.monotonic(), completed, completed)

    def line(self, state: ExperimentState) -> str:
        """Return the progress in words."""
        elapsed = time.monotonic() - self.began
        if state.count(COMPLETED) > self.seen:
            self.seen, self.last = state.count(COMPLETED), elapsed
        return str(progress(state, self.before, elapsed, self.last))


class _Queue:
    """The tasks in Slurm's queue; ``keeper`` replaces those that are gone.

    ``tasks`` is how many wait or run, None where squeue doesn't answer. ``failed``: the last ones,
    if they couldn't start a worker, so that no more are submitted.
    """

    def __init__(
        self, terminal: Terminal, settings: Settings, done: Submission, keeper: Launcher | None
    ) -> None:
        self.tasks: int | None = done.tasks + (done.waiting or 0)
        self._terminal = terminal
        self._settings = settings
        self._done = done
        self._keeper = keeper
        self._next_look = time.monotonic() + _QUEUE_INTERVAL
        self._patience = Patience()
        self._since = launch_time(done)
        self._trouble = ""
        self.failed: FailedStarts | None = None

    def tend(self, state: ExperimentState) -> None:
        """Ask Slurm from time to time, and submit what is missing."""
        if time.monotonic() < self._next_look:
            return
        before, live = self.tasks, in_queue(state.job_ids("slurm"))
        self.tasks = None if live is None else sum(one.count for one in live)
        self._next_look = time.monotonic() + _QUEUE_INTERVAL
        if self._keeper is None or live is None or self.tasks is None or before is None:
            return
        # Only tasks that were missing the last time, too: a requeued task is missing for seconds.
        there = max(before, self.tasks)
        if not missing_tasks(useful_tasks(self._settings, state.left), there):
            return
        queued = {one.job for one in live}
        self.failed = hopeless(self._done, state, queued, self._since)
        if self.failed is not None:
            return
        if not self._patience.may(time.monotonic(), state.count(COMPLETED)):
            return
        try:
            added = top_up(self._done, self._settings, self._keeper, there)
        except LaunchError as error:
            if error.message != self._trouble:
                self._terminal.note(f"{error.message}; trying again")
                self._trouble = error.message
            return
        if added is not None:
            tasks, jobs = added
            self._trouble, self.tasks = "", self.tasks + tasks
            ids = ", ".join(jobs.ids)
            self._terminal.note(f"Tasks are gone: submitted {tasks}, job id {ids}.")


def _follow(terminal: Terminal, done: Submission, jobs: Jobs, notice: StopNotice) -> None:
    number, pace = done.experiment.number, _Pace.of(done)
    workers = counted_are(jobs.alive(), "worker")
    terminal.note(f"{workers} on this machine; logs: {jobs.logs}")

    def look() -> tuple[str, bool]:
        alive = jobs.alive()
        line = pace.line(done.storage.refresh().experiments[number])
        return line, not alive or notice.cause is not None

    terminal.follow(look)


def _stop(terminal: Terminal, jobs: Jobs, notice: StopNotice, grace: float) -> None:
    terminal.note("Stopping: the running trials are interrupted. Ctrl-C again stops at once.")
    seen, deadline = notice.count, time.monotonic() + grace + _STOP_WAIT
    while jobs.alive() and notice.count == seen and time.monotonic() < deadline:
        jobs.stop(_STOP_STEP, force=False)
    jobs.stop(0)


def _finish(terminal: Terminal, done: Submission, state: ExperimentState) -> None:
    """Print the result; exit with 1 if the experiment isn't done."""
    best = best_trial(state)
    if best is not None:
        terminal.say(f"Best trial: {best['number']}, objective {shown(best)}")
        for name, value in best["params"].items():
            terminal.say(f"  {name}: {value!r}")
    if state.is_done:
        for note in comparison_notes(comparison(state)):
            terminal.say(note)
        reasons = [one.to_dict() for one in broken_groups(state.having(BROKEN))]
        for note in broken_notes(f"{state.name} v{state.version}", reasons):
            terminal.note(note)
        why = exhaustion(state)
        spent = f" ({why})" if why else ""
        terminal.say(f"Done: {counted_are(state.count(COMPLETED), 'trial')} completed{spent}.")
        return
    for note in status_notes([{**summary_of(state, done.storage.path), "best": None}]):
        terminal.note(note)
    terminal.note(f"Not done: {counted_are(state.count(COMPLETED), 'trial')} completed.")
    sys.exit(1)
