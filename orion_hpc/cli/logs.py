"""``orion-hpc logs``: what jobs and trials have written, and why trials broke."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import click

from orion_hpc.cli.terminal import Terminal

_INTERVAL = 0.5


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--storage", help="Path of the database.  [default: the configuration's]")
@click.option("--name", help="Name of the experiment.")
@click.option("--version", type=click.IntRange(1), help="Version of it.  [default: the highest]")
@click.option("--trial", help="Of this trial: its number or id.")
@click.option("--worker", help="Of this worker, or this job, as in 12_3.")
@click.option("--failed", is_flag=True, help="Why trials broke: their tracebacks.")
@click.option("--lines", "-n", type=click.IntRange(0), help="Last lines of each log; 0: all.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is added.")
@click.pass_obj
def logs(
    terminal: Terminal,
    /,
    config: Path | None,
    storage: str | None,
    name: str | None,
    version: int | None,
    trial: str | None,
    worker: str | None,
    failed: bool,
    lines: int | None,
    follow: bool,
) -> None:
    """Show the logs of an experiment's jobs; of one trial, of one worker, or what broke.

    Without a choice the last ten lines of each job's log, else whole logs. --follow goes on until
    the experiment is done, or Ctrl-C.
    """
    from orion_hpc.experiments.lookup import find_trial, the_one, wanted
    from orion_hpc.experiments.selection import asked
    from orion_hpc.jobs import logs as found
    from orion_hpc.journal.pickleddb import PickledDB
    from orion_hpc.model.trial import BROKEN

    if (trial is not None) + (worker is not None) + failed > 1:
        raise click.UsageError("Give one of --trial, --worker and --failed.")
    if failed and follow:
        raise click.UsageError("--failed tells of what has happened; it can't be followed.")
    settings = asked(config, storage, name, version)
    database = PickledDB(settings.storage, follows=wanted(settings.name, settings.version))
    number = the_one(
        database.refresh().experiments.values(), settings.storage, settings.name, settings.version
    ).number
    state = database.state.experiments[number]
    if failed:
        broken = state.having(BROKEN)
        for heading, reason in found.failures(broken):
            terminal.say(f"==> {heading}")
            terminal.say(reason)
        if not broken:
            terminal.note("No trial is broken.")
        return
    paths = found.job_logs
    if trial is not None:
        one = find_trial(state, trial)
        by = f", by {one.worker}" if one.worker else ""
        terminal.note(f"Trial {one.number}, attempt {one.attempt}: {one.status}{by}.")
        if one.message:
            terminal.note(one.message)
        paths = partial(found.trial_logs, database=settings.storage, number=one.number)
    elif worker is not None:
        found.check_worker(state, worker)
        paths = partial(found.worker_logs, worker=worker)
    everything = lines == 0 or (lines is None and (trial is not None or worker is not None))
    reader = found.Logs(None if everything else (lines or 10))
    shown = False
    while True:
        for piece in reader.look(paths(state)):
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
