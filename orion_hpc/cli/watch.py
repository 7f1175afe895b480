"""What ``submit`` shows after the launch: what to type next, or the progress of local workers."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from orion_hpc.cli.terminal import Terminal
from orion_hpc.client.submission import Submission, recover
from orion_hpc.config.settings import Settings
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial import COMPLETED
from orion_hpc.report.progress import progress
from orion_hpc.report.summary import best_trial, experiment_summary, status_notes
from orion_hpc.worker.stop import StopNotice

_STOP_STEP = 0.25
_STOP_WAIT = 15.0
"""Seconds that local workers get to release their trials after Ctrl-C."""


def tell_submission(terminal: Terminal, config: Path, settings: Settings, done: Submission) -> None:
    """Tell what was done; with jobs that end with this process, stay until they do."""
    experiment = done.experiment
    title = f"{experiment.name} v{experiment.version}"
    where = f"in {settings.storage}"
    terminal.note(
        f"Experiment {title} was created {where}."
        if done.built.created
        else f"Experiment {title} goes on: {experiment.count(COMPLETED)} trials are completed "
        f"{where}."
    )
    for change in done.built.changes:
        terminal.note(f"Changed {change}.")
    if done.jobs is None:
        _finish(terminal, experiment, config)
        return
    if done.tasks < done.asked:
        terminal.note(
            f"{done.tasks} of {done.asked} tasks are enough for the trials that are left."
        )
    if done.attached:
        # A note and no exception: that would come in the middle of a replay.
        with StopNotice().listening(in_job=False) as notice:
            _follow(terminal, done, notice)
            if notice.cause is not None:
                _stop(terminal, done, notice)
        recover(done, settings)
        if notice.cause is not None:
            terminal.note(f"Stopped. 'orion-hpc submit {config}' goes on from here.")
            sys.exit(130)
        for failure in done.jobs.failures():
            terminal.note(f"Failed: {failure}")
    else:
        kind = f"job array of {done.tasks} tasks" if done.tasks > 1 else "job"
        terminal.say(f"Submitted {kind}, job id {', '.join(done.jobs.ids)}.")
        terminal.say(f"Logs: {done.jobs.logs}")
        terminal.say(f"Next: orion-hpc status {config}")
        return
    _finish(terminal, done.storage.refresh().experiments[experiment.number], config)


def _follow(terminal: Terminal, done: Submission, notice: StopNotice) -> None:
    began, number = time.monotonic(), done.experiment.number
    before = done.experiment.count(COMPLETED)
    terminal.note(f"{done.tasks} workers run on this machine; logs: {done.jobs and done.jobs.logs}")

    def look() -> tuple[str, bool]:
        alive = done.jobs.alive() if done.jobs else 0
        state = done.storage.refresh().experiments[number]
        return str(
            progress(state, before, time.monotonic() - began)
        ), not alive or notice.cause is not None

    terminal.follow(look)


def _stop(terminal: Terminal, done: Submission, notice: StopNotice) -> None:
    terminal.note("Stopping: the running trials are interrupted. Ctrl-C again stops at once.")
    assert done.jobs is not None
    seen, deadline = notice.count, time.monotonic() + _STOP_WAIT
    while done.jobs.alive() and notice.count == seen and time.monotonic() < deadline:
        done.jobs.stop(_STOP_STEP, force=False)
    done.jobs.stop(0)


def _finish(terminal: Terminal, state: ExperimentState, config: Path) -> None:
    """Tell how it ended; exit with 1 where it didn't end well."""
    best = best_trial(state)
    if best is not None:
        terminal.say(f"Best trial: {best['number']}, objective {best['objective']:.6g}")
        for name, value in best["params"].items():
            terminal.say(f"  {name}: {value!r}")
    if state.is_done:
        spent = " (every point of the space was tried)" if state.exhausted else ""
        terminal.say(f"Done: {state.count(COMPLETED)} trials are completed{spent}.")
        return
    for note in status_notes([experiment_summary(state, {})]):
        terminal.note(note)
    terminal.note(f"Not done: {state.count(COMPLETED)} trials are completed.")
    sys.exit(1)
