"""``orion-hpc status``: show the status of experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal

if TYPE_CHECKING:
    from orion_hpc.config.settings import Settings


@click.command()
@select_experiment(name="Only this experiment.", version="Only this version of it.")
@click.option("--watch", is_flag=True, help="Show one experiment live, until it ends or Ctrl-C.")
@click.option("--resources", is_flag=True, help="Show requested and used resources.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def status(
    terminal: Terminal,
    /,
    selection: Selection,
    watch: bool,
    resources: bool,
    as_json: bool,
) -> None:
    """Show experiments with their trials, best objective, workers and jobs.

    With CONFIG its experiment; with --storage alone all experiments in the database.
    """
    from orion_hpc.experiments.resources import resource_lines
    from orion_hpc.experiments.status import summaries, used
    from orion_hpc.experiments.summary import STATUS_COLUMNS, status_notes, status_rows

    settings = selection.settings()
    if watch:
        if as_json or resources:
            raise click.UsageError("--watch is a view for people: leave out the other flags.")
        _watch(terminal, settings)
        return
    if resources:
        asked = used(settings)
        if as_json:
            terminal.json({"resources": asked})
        for title, one in {} if as_json else asked.items():
            for line in resource_lines(title, one):
                terminal.say(line)
        return
    found = summaries(settings)
    if as_json:
        terminal.json({"experiments": found})
        return
    terminal.table(STATUS_COLUMNS, status_rows(found))
    highest = {one["name"]: one["version"] for one in sorted(found, key=lambda one: one["version"])}
    for one in found:
        name = one["name"] if settings.name is None else None
        version = one["version"] if one["version"] != highest[one["name"]] else None
        terminal.fill = selection.of(name, version).fill
        for line in status_notes([one]):
            terminal.say(line)


def _watch(terminal: Terminal, settings: Settings) -> None:
    from orion_hpc.experiments.live_status import LiveStatus

    live = LiveStatus(settings)
    try:
        terminal.watch(live.lines)
    finally:
        live.close()
