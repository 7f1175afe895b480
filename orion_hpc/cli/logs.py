"""``orion-hpc logs``: show the logs of jobs and trials, and why trials broke."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal

if TYPE_CHECKING:
    from orion_hpc.model.state import ExperimentState
    from orion_hpc.model.trial_record import TrialRecord

_INTERVAL = 0.5
_USUAL_LINES = 10


@click.command()
@select_experiment()
@click.option("--trial", help="Of this trial: its number or id.")
@click.option("--worker", help="Of this worker, or this job, as in 12_3.")
@click.option("--failed", is_flag=True, help="Why trials broke: their tracebacks.")
@click.option("--lines", "-n", type=click.IntRange(0), help="Last lines of each log; 0: all.")
@click.option("--follow", "-f", is_flag=True, help="Continue with new lines.")
@click.pass_obj
def logs(
    terminal: Terminal,
    /,
    selection: Selection,
    trial: str | None,
    worker: str | None,
    failed: bool,
    lines: int | None,
    follow: bool,
) -> None:
    """Show the logs of an experiment's jobs, of one trial or worker, or why trials broke.

    By default the last ten lines of each job's log; with --worker whole logs, with --trial the
    trial's part. --follow continues until the experiment is done, or Ctrl-C.
    """
    from orion_hpc.experiments.lookup import find_trial, the_one, wanted
    from orion_hpc.jobs.logs import Logs
    from orion_hpc.journal.pickleddb import PickledDB

    if (trial is not None) + (worker is not None) + failed > 1:
        raise click.UsageError("Give one of --trial, --worker and --failed.")
    if failed and follow:
        raise click.UsageError("--failed shows what has happened; it can't be followed.")
    settings = selection.settings()
    database = PickledDB(settings.storage, follows=wanted(settings.name, settings.version))
    number = the_one(
        database.refresh().experiments.values(), settings.storage, settings.name, settings.version
    ).number
    state = database.state.experiments[number]
    if failed:
        _show_failures(terminal, state)
        return
    one = None if trial is None else find_trial(state, trial)
    find_logs = _choose_logs(terminal, state, settings.storage, one, worker)
    if lines is None:
        lines = _USUAL_LINES if trial is None and worker is None else 0
    reader = Logs(lines or None, None if one is None else one.number)
    shown = False
    while True:
        for piece in reader.look(find_logs(state)):
            if piece.title:
                terminal.say(f"==> {piece.title}")
            terminal.data(piece.content)
            shown = True
        if not follow or state.is_done or not state.is_open:
            break
        time.sleep(_INTERVAL)
        state = database.refresh().experiments[number]
    if not shown:
        terminal.note("Nothing was written yet.")
    if reader.is_mixed:
        terminal.note("Its worker ran other trials at the same time: their output is in it, too.")


def _show_failures(terminal: Terminal, state: ExperimentState) -> None:
    from orion_hpc.jobs.logs import failures
    from orion_hpc.model.trial_record import BROKEN

    broken = state.having(BROKEN)
    for heading, reason in failures(broken):
        terminal.say(f"==> {heading}")
        terminal.say(reason)
    if not broken:
        terminal.note("No trial is broken.")


def _choose_logs(
    terminal: Terminal,
    state: ExperimentState,
    storage: str,
    trial: TrialRecord | None,
    worker: str | None,
) -> Callable[[ExperimentState], list[str]]:
    """Return what finds the paths of the logs asked for, as they may change while others run."""
    from orion_hpc.experiments.launch_logs import job_logs
    from orion_hpc.jobs.logs import check_worker, trial_logs, worker_logs

    if trial is not None:
        by = f", by {trial.worker}" if trial.worker else ""
        terminal.note(f"Trial {trial.number}, attempt {trial.attempt}: {trial.status}{by}.")
        if trial.message:
            terminal.note(trial.message)
        return partial(trial_logs, database=storage, number=trial.number)
    if worker is not None:
        check_worker(state, worker)
        return partial(worker_logs, worker=worker)
    return job_logs
