"""``orion-hpc info``: describe one experiment completely."""

from __future__ import annotations

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal


@click.command()
@select_experiment()
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def info(terminal: Terminal, /, selection: Selection, as_json: bool) -> None:
    """Describe an experiment: settings, space, algorithm, best trial, times, submissions.

    \b
    orion-hpc info config.yaml
    """
    from orion_hpc.experiments.experiment_info import experiment_info, info_json, info_rows
    from orion_hpc.experiments.lookup import read_experiment
    from orion_hpc.experiments.status import summary_of

    settings = selection.settings()
    state = read_experiment(settings.storage, settings.name, settings.version)
    summary = summary_of(state, settings.storage, asks_slurm=False)
    found = experiment_info(state, summary, settings.storage)
    if as_json:
        terminal.json(info_json(found))
        return
    terminal.pairs(info_rows(state, found))
