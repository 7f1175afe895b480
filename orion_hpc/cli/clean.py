"""``orion-hpc clean``: remove what an experiment has left and nobody needs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--storage", help="Path of the database.  [default: the configuration's]")
@click.option("--name", help="Name of the experiment.")
@click.option("--version", type=click.IntRange(1), help="Version of it.  [default: the highest]")
@click.option("--logs", is_flag=True, help="The logs of jobs that are over, too.")
@click.option("--trials", is_flag=True, help="The directories of trials that are over, too.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and stop.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def clean(
    terminal: Terminal,
    /,
    config: Path | None,
    storage: str | None,
    name: str | None,
    version: int | None,
    logs: bool,
    trials: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove what an experiment doesn't need any more: files of jobs and workers that are gone.

    Never a result, and of trials that can go on nothing. Logs stay, and so does what trials have
    written, unless you ask with --logs and --trials. It may run while the experiment does.
    """
    from orion_hpc.experiments.selection import asked
    from orion_hpc.maintenance import cleanup
    from orion_hpc.maintenance.litter_table import LITTER_COLUMNS, litter_rows

    litter = cleanup.find_litter(asked(config, storage, name, version), logs, trials)
    gone, failed = [], []
    for found in litter.found:
        try:
            if dry_run or cleanup.remove(found):
                gone.append(found)
        except OSError as error:
            failed.append(f"can't remove {found.path}: {error.strerror}")
    if as_json:
        listed = [{"kind": one.kind, "path": one.path, "size": one.size} for one in gone]
        terminal.json({"removed": not dry_run, "litter": listed, "failed": failed})
    elif gone:
        terminal.table(LITTER_COLUMNS, litter_rows((one.kind, one.size) for one in gone))
        terminal.say("Nothing was removed (--dry-run)." if dry_run else "Removed.")
    else:
        terminal.say(f"There is nothing to be removed of {litter.experiment.title}.")
    for line in (*litter.notes, *failed):
        terminal.note(line)
    if failed:
        sys.exit(1)
