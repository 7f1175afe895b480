"""``orion-hpc db info``: show the properties and the content of a database."""

from __future__ import annotations

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def info(terminal: Terminal, /, file: str, as_json: bool) -> None:
    """Show format, lock, size, experiments and workers of the database FILE."""
    from orion_hpc.maintenance import database_check, database_report

    found = database_check.info(file, terminal.during)
    if as_json:
        terminal.json(found)
        return
    for name, value in database_report.info_rows(found):
        terminal.say(f"{name:<14} {value}")
    if found["experiments"]:
        terminal.say()
        terminal.table(database_report.INFO_COLUMNS, database_report.experiment_rows(found))
