"""``orion-hpc db export``: write all trials for other programs."""

from __future__ import annotations

import click

from orion_hpc.cli.terminal import Terminal
from orion_hpc.text import counted


@click.command()
@click.argument("file")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "json", "parquet"]),
    required=True,
    help="Parquet needs the extra 'pandas'.",
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
    format_: str,
    output: str | None,
    name: str | None,
    version: int | None,
    force: bool,
) -> None:
    """Write the trials of the database FILE, one line or record for each."""
    from orion_hpc.maintenance import exports

    content, trials = exports.export(file, format_, output, name, version, force)
    if output is None:
        terminal.data(content)
    else:
        terminal.note(f"Wrote {counted(trials, 'trial')} to {output}.")
