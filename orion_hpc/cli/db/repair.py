"""``orion-hpc db repair``: repair a damaged database."""

from __future__ import annotations

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("file")
@click.option("--force", is_flag=True, help="Repair even if workers seem to be alive.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def repair(terminal: Terminal, /, file: str, force: bool, as_json: bool) -> None:
    """Rewrite the database FILE with all undamaged transactions.

    The damaged file is kept as FILE.damaged-1. No worker may run. If the writers have copies of all
    that is missing, they are restored in the same file; a sound database isn't changed.
    """
    from orion_hpc.maintenance import database_repair
    from orion_hpc.maintenance.database_report import repair_lines

    done = database_repair.repair(file, terminal.during, force)
    if as_json:
        terminal.json(done)
        return
    for line in repair_lines(done, file):
        terminal.say(line)
