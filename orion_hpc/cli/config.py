"""``orion-hpc config``: show all settings and the source of each."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from orion_hpc.cli.terminal import Terminal


@click.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For a program to read.")
@click.pass_obj
def config(terminal: Terminal, /, config: Path | None, as_json: bool) -> None:
    """Show each setting and its source.

    Without CONFIG, the settings for all experiments: from the site's file, yours, and variables
    such as ORION_HPC_WORKER__GRACE.
    """
    from orion_hpc.config.config_files import is_there, load_settings, standing_files
    from orion_hpc.config.resolve import explain

    found = list(explain(load_settings(config, {}, needs=())))
    files = {str(path): is_there(path) for path in standing_files(os.environ)}
    if as_json:
        shown = {path: {"value": _plain(value), "from": place} for path, value, place in found}
        terminal.json({"settings": shown, "files": files})
        return
    terminal.table(("setting", "value", "from"), map(_row, found))
    for path, found_there in files.items():
        if not found_there:
            terminal.note(f"There is no {path}.")


def _row(setting: tuple[str, Any, str]) -> tuple[str, str, str]:
    """Return the cells for a path, a value and its place; the value as YAML takes it."""
    path, value, place = setting
    text = value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
    return path, text, place


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: numbers that aren't finite are texts such as ``.inf``."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
