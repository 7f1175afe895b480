"""``orion-hpc db repair``: save what is whole of a damaged database."""

from __future__ import annotations

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("file")
@click.option("--force", is_flag=True, help="Also while workers seem to be alive.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def repair(terminal: Terminal, /, file: str, force: bool, as_json: bool) -> None:
    """Write the database FILE anew with every transaction that is whole.

    The damaged file is kept beside it as FILE.damaged-1. No worker may be at work. Where nothing is
    missing that the writers haven't kept, that is put back, and the file stays; a sound database is
    left alone.
    """
    from orion_hpc.maintenance import database_repair
    from orion_hpc.maintenance.database_report import repair_lines

    done = database_repair.repair(file, terminal.during, force)
    if as_json:
        terminal.json(done)
        return
    for line in repair_lines(done, file):
        terminal.say(line)
