"""``orion-hpc db check``: check whether a database is damaged."""

from __future__ import annotations

import sys

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def check(terminal: Terminal, /, file: str, as_json: bool) -> None:
    """Check every transaction of the database FILE.

    Exit code 0: sound; 1: damaged or with gaps; 2: not a database. Workers may run meanwhile.
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
