"""``orion-hpc compare``: compare experiments at equal cost."""

from __future__ import annotations

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="CONFIG|DATABASE...")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def compare(terminal: Terminal, /, paths: tuple[str, ...], as_json: bool) -> None:
    """Compare experiments: their best objectives in all, and at equal cost.

    Equal cost are as many completed trials, seconds since the first trial, and core-hours of
    trials as the smallest experiment has. Of a database all experiments are compared.

    \b
    orion-hpc compare random.yaml tpe.yaml
    orion-hpc compare db.pkl
    """
    from orion_hpc.experiments.database_search import experiments_at
    from orion_hpc.experiments.side_by_side import compare as compared
    from orion_hpc.experiments.side_by_side import comparison_table

    found = compared([state for path in paths for state in experiments_at(path)])
    if as_json:
        terminal.json(found)
        return
    shown = comparison_table(found)
    terminal.table(list(shown), zip(*shown.values(), strict=True))
