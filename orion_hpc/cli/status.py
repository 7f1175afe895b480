"""``orion-hpc status``: how experiments stand."""

from __future__ import annotations

from pathlib import Path

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--storage", help="Path of the database.  [default: the configuration's]")
@click.option("--name", help="Only this experiment.")
@click.option("--version", type=click.IntRange(1), help="Only this version of it.")
@click.option("--resources", is_flag=True, help="What was asked for, and what was used.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def status(
    terminal: Terminal,
    /,
    config: Path | None,
    storage: str | None,
    name: str | None,
    version: int | None,
    resources: bool,
    as_json: bool,
) -> None:
    """Show experiments with their trials, best objective, workers and jobs.

    With CONFIG the experiment it describes; with --storage alone all that the database holds.
    """
    from orion_hpc.experiments.resources import resource_lines
    from orion_hpc.experiments.status import summaries, used
    from orion_hpc.experiments.summary import STATUS_COLUMNS, status_notes, status_rows

    if resources:
        asked = used(config, storage, name, version)
        if as_json:
            terminal.json({"resources": asked})
        for title, one in {} if as_json else asked.items():
            for line in resource_lines(title, one):
                terminal.say(line)
        return
    found = summaries(config, storage, name, version)
    if as_json:
        terminal.json({"experiments": found})
        return
    terminal.table(STATUS_COLUMNS, status_rows(found))
    for line in status_notes(found):
        terminal.say(line)
