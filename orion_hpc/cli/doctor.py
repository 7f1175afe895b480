"""``orion-hpc doctor``: check whether workers can run on this site."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from orion_hpc.cli.submit import flag_settings
from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.argument("sbatch_options", nargs=-1)
@click.option("--storage", help="Path of the database.  [default: the configuration's]")
@click.option("--nodes", type=click.IntRange(0, 64), default=2, help="Tasks to check from.  [2]")
@click.option("--wait", type=click.FloatRange(0), default=600.0,
              help="Seconds for the tasks to begin.  [600]")  # fmt: skip
@click.option("--executor", default="auto", metavar="auto|slurm|local",
              help="local: check this host only.")  # fmt: skip
@click.option("--cpus-per-task", "-c", metavar="N", help="CPUs of each task.")
@click.option("--time", "-t", metavar="TIME", help="Time limit.  [--wait and 5 minutes]")
@click.option("--mem", metavar="SIZE", help="Memory of each task's node, as in 2G.")
@click.option("--partition", "-p", metavar="NAME", help="Partition.")
@click.option("--account", "-A", metavar="NAME", help="Account to be charged.")
@click.option("--qos", metavar="NAME", help="Quality of service.")
@click.option("--constraint", "-C", metavar="LIST", help="Features of the nodes.")
@click.option("--template", metavar="FILE", help="Sbatch template to use.")
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.option("--on-node", hidden=True, metavar="FOLDER")
@click.pass_obj
def doctor(
    terminal: Terminal,
    /,
    config: Path | None,
    sbatch_options: tuple[str, ...],
    nodes: int,
    wait: float,
    executor: str,
    as_json: bool,
    on_node: str | None,
    **flags: Any,
) -> None:
    """Check this host, and by a small job array the storage as compute nodes see it.

    The array is submitted as by 'submit', with the options of CONFIG. Your database isn't changed;
    files beside it are removed again. Exit code 1 if a check failed. Other options of sbatch can
    follow a double dash:

    \b
    orion-hpc doctor config.yaml -- --exclusive
    """
    if on_node is not None:
        from orion_hpc.doctor.agent import run_agent

        run_agent(on_node)
        return
    if config is not None and str(config).startswith("--"):  # an option after a double dash
        sbatch_options, config = (str(config), *sbatch_options), None
    _examine(terminal, config, sbatch_options, nodes, wait, executor, as_json, flags)


def _examine(
    terminal: Terminal,
    config: Path | None,
    sbatch_options: tuple[str, ...],
    nodes: int,
    wait: float,
    executor: str,
    as_json: bool,
    flags: dict[str, Any],
) -> None:
    from orion_hpc.config.config_files import load_settings
    from orion_hpc.doctor.coordinator import Doctor, choose
    from orion_hpc.doctor.diagnosis import diagnosis_lines, diagnosis_record, is_bad, verdicts

    settings = load_settings(config, flag_settings(flags, sbatch_options), needs=())
    launcher, local = choose(executor, settings, nodes)
    examined = Doctor(settings, launcher, local, nodes or 2, wait)
    try:
        with examined:
            steps = examined.steps()

            def look() -> tuple[str, bool]:
                text = next(steps, None)
                return text or "done", text is None

            terminal.follow(look, 0.2)
    finally:
        for line in examined.left:
            terminal.note(line)
    all_ = verdicts(examined.found)
    if as_json:
        terminal.json(diagnosis_record(examined.found, all_))
    else:
        for line in diagnosis_lines(all_):
            terminal.say(line)
    if is_bad(all_):
        sys.exit(1)
