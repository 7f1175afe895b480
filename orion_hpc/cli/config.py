"""``orion-hpc config``: all settings, and where each comes from."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def config(terminal: Terminal, /, config: Path | None, as_json: bool) -> None:
    """Show each setting and where it comes from.

    Without CONFIG, what holds here for every experiment: the site's file, yours, and variables
    such as ORION_HPC_WORKER__GRACE.
    """
    from orion_hpc.config.config_files import is_there, standing_files
    from orion_hpc.config.resolve import explain
    from orion_hpc.config.settings_table import SETTINGS_COLUMNS, settings_record, settings_rows
    from orion_hpc.experiments.selection import asked

    found = list(explain(asked(config, None, None, None)))
    files = {str(path): is_there(path) for path in standing_files(os.environ)}
    if as_json:
        terminal.json({"settings": settings_record(found), "files": files})
        return
    terminal.table(SETTINGS_COLUMNS, settings_rows(found))
    for path, found_there in files.items():
        if not found_there:
            terminal.note(f"There is no {path}.")
