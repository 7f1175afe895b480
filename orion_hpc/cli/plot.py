"""``orion-hpc plot``: draw an experiment, or several, into a file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from orion_hpc.cli.terminal import Terminal

if TYPE_CHECKING:
    from orion_hpc.visual.chart import Chart

FORMATS = ("png", "svg", "pdf", "html", "json")


@click.command()
@click.argument("kind")
@click.argument("paths", nargs=-1, required=True, metavar="CONFIG|DATABASE...")
@click.option("--output", "-o", help="File to write: .png, .svg, .pdf, .html or .json.  "
              "[default: KIND.png]")  # fmt: skip
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE",
              help="Of the plot, as order_by=completed.")  # fmt: skip
@click.pass_obj
def plot(
    terminal: Terminal,
    /,
    kind: str,
    paths: tuple[str, ...],
    output: str | None,
    options: tuple[str, ...],
) -> None:
    """Draw trials into a file; KIND is one of the following.

    \b
    one experiment   regret, parallel_coordinates, lpi, partial_dependencies, importance,
                     slice, contour, pareto_front, timeline, fidelity
    several          regrets, rankings, durations, parallel_assessment

    \b
    orion-hpc plot regret config.yaml
    orion-hpc plot regrets random.yaml tpe.yaml -o regrets.svg
    """
    from orion_hpc.experiments.database_search import experiments_at
    from orion_hpc.experiments.output_file import check_output
    from orion_hpc.visual.kinds import make_chart

    output = output or f"{kind}.png"
    format_ = os.path.splitext(output)[1].removeprefix(".").lower()
    check_output(output, FORMATS)
    states = [state for path in paths for state in experiments_at(path)]
    chart = make_chart(kind, states, **dict(map(_option, options)))
    _write(chart, output, format_)
    terminal.note(f"Wrote {output}.")


def _option(text: str) -> tuple[str, Any]:
    from orion_hpc.config.document import read_value

    name, found, value = text.partition("=")
    if not found:
        raise click.UsageError(f"--option is NAME=VALUE: {text}")
    return name.strip(), read_value(value, f"--option {name}")


def _write(chart: Chart, output: str, format_: str) -> None:
    from orion_hpc.experiments.output_file import write_output
    from orion_hpc.visual import matplotlib_figures, plotly_figures

    if format_ == "json":
        content = json.dumps(chart.to_dict(), allow_nan=False, indent=1).encode()
        write_output(output, lambda file: file.write(content))
    elif format_ == "html":
        page = plotly_figures.figure(chart).to_html(include_plotlyjs=True).encode()
        write_output(output, lambda file: file.write(page))
    else:
        write_output(output, lambda file: matplotlib_figures.write(chart, file, format_))
