"""``orion-hpc template``: print the sbatch template."""

from __future__ import annotations

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.pass_obj
def template(terminal: Terminal) -> None:
    """Print the sbatch template that a site can copy and change.

    \b
    orion-hpc template > site.sbatch.j2
    orion-hpc submit --template site.sbatch.j2 --array 10 config.yaml
    """
    from orion_hpc.jobs.template import shipped_template

    terminal.say(shipped_template().rstrip("\n"))
