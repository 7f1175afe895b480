"""``orion-hpc report``: write a page about an experiment into one file."""

from __future__ import annotations

import os
import time

import click

from orion_hpc.cli.output_file import check_output
from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal


@click.command()
@select_experiment()
@click.option("--output", "-o", help="File to write.  [default: NAME-vVERSION.html]")
@click.pass_obj
def report(terminal: Terminal, /, selection: Selection, output: str | None) -> None:
    """Write a page about an experiment: best trials, charts, all trials, settings, resources.

    It is one file of HTML that needs no network: copy it with scp, and open it.

    \b
    orion-hpc report config.yaml -o report.html
    """
    from orion_hpc.errors import StorageError
    from orion_hpc.experiments.lookup import read_experiment
    from orion_hpc.experiments.summary import experiment_summary
    from orion_hpc.journal.heartbeat import signs
    from orion_hpc.sharedfs import layout
    from orion_hpc.sharedfs.atomic import new_file
    from orion_hpc.sharedfs.layout import workers_folder
    from orion_hpc.text import byte_size
    from orion_hpc.visual import page
    from orion_hpc.visual.page_data import page_data

    settings = selection.settings()
    state = read_experiment(settings.storage, settings.name, settings.version)
    output = output or f"{layout.safe_name(state.title)}.html"
    check_output(output, ("html", "htm"))
    alive = signs(workers_folder(settings.storage, state.title))
    data = page_data(state, experiment_summary(state, alive), settings.storage, time.time())
    content = page.report(data).encode()
    try:
        with new_file(os.path.realpath(output), replace=True) as file:
            file.write(content)
    except OSError as error:
        raise StorageError(
            f"can't write {output}: {error.strerror or error}", "Name another file with --output."
        ) from error
    terminal.note(f"Wrote {output} ({byte_size(len(content))}).")
