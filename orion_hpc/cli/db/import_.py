"""``orion-hpc db import``: import experiments from Oríon."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from orion_hpc.cli.terminal import Terminal
from orion_hpc.text import counted


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
    """Import experiments from OLD, a database file of Oríon 0.2.

    Trials keep their ids, parameters, statuses, results and times. Oríon needn't be installed, and
    no code in OLD is run. Then 'orion-hpc submit' with the same name, space and algorithm continues
    an experiment.
    """
    from orion_hpc.importers.orion.importer import import_orion

    path, done = import_orion(old, storage, name, version)
    records = [one.as_json() for one in done]
    if as_json:
        terminal.json({"storage": path, "experiments": records})
        return
    for line in _lines(records):
        terminal.say(line)
    terminal.say(f"Next: orion-hpc status --storage {shlex.quote(path)}")


def _lines(experiments: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each experiment and, below it, one for each thing that was changed.

    Parameters
    ----------
    experiments : iterable of mapping
        ``name``, ``version``, ``new``, ``trials`` (status -> count), ``notes``.
    """
    for one in experiments:
        title = f"{one['name']} v{one['version']}"
        if not one["new"]:
            yield f"{title} was imported before."
            continue
        counts = [f"{count} {status}" for status, count in one["trials"].items() if count]
        by_status = f" ({', '.join(counts)})" if counts else ""
        yield f"Imported {title}: {counted(sum(one['trials'].values()), 'trial')}{by_status}."
        for note in one["notes"]:
            yield f"  {note}"
