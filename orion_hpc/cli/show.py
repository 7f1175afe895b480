"""``orion-hpc show``: show all that is known of one trial."""

from __future__ import annotations

from dataclasses import replace

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal


@click.command()
@select_experiment()
@click.argument("trial", required=False)
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def show(terminal: Terminal, /, selection: Selection, trial: str | None, as_json: bool) -> None:
    """Show one trial: its parameters, results, times, host and logs.

    TRIAL is a number, an id, or 'best'. With --storage, CONFIG can be left out.

    \b
    orion-hpc show config.yaml best
    """
    from orion_hpc.experiments.lookup import find_trial, read_experiment
    from orion_hpc.experiments.trial_table import plain, record
    from orion_hpc.experiments.trial_views import trial_rows
    from orion_hpc.jobs.logs import trial_logs
    from orion_hpc.worker.recovery import ExperimentFiles

    if trial is None and selection.config is not None and selection.storage is not None:
        trial, selection = str(selection.config), replace(selection, config=None)
        terminal.fill = selection.fill
    if trial is None:
        raise click.UsageError("Missing argument 'TRIAL': a number, an id, or 'best'.")
    settings = selection.settings()
    state = read_experiment(settings.storage, settings.name, settings.version)
    found = find_trial(state, trial)
    logs = trial_logs(state, settings.storage, found.number)
    folder = ExperimentFiles.beside(settings.storage, state).folder_of(found.number)
    if as_json:
        terminal.json(plain({**record(state, found), "working_dir": folder, "logs": logs}))
        return
    terminal.pairs(trial_rows(state, found, folder, logs))
