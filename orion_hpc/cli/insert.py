"""``orion-hpc insert``: add points to try before all others."""

from __future__ import annotations

from pathlib import Path

import click

from orion_hpc.cli.selection import Selection
from orion_hpc.cli.terminal import Terminal
from orion_hpc.text import counted


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--from", "file", metavar="FILE", help="Points in a CSV or JSON file.")
@click.option("--storage", help="Path of the database.")
@click.option("--name", help="Name of the experiment.")
@click.option("--version", type=int, help="Version of it.")
@click.option("--max-trials", type=int, help="Trials to complete.")
@click.pass_obj
def insert(
    terminal: Terminal,
    /,
    config: Path,
    values: tuple[str, ...],
    file: str | None,
    storage: str | None,
    name: str | None,
    version: int | None,
    max_trials: int | None,
) -> None:
    """Add points to the experiment in CONFIG; workers try them before any other.

    The experiment needn't have been submitted yet; otherwise its limits stay as they are, except
    for --max-trials. Hyperparameters with a default may be left out.

    \b
    orion-hpc insert config.yaml lr=0.1 depth=3
    orion-hpc insert config.yaml --from points.csv
    """
    from orion_hpc.config.config_files import load_settings
    from orion_hpc.config.experiment_spec import ExperimentSpec
    from orion_hpc.experiments.insertion import insert as insert_points
    from orion_hpc.experiments.location import Place
    from orion_hpc.experiments.point_parser import point_in_words, points_in_file

    if bool(values) is bool(file):
        raise click.UsageError("Give either NAME=VALUE for each hyperparameter, or --from FILE.")
    selection = Selection(config, storage, name, version)
    terminal.fill = selection.fill
    flags = {"storage": storage, "name": name, "version": version, "max_trials": max_trials}
    settings = load_settings(config, flags)
    spec = ExperimentSpec.of(settings)
    points = points_in_file(spec.space, file) if file else [point_in_words(spec.space, values)]
    limit = spec.max_trials if settings.origin("max_trials") == "flags" else None
    done = insert_points(spec, Place(settings.storage), points, limit)
    title = f"{done.built.experiment.name} v{done.built.experiment.version}"
    for line in (*done.built.changes, *done.built.kept, *done.built.learned):
        terminal.note(f"{title}: {line}")
    numbers = ", ".join(map(str, done.numbers[:10])) + (", …" if len(done.numbers) > 10 else "")
    suffix = f": number {numbers}" if done.numbers else ""
    terminal.say(f"Inserted {counted(len(done.numbers), 'trial')} into {title}{suffix}.")
    if done.known:
        terminal.say(f"There before: {counted(len(done.known), 'trial')}.")
    verb = "submit" if done.built.experiment.stopped is None else "resume"
    # The file may have a lower limit, which would leave no room for them.
    more = () if max_trials is None else ("--max-trials", str(max_trials))
    terminal.say(f"Next: {selection.command(verb, *more)}")
