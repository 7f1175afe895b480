"""``orion-hpc list``: list the experiments of databases."""

from __future__ import annotations

import sys
from typing import Any

import click

from orion_hpc.cli.terminal import Terminal


@click.command("list")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def list_(terminal: Terminal, /, paths: tuple[str, ...], as_json: bool) -> None:
    """List the experiments of databases; folders are searched for databases.

    By default those below the current directory.
    """
    from orion_hpc.errors import OrionHpcError
    from orion_hpc.experiments.database_search import (
        LIST_COLUMNS,
        experiments_of,
        find_databases,
        list_rows,
    )

    databases: list[str] = []
    terminal.during(find_databases(paths or (".",), databases))
    found: dict[str, Any] = {}
    failed = False
    for path in databases:
        try:
            found[path] = experiments_of(path)
        except OrionHpcError as error:
            terminal.error(error)
            failed = True
    if as_json:
        terminal.json({"databases": found})
    for path, experiments in {} if as_json else found.items():
        terminal.say(path)
        if experiments:
            terminal.table(LIST_COLUMNS, list_rows(experiments))
        else:
            terminal.say("no experiment")
    if not databases:
        terminal.note(f"There is no database below {', '.join(paths or ('.',))}.")
    if failed:
        sys.exit(1)
