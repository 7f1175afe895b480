"""``orion-hpc db check``: whether a database is whole."""

from __future__ import annotations

import sys

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def check(terminal: Terminal, /, file: str, as_json: bool) -> None:
    """Look at every transaction of the database FILE.

    Exits with 0 if it is sound, 1 if it is damaged or has gaps, and 2 if it is no database. Workers
    may be at work meanwhile.
    """
    from orion_hpc.maintenance import database_check
    from orion_hpc.maintenance.database_report import check_lines

    found = database_check.check(file, terminal.during)
    if as_json:
        terminal.json(found)
    else:
        for line in check_lines(found, file):
            terminal.say(line)
    if not found["sound"]:
        sys.exit(1)
