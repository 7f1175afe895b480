"""``orion-hpc clean``: remove files of an experiment that aren't needed any more."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal
from orion_hpc.text import byte_size


@click.command()
@select_experiment()
@click.option("--logs", is_flag=True, help="Also remove the logs of jobs that ended.")
@click.option("--trials", is_flag=True, help="Also remove the directories of trials that ended.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and stop.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def clean(
    terminal: Terminal,
    /,
    selection: Selection,
    logs: bool,
    trials: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove files of jobs and workers that are gone.

    No result is removed, and no file of a trial that can continue. Logs and files of trials stay,
    unless --logs and --trials are given. It can be used while the experiment runs.
    """
    from orion_hpc.maintenance import cleanup

    litter = cleanup.find_litter(selection.settings(), logs, trials)
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
        terminal.table(("what", "number", "size"), _rows((one.kind, one.size) for one in gone))
        terminal.say("Nothing was removed (--dry-run)." if dry_run else "Removed.")
    else:
        terminal.say(f"There is nothing to be removed of {litter.experiment.title}.")
    for line in (*litter.notes, *failed):
        terminal.note(line)
    if failed:
        sys.exit(1)


def _rows(found: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each kind of what was found: kinds and bytes, in any order."""
    sums: dict[str, tuple[int, int]] = {}
    for kind, size in found:
        number, total = sums.get(kind, (0, 0))
        sums[kind] = number + 1, total + size
    for kind, (number, total) in sorted(sums.items()):
        yield kind, f"{number:,}", byte_size(total)
