"""``orion-hpc db import``: take over experiments from Oríon."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from orion_hpc.cli.terminal import Terminal


@click.command("import")
@click.argument("old", type=click.Path(path_type=Path))
@click.option("--storage", help="Path of the database to import into.  [default: ./db.pkl]")
@click.option("--name", help="Only this experiment.")
@click.option("--version", type=click.IntRange(1), help="Only this version of it.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def import_(
    terminal: Terminal,
    /,
    old: Path,
    storage: str | None,
    name: str | None,
    version: int | None,
    as_json: bool,
) -> None:
    """Take over experiments from OLD, a database file of Oríon 0.2.

    Trials keep their ids, parameters, statuses, results and times. Oríon needn't be installed, and
    nothing in OLD is run. Afterwards 'orion-hpc submit' with the same name, space and algorithm
    goes on with an experiment.
    """
    from orion_hpc.importers.orion.import_report import import_lines
    from orion_hpc.importers.orion.importer import import_orion

    path, done = import_orion(old, storage, name, version)
    told = [one.as_json() for one in done]
    if as_json:
        terminal.json({"storage": path, "experiments": told})
        return
    for line in import_lines(told):
        terminal.say(line)
    terminal.say(f"Next: orion-hpc status --storage {shlex.quote(path)}")
