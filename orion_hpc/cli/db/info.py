"""``orion-hpc db info``: what a database is and holds."""

from __future__ import annotations

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def info(terminal: Terminal, /, file: str, as_json: bool) -> None:
    """Show what the database FILE is: format, lock, size, experiments, workers."""
    from orion_hpc.commands import examining
    from orion_hpc.report import databases

    found = examining.info(file, terminal.during)
    if as_json:
        terminal.json(found)
        return
    for name, value in databases.info_rows(found):
        terminal.say(f"{name:<14} {value}")
    if found["experiments"]:
        terminal.say()
        terminal.table(databases.INFO_COLUMNS, databases.experiment_rows(found))
