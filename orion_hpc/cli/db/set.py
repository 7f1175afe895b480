"""``orion-hpc db set``: set the status of trials by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from orion_hpc.cli.selection import database_of
from orion_hpc.cli.terminal import Terminal
from orion_hpc.text import counted

if TYPE_CHECKING:
    from orion_hpc.maintenance.status_change import StatusChange


@click.command("set")
@click.argument("file", metavar="FILE|CONFIG")
@click.option("--name", help="Which experiment.")
@click.option("--version", type=click.IntRange(1), help="Which version.  [default: the highest]")
@click.option("--trial", "trials", multiple=True, metavar="NUMBER|ID", help="Which trial.")
@click.option("--status", metavar="STATUS", help="All trials of this status.")
@click.option("--to", required=True, metavar="STATUS", help="new, interrupted, suspended, broken.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def set_(
    terminal: Terminal,
    /,
    file: str,
    name: str | None,
    version: int | None,
    trials: tuple[str, ...],
    status: str | None,
    to: str,
    as_json: bool,
) -> None:
    """Set the status of trials in the database FILE: to run them again, or never.

    With CONFIG, those of its experiment.

    \b
    orion-hpc db set db.pkl --status broken --to new
    orion-hpc db set db.pkl --trial 7 --trial 9 --to broken
    """
    from orion_hpc.maintenance.status_change import set_status

    file, name, version = database_of(file, name, version)
    done = set_status(file, to, name, version, trials, status)
    if as_json:
        terminal.json({"experiment": done.experiment.title, "to": to, "trials": done.numbers,
                       "unchanged": done.unchanged, "missed": done.missed})  # fmt: skip
    else:
        for line in _lines(done, to):
            terminal.say(line)
    if done.missed:
        sys.exit(1)


def _lines(done: StatusChange, to: str) -> Iterator[str]:
    """Yield which trials were set, and what follows from it."""
    from orion_hpc.model.trial_record import BROKEN

    experiment = done.experiment
    title = experiment.title
    already = f"; {done.unchanged:,} had this status already" if done.unchanged else ""
    yield f"Set {counted(len(done.numbers), 'trial')} of {title} to {to}{already}."
    if done.missed:
        numbers = ", ".join(map(str, done.missed[:8]))
        yield f"Changed by another process at the same moment, and left as they are: {numbers}"
    if not done.numbers:
        return
    if experiment.is_broken:
        yield (
            f"{title} is closed by {experiment.count(BROKEN)} broken trials (max_broken is "
            f"{experiment.max_broken})."
        )
    elif to != BROKEN and experiment.stopped is None:
        yield "'orion-hpc submit CONFIG' runs what is to be run."
