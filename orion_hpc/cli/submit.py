"""``orion-hpc submit``: create an experiment in the database and start its workers."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from orion_hpc.cli.selection import Selection
from orion_hpc.cli.terminal import Terminal

_SLURM = ("array", "cpus_per_task", "time", "mem", "mem_per_cpu", "partition", "account", "qos",
          "gres", "gpus_per_node", "constraint", "job_name", "output")  # fmt: skip


def submission_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a submission to a command, with sbatch's usual ones."""
    for option in reversed(
        [
            click.argument("config", type=click.Path(path_type=Path)),
            click.argument("sbatch_options", nargs=-1),
            click.option(
                "--executor",
                default="auto",
                metavar="auto|slurm|local|debug",
                help="Launcher of the workers; auto is Slurm where sbatch is on the PATH, else "
                "local.",
            ),
            click.option("--array", metavar="N[%K]", help="Tasks, at most K of them at once."),
            click.option("--cpus-per-task", "-c", metavar="N", help="CPUs of each task."),
            click.option("--time", "-t", metavar="TIME", help="Time limit, in sbatch's forms."),
            click.option("--mem", metavar="SIZE", help="Memory of each task's node, as in 2G."),
            click.option("--mem-per-cpu", metavar="SIZE", help="Memory of each CPU."),
            click.option("--partition", "-p", metavar="NAME", help="Partition."),
            click.option("--account", "-A", metavar="NAME", help="Account to be charged."),
            click.option("--qos", metavar="NAME", help="Quality of service."),
            click.option("--gres", metavar="LIST", help="Generic resources, as in gpu:1."),
            click.option("--gpus-per-node", metavar="N", help="GPUs of each task."),
            click.option("--constraint", "-C", metavar="LIST", help="Features of the nodes."),
            click.option("--job-name", "-J", metavar="NAME", help="The jobs' name."),
            click.option("--output", "-o", metavar="PATTERN", help="The jobs' logs."),
            click.option("--name", help="Name of the experiment."),
            click.option("--version", type=int, help="Version of it."),
            click.option("--storage", help="Path of the database."),
            click.option("--max-trials", type=int, help="Trials to complete."),
            click.option("--max-broken", type=int, help="Broken trials that end the experiment."),
            click.option("--n-workers", type=int, help="Trials at once in each task."),
            click.option("--template", metavar="FILE", help="Sbatch template to use."),
            click.option(
                "--watch", is_flag=True, help="Stay and show progress; Ctrl-C keeps the jobs."
            ),
            click.option("--keep", is_flag=True, help="The same, and replace lost tasks."),
            click.option("--dry-run", is_flag=True, help="Show what would be submitted, and stop."),
        ]
    ):
        function = option(function)
    return function


@click.command(context_settings={"show_default": False})
@submission_options
@click.pass_obj
def submit(terminal: Terminal, /, **options: Any) -> None:
    """Start the experiment in CONFIG, or continue it.

    With Slurm: submit one job array and return. Without: run the workers on this machine and show
    their progress; Ctrl-C stops them, and the same command continues from there. Any other option
    of sbatch can follow a double dash:

    \b
    orion-hpc submit --array 10 config.yaml -- --exclusive --mail-type=END
    """
    run(terminal, resume=False, **options)


def run(
    terminal: Terminal,
    resume: bool,
    config: Path,
    sbatch_options: tuple[str, ...],
    executor: str,
    dry_run: bool,
    watch: bool,
    keep: bool,
    **flags: Any,
) -> None:
    """Submit and report the result; ``resume``: only an existing experiment."""
    from orion_hpc.config.config_files import load_settings
    from orion_hpc.jobs import submission

    words = tuple(sys.argv[2:])
    selection = Selection(config, flags["storage"], flags["name"], flags["version"], words)
    terminal.fill = selection.fill
    settings = load_settings(config, flag_settings(flags, sbatch_options))
    launcher = submission.choose_launcher(executor, settings)
    if dry_run:
        terminal.say(submission.preview(settings, launcher, resume).rstrip("\n"))
        return
    if executor == "auto" and launcher.name == "local":
        terminal.note("There is no sbatch on the PATH: the workers run on this machine.")
    if keep and not launcher.detached:
        raise click.UsageError("--keep is for Slurm; workers of this machine are watched anyway.")
    from orion_hpc.cli.watch import Commands, announce, stay, tell_submission

    done = submission.submit(settings, launcher, partial(announce, terminal, settings), resume)
    commands = Commands(
        again=shlex.join(["orion-hpc", *sys.argv[1:]]),
        status=selection.command("status"),
    )
    tell_submission(terminal, commands, settings, done)
    if (watch or keep) and launcher.detached and (done.jobs or done.waiting):
        stay(terminal, commands, settings, done, launcher if keep else None)


def flag_settings(flags: Mapping[str, Any], rest: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings in the flags and in the words after ``--``, nested like the YAML."""
    given = {key: value for key, value in flags.items() if value is not None}
    slurm: dict[str, Any] = {key: given.pop(key) for key in _SLURM if key in given}
    if additional := further_options(rest):
        slurm["additional"] = additional
    if slurm:
        given["slurm"] = slurm
    if "n_workers" in given:
        given["worker"] = {"n_workers": given.pop("n_workers")}
    return given


def further_options(words: tuple[str, ...]) -> dict[str, str | bool]:
    """Return the long options of sbatch in a command line: ``--key=value``, ``--key``, …"""
    options: dict[str, str | bool] = {}
    last = ""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            last, equals, value = word[2:].partition("=")
            options[last] = value if equals else True
        elif last and options[last] is True:
            options[last] = word
        else:
            raise click.UsageError(
                f"{word!r} after '--' isn't a long option of sbatch; write it as in --nice=100."
            )
    return options
