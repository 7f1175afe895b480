"""``orion-hpc worker``: what runs in a job."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

import click

from orion_hpc.cli.terminal import Terminal
from orion_hpc.executors.base import BUILTIN as EXECUTORS
from orion_hpc.worker.job_spec import JobSpec, kinds

_FLAGS = {"imports": "--import-from"}
"""Flags that aren't called as their settings."""

_METAVARS = {"function": "FILE", "trial_arg": "NAME", "options": "JSON"}


class _NumberOr(click.ParamType[Any]):
    """A number, or one of some words."""

    name = "number"

    def __init__(self, number: click.ParamType[Any], words: tuple[str, ...]) -> None:
        self._number, self._words = number, words

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value in self._words:
            return str(value)
        number: float = self._number.convert(value, param, ctx)
        return number


class _Json(click.ParamType[Any]):
    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return json.loads(value)
        except ValueError as error:
            self.fail(f"{value!r} isn't JSON: {error}", param, ctx)


def _type(kind: Any, least: float | None, above: bool) -> Any:
    """Return click's type for a setting of the type ``kind``."""
    outer, parts = get_origin(kind), get_args(kind)
    if outer in (Union, types.UnionType):
        first, *others = [_type(part, least, above) for part in parts if part is not type(None)]
        words = tuple(word for other in others for word in other.choices)
        return _NumberOr(first, words) if words else first
    if outer is Literal:
        return click.Choice(parts)
    if kind is int:
        return click.IntRange(None if least is None else int(least))
    if kind is float:
        return click.FloatRange(least, min_open=above)
    return str if kind is str or outer is tuple else _Json()


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for each setting of a job."""
    for one in reversed(dataclasses.fields(JobSpec)):
        kind = kinds()[one.name]
        limits = one.metadata.get("least"), bool(one.metadata.get("above"))
        flag = _FLAGS.get(one.name, f"--{one.name.replace('_', '-')}")
        text = one.metadata.get("help")
        if one.name == "executor":
            text = f"{text}: {', '.join(EXECUTORS)}, or one that is installed."
        more: dict[str, Any] = {"is_flag": True} if kind is bool else {"type": _type(kind, *limits)}
        command = click.option(
            flag, one.name, default=None, help=text, hidden=text is None,
            metavar=_METAVARS.get(one.name), multiple=get_origin(kind) is tuple, **more,
        )(command)  # fmt: skip
    return command


@click.command()
@click.option("--spec", metavar="FILE", help="Take all settings from the file of a submission.")
@_settings
@click.option(
    "--wait",
    type=click.FloatRange(0),
    help="Seconds to wait for the experiment to appear.  [default: 0; with --spec: 90]",
)
@click.pass_obj
def worker(terminal: Terminal, /, spec: str | None, wait: float | None, **given: Any) -> None:
    """Reserve and run trials of an experiment until none is left.

    With --storage and --name, what isn't given is as the experiment was submitted with. Runs in
    every job of an array, with --spec; by hand it adds one more worker.
    """
    from orion_hpc.worker.job import WAIT_FOR_EXPERIMENT, run_job, run_recorded
    from orion_hpc.worker.leaving import exit_bounded

    chosen = {
        name: value
        for name, value in given.items()
        if value is not None and value is not False and value != ()
    }
    if spec is not None:
        if chosen:
            raise click.UsageError("--spec gives all settings: leave out the other flags.")
        with exit_bounded():
            run_job(spec, WAIT_FOR_EXPERIMENT if wait is None else wait)
        return
    for name in ("storage", "name"):
        if name not in chosen:
            raise click.UsageError(f"Missing option '--{name}'.")
    run_recorded(chosen, wait or 0.0)
