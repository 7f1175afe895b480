"""``orion-hpc cancel``: stop an experiment and its jobs."""

from __future__ import annotations

import sys
import time

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal

_BEYOND = 60.0
"""Seconds to wait for notified workers beyond their grace, for Slurm's scheduler and the kill."""


@click.command()
@select_experiment()
@click.option("--no-wait", is_flag=True, help="Don't wait for the running trials to be released.")
@click.pass_obj
def cancel(
    terminal: Terminal,
    /,
    selection: Selection,
    no_wait: bool,
) -> None:
    """Stop an experiment: no trial starts any more, and its jobs end.

    Pending jobs are cancelled; running ones get a stop notice first, so that their trials can save
    their state. No recorded result is lost: 'orion-hpc resume' continues the experiment.
    """
    from orion_hpc.jobs import cancellation
    from orion_hpc.model.trial_record import COMPLETED, INTERRUPTED, RESERVED
    from orion_hpc.text import counted, counted_are

    settings = selection.settings()
    done = cancellation.cancel(settings)
    title = f"{done.experiment.name} v{done.experiment.version}"
    if done.jobs and not done.trouble:
        tasks = "" if done.tasks is None else f", {counted(done.tasks, 'task')}"
        terminal.note(f"Cancelled Slurm job {', '.join(done.jobs)}{tasks}.")
    if done.trouble:
        terminal.note(f"Slurm job {', '.join(done.jobs)} wasn't cancelled: {done.trouble}")
    for sign in done.at_work():
        if sign.worker not in done.notified:
            terminal.note(
                f"Worker {sign.worker} got no notice from here; it leaves when its trial has ended."
            )
    deadline = time.monotonic() + settings.worker.grace + _BEYOND

    def look() -> tuple[str, bool]:
        left = [sign for sign in done.at_work() if sign.worker in done.notified]
        text = f"{counted_are(len(left), 'worker')} still at work"
        return text, not left or time.monotonic() > deadline

    if done.notified and not no_wait:
        terminal.note("The running trials are interrupted. Ctrl-C leaves them to it.")
        terminal.follow(look)
    state = done.settle()
    counts = {status: state.count(status) for status in (COMPLETED, INTERRUPTED, RESERVED)}
    trials = ", ".join(f"{count} {status}" for status, count in counts.items())
    what = "is done; nothing of it runs" if state.is_done else "was cancelled"
    terminal.say(f"Experiment {title} {what}: {trials}.")
    if not state.is_done:
        terminal.say(f"Next: {selection.command('resume')}")
    if done.trouble:
        sys.exit(1)
