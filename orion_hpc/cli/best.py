"""``orion-hpc best``: show the best trials, or print their parameters for a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from orion_hpc.cli.selection import Selection, select_experiment
from orion_hpc.cli.terminal import Terminal

if TYPE_CHECKING:
    from orion_hpc.model.state import ExperimentState
    from orion_hpc.model.trial_record import TrialRecord


@click.command()
@select_experiment()
@click.option("-n", "count", type=click.IntRange(1), help="This many, the best first.")
@click.option("--json", "as_", flag_value="json", help="The parameters as JSON.")
@click.option("--yaml", "as_", flag_value="yaml", help="The parameters as YAML.")
@click.option("--command", "as_", flag_value="command", help="The command with them filled in.")
@click.pass_obj
def best(terminal: Terminal, /, selection: Selection, count: int | None, as_: str | None) -> None:
    """Show the best trial, or print its parameters.

    \b
    orion-hpc best config.yaml
    orion-hpc best config.yaml --json > best.json

    With -n, --json and --yaml print a list, and --command one line for each.
    """
    from orion_hpc.experiments.lookup import best_of, read_experiment
    from orion_hpc.experiments.trial_views import command_of
    from orion_hpc.worker.recovery import ExperimentFiles

    settings = selection.settings()
    state = read_experiment(settings.storage, settings.name, settings.version)
    best_of(state)
    trials = state.ranked(count or 1)
    if as_ == "command":
        folder_of = ExperimentFiles.beside(settings.storage, state).folder_of
        for one in trials:
            terminal.say(command_of(state, one, folder_of(one.number)))
    elif as_ is not None:
        params: Any = [one.params for one in trials]
        _print(terminal, params if count else params[0], as_)
    else:
        for one in trials:
            _show(terminal, state, one)


def _print(terminal: Terminal, params: Any, form: str) -> None:
    if form == "json":
        terminal.json(params)
        return
    from orion_hpc.config.document import as_yaml

    terminal.data(as_yaml(params).encode())


def _show(terminal: Terminal, state: ExperimentState, trial: TrialRecord) -> None:
    from orion_hpc.experiments.trial_views import short

    title = f"{state.name} v{state.version}"
    infeasible = "" if trial.feasible else ", infeasible"
    terminal.say(f"Trial {trial.number} of {title}{infeasible}")
    for one in trial.results or ():
        terminal.say(f"  {one['name']} = {short(one['value'])} ({one['type']})")
    for name, value in trial.params.items():
        terminal.say(f"  {name}: {value!r}")
