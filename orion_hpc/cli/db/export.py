"""``orion-hpc db export``: write all trials for other programs."""

from __future__ import annotations

import click

from orion_hpc.cli.selection import database_of
from orion_hpc.cli.terminal import Terminal
from orion_hpc.text import counted

FORMATS = ("csv", "json", "parquet")


@click.command()
@click.argument("file", metavar="FILE|CONFIG")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="Parquet needs the extra 'pandas'.  [default: by the name of the output, else csv]",
)
@click.option("--output", "-o", help="File to write.  [default: standard output]")
@click.option("--name", help="Only this experiment.")
@click.option("--version", type=click.IntRange(1), help="Only this version of it.")
@click.option("--force", is_flag=True, help="Replace the output file.")
@click.pass_obj
def export(
    terminal: Terminal,
    /,
    file: str,
    format_: str | None,
    output: str | None,
    name: str | None,
    version: int | None,
    force: bool,
) -> None:
    """Write the trials of the database FILE, one line or record for each.

    With CONFIG, those of its experiment.
    """
    from orion_hpc.maintenance import exports

    file, name, version = database_of(file, name, version)
    format_ = format_ or exports.format_of(output)
    content, trials = exports.export(file, format_, output, name, version, force)
    if output is None:
        terminal.data(content)
    else:
        terminal.note(f"Wrote {counted(trials, 'trial')} to {output}.")
