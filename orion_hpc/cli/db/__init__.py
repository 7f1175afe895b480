"""``orion-hpc db``: the commands on database files, one module each."""

from __future__ import annotations

import click

from orion_hpc.cli.db.check import check
from orion_hpc.cli.db.export import export
from orion_hpc.cli.db.import_ import import_
from orion_hpc.cli.db.info import info
from orion_hpc.cli.db.repair import repair
from orion_hpc.cli.db.rm import rm
from orion_hpc.cli.db.set import set_


@click.group()
def db() -> None:
    """Manage databases."""


for command in (check, repair, info, export, set_, rm, import_):
    db.add_command(command)
