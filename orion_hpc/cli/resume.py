"""``orion-hpc resume``: continue an experiment that was cancelled, or that lost its jobs."""

from __future__ import annotations

from typing import Any

import click

from orion_hpc.cli.submit import run, submission_options
from orion_hpc.cli.terminal import Terminal


@click.command(context_settings={"show_default": False})
@submission_options
@click.pass_obj
def resume(terminal: Terminal, /, **options: Any) -> None:
    """Continue the experiment in CONFIG.

    Submits as many tasks as are needed for the remaining trials, at most --array including those
    that still wait or run. Completed trials stay completed. --max-trials raises the budget:

    \b
    orion-hpc resume --array 10 --max-trials 200 config.yaml
    """
    run(terminal, resume=True, **options)
