"""``orion-hpc report``: write a page about an experiment into one file."""

from __future__ import annotations

import time

import click

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
    from orion_hpc.experiments.lookup import read_experiment
    from orion_hpc.experiments.output_file import check_output, write_output
    from orion_hpc.experiments.status import summary_of
    from orion_hpc.sharedfs.layout import safe_name
    from orion_hpc.text import byte_size
    from orion_hpc.visual import page
    from orion_hpc.visual.page_data import page_data

    settings = selection.settings()
    state = read_experiment(settings.storage, settings.name, settings.version)
    output = output or f"{safe_name(state.title)}.html"
    check_output(output, ("html", "htm"))
    summary = summary_of(state, settings.storage, asks_slurm=False)
    content = page.report(page_data(state, summary, settings.storage, time.time())).encode()
    write_output(output, lambda file: file.write(content))
    terminal.note(f"Wrote {output} ({byte_size(len(content))}).")
