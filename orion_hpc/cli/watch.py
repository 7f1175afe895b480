"""What ``submit`` shows after the launch: what to type next, or the progress of local workers."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from orion_hpc.cli.terminal import Terminal
from orion_hpc.config.settings import Settings
from orion_hpc.errors import LaunchError
from orion_hpc.experiments.comparison import comparison, comparison_notes
from orion_hpc.experiments.get_or_create import Built
from orion_hpc.experiments.progress import progress
from orion_hpc.experiments.summary import (
    best_trial,
    exhaustion,
    experiment_summary,
    shown,
    status_notes,
)
from orion_hpc.jobs.base import Jobs, Launcher
from orion_hpc.jobs.replenishment import Patience, now, top_up
from orion_hpc.jobs.submission import (
    Submission,
    missing_tasks,
    tasks_in_queue,
    useful_tasks,
)
from orion_hpc.journal.heartbeat import signs
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import BROKEN, COMPLETED
from orion_hpc.sharedfs import layout
from orion_hpc.text import counted_are
from orion_hpc.worker.recovery import release_lost
from orion_hpc.worker.shutdown import StopNotice

_QUEUE_INTERVAL = 10.0
"""Seconds between two questions to Slurm."""

_STOP_STEP = 0.25
_STOP_WAIT = 15.0
"""Seconds that local workers get to release their trials after Ctrl-C, beyond the grace."""


@dataclass(frozen=True, slots=True)
class Commands:
    """What to type next: to go on with this experiment, and to see how it stands."""

    again: str
    status: str


def announce(terminal: Terminal, settings: Settings, built: Built) -> None:
    """Tell which experiment it is, before anything of it runs here."""
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
            f"Note: it is closed, {counted_are(broken, 'trial')} broken. Mend the cause, then give "
            f"--max-broken {broken + 3}."
        )
    for line in (*built.kept, *built.advice):
        terminal.note(f"Note: {line}.")


def tell_submission(
    terminal: Terminal, commands: Commands, settings: Settings, done: Submission
) -> None:
    """Tell what was started; with jobs that end with this process, stay until they do."""
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
        # A note and no exception: that would come in the middle of a replay.
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
    """Show how jobs get on that don't need this process; ``keeper`` replaces those that are gone.

    Returns when the experiment is over; exits with 1 if it isn't done, 130 after a Ctrl-C.
    """
    began = time.monotonic()
    before = seen = done.experiment.count(COMPLETED)
    last = 0.0
    queue: int | None = done.tasks + (done.waiting or 0)
    next_look, patience, trouble = began + _QUEUE_INTERVAL, Patience(), ""

    def tend(state: ExperimentState) -> None:
        nonlocal queue, next_look, trouble
        seen_before, queue = queue, tasks_in_queue(state)
        next_look = time.monotonic() + _QUEUE_INTERVAL
        if keeper is None or queue is None or seen_before is None:
            return
        # Only what was missing the last time, too: a task that is requeued is away for seconds.
        there = max(seen_before, queue)
        if not missing_tasks(useful_tasks(settings, state.left), there):
            return
        if not patience.may(time.monotonic(), state.count(COMPLETED)):
            return
        try:
            added = top_up(done, settings, keeper, there)
        except LaunchError as error:
            if error.message != trouble:
                terminal.note(f"{error.message}; trying again")
                trouble = error.message
            return
        if added is not None:
            tasks, jobs = added
            trouble, queue = "", queue + tasks
            terminal.note(f"Tasks are gone: submitted {tasks}, job id {', '.join(jobs.ids)}.")

    def look() -> tuple[str, bool]:
        nonlocal seen, last
        state = now(done)
        elapsed = time.monotonic() - began
        if state.count(COMPLETED) > seen:
            seen, last = state.count(COMPLETED), elapsed
        over = state.is_done or not state.is_open
        if not over and time.monotonic() >= next_look:
            tend(state)
        gone = keeper is None and queue == 0
        tasks = "?" if queue is None else str(queue)
        text = f"{progress(state, before, elapsed, last)}, tasks in the queue: {tasks}"
        return text, over or gone or notice.cause is not None

    with StopNotice().listening(in_job=False) as notice:
        terminal.note("Ctrl-C leaves the jobs as they are.")
        terminal.follow(look)
    if notice.cause is not None:
        terminal.note(f"The jobs go on without this command. Next: {commands.status}")
        sys.exit(130)
    _finish(terminal, done, now(done))


def _follow(terminal: Terminal, done: Submission, jobs: Jobs, notice: StopNotice) -> None:
    began, number = time.monotonic(), done.experiment.number
    before = seen = done.experiment.count(COMPLETED)
    last = 0.0
    workers = counted_are(jobs.alive(), "worker")
    terminal.note(f"{workers} on this machine; logs: {jobs.logs}")

    def look() -> tuple[str, bool]:
        nonlocal seen, last
        alive = jobs.alive()
        state = done.storage.refresh().experiments[number]
        elapsed = time.monotonic() - began
        if state.count(COMPLETED) > seen:
            seen, last = state.count(COMPLETED), elapsed
        return str(progress(state, before, elapsed, last)), not alive or notice.cause is not None

    terminal.follow(look)


def _stop(terminal: Terminal, jobs: Jobs, notice: StopNotice, grace: float) -> None:
    terminal.note("Stopping: the running trials are interrupted. Ctrl-C again stops at once.")
    seen, deadline = notice.count, time.monotonic() + grace + _STOP_WAIT
    while jobs.alive() and notice.count == seen and time.monotonic() < deadline:
        jobs.stop(_STOP_STEP, force=False)
    jobs.stop(0)


def _finish(terminal: Terminal, done: Submission, state: ExperimentState) -> None:
    """Tell how it ended; exit with 1 where it didn't end well."""
    best = best_trial(state)
    if best is not None:
        terminal.say(f"Best trial: {best['number']}, objective {shown(best)}")
        for name, value in best["params"].items():
            terminal.say(f"  {name}: {value!r}")
    if state.is_done:
        for note in comparison_notes(comparison(state)):
            terminal.say(note)
        why = exhaustion(state)
        spent = f" ({why})" if why else ""
        terminal.say(f"Done: {counted_are(state.count(COMPLETED), 'trial')} completed{spent}.")
        return
    alive = signs(layout.workers_folder(done.storage.path, state.title))
    for note in status_notes([{**experiment_summary(state, alive), "best": None}]):
        terminal.note(note)
    terminal.note(f"Not done: {counted_are(state.count(COMPLETED), 'trial')} completed.")
    sys.exit(1)
