"""``orion-hpc worker``: what runs in a job."""

from __future__ import annotations

import json

import click

from orion_hpc.cli.terminal import Terminal


def _trial_time(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | str | None:
    if value in (None, "auto", "off"):
        return value
    seconds: float = click.FloatRange(0, min_open=True)(value, parameter, context)
    return seconds


@click.command()
@click.option("--storage", required=True, help="Path of the database.")
@click.option("--name", required=True, help="Name of the experiment.")
@click.option("--version", type=click.IntRange(1), help="Version of it.  [default: the highest]")
@click.option("--n-workers", type=click.IntRange(1), help="Trials at once.")
@click.option("--executor", help="Inner pool: single or joblib.")
@click.option("--heartbeat", type=click.FloatRange(0, min_open=True), help="Seconds between signs.")
@click.option("--idle-timeout", type=click.FloatRange(0), help="Seconds without a trial to leave.")
@click.option(
    "--on-suspend",
    type=click.Choice(["auto", "keep", "release"]),
    help="Whether its trials are handed on while its job is suspended.",
)
@click.option("--grace", type=click.FloatRange(0), help="Seconds for trials after a stop notice.")
@click.option("--kill-wait", type=click.FloatRange(0), help="Seconds from SIGTERM to the kill.")
@click.option("--max-requeues", type=click.IntRange(0), help="Requeues at the time limit.")
@click.option("--trial-time", callback=_trial_time, help="Seconds of a trial, auto or off.")
@click.option("--cpus", type=click.IntRange(1), help="CPUs to use.  [default: those of the job]")
@click.option("--path", help="Directory of the function's module.  [default: as submitted]")
@click.option("--import-from", multiple=True, help="A directory to search for modules besides.")
@click.option("--reopens", is_flag=True, hidden=True)
@click.option("--function", hidden=True, metavar="FILE")
@click.option("--trial-arg", hidden=True, metavar="NAME")
@click.option("--options", hidden=True, metavar="JSON")
@click.option("--wait", default=0.0, help="Seconds to wait for the experiment to appear.")
@click.pass_obj
def worker(
    terminal: Terminal,
    /,
    storage: str,
    name: str,
    version: int | None,
    path: str | None,
    import_from: tuple[str, ...],
    cpus: int | None,
    wait: float,
    reopens: bool,
    function: str | None,
    trial_arg: str | None,
    options: str | None,
    **chosen: str | float | None,
) -> None:
    """Reserve and run trials of an experiment until none is left.

    What isn't given is as the experiment was submitted with. Runs in every job of an array; by hand
    it adds one more worker.
    """
    from orion_hpc.worker.job import run_recorded

    program = {"function": function, "trial_arg": trial_arg}
    if options is not None:
        program["options"] = json.loads(options)
    job = {"path": path, "imports": import_from, "cpus": cpus, "reopens": reopens, **program}
    run_recorded(storage, name, version, wait, chosen, job)
