"""``orion-hpc trials``: show the trials of an experiment as a table."""

from __future__ import annotations

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal


@click.command()
@select_experiment()
@click.option("--status", help="Only of these statuses, as in broken,interrupted.")
@click.option("--sort", metavar="COLUMN", help="In the order of this column.  [default: number]")
@click.option("--reverse", is_flag=True, help="The greatest value, or the worst trial, first.")
@click.option("--columns", help="These columns, as in number,lr,objective.")
@click.option("--limit", type=click.IntRange(0), help="At most this many.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read: complete records.")
@click.pass_obj
def trials(
    terminal: Terminal,
    /,
    selection: Selection,
    status: str | None,
    sort: str | None,
    reverse: bool,
    columns: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show the trials of an experiment with their parameters and objectives.

    \b
    orion-hpc trials config.yaml --sort objective --limit 10
    orion-hpc trials config.yaml --status broken --columns number,cause,message

    Columns are number, id, status, attempt, objective, duration, worker, cause, message, parent,
    submit_time, start_time, end_time, and the names of parameters and results.
    """
    from orion_hpc.experiments.lookup import read_experiment
    from orion_hpc.experiments.trial_table import as_json as as_text
    from orion_hpc.experiments.trial_table import record
    from orion_hpc.experiments.trial_views import select_trials, trial_columns

    settings = selection.settings()
    state = read_experiment(settings.storage, settings.name, settings.version)
    found = select_trials(state, _words(status), sort, reverse, limit)
    if as_json:
        terminal.data(as_text([record(state, one) for one in found]).encode())
        return
    shown = trial_columns(state, found, _words(columns))
    if not found:
        terminal.note(f"There are no {'such ' if status else ''}trials yet.")
        return
    terminal.table(list(shown), zip(*shown.values(), strict=True))


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]
