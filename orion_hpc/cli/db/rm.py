"""``orion-hpc db rm``: remove an experiment."""

from __future__ import annotations

import click

from orion_hpc.cli.selection import database_of
from orion_hpc.cli.terminal import Terminal
from orion_hpc.text import counted


@click.command()
@click.argument("file", metavar="FILE|CONFIG")
@click.option("--name", help="Which experiment.")
@click.option("--version", type=click.IntRange(1), help="Which version of it.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def rm(terminal: Terminal, /, file: str, name: str | None, version: int | None, yes: bool) -> None:
    """Remove an experiment, of CONFIG or from the database FILE, with its folder in FILE.files.

    Its name can be used again afterwards. No worker may run on it.
    """
    from orion_hpc.maintenance import experiment_removal

    file, name, version = database_of(file, name, version)
    experiment = experiment_removal.find_experiment(file, name, version)
    trials = counted(len(experiment.trials), "trial")
    if not yes:
        terminal.confirm(f"Remove {experiment.title} with {trials} from {file}?", "--yes")
    done = experiment_removal.remove(file, experiment)
    terminal.say(f"Removed {done.title} with {trials}.")
    if done.folder is not None:
        terminal.say(f"Removed {done.folder}")
    for note in done.notes:
        terminal.say(note)
