"""``orion-hpc db set``: set the status of trials by hand."""

from __future__ import annotations

import sys

import click

from orion_hpc.cli.terminal import Terminal


@click.command("set")
@click.argument("file")
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
    """Set the status of trials in the database FILE, so that they are run again or never.

    \b
    orion-hpc db set db.pkl --status broken --to new
    orion-hpc db set db.pkl --trial 7 --trial 9 --to broken
    """
    from orion_hpc.maintenance.status_change import set_status
    from orion_hpc.maintenance.status_report import set_lines

    done = set_status(file, to, name, version, trials, status)
    if as_json:
        terminal.json({"experiment": done.experiment.title, "to": to, "trials": done.numbers,
                       "unchanged": done.unchanged, "missed": done.missed})  # fmt: skip
    else:
        for line in set_lines(done.experiment, to, done.numbers, done.unchanged, done.missed):
            terminal.say(line)
    if done.missed:
        sys.exit(1)
