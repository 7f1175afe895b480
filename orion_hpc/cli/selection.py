"""The options with which a user says which experiment a command is about."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orion_hpc.config.settings import Settings


def database_of(
    file: str, name: str | None = None, version: int | None = None
) -> tuple[str, str | None, int | None]:
    """Return database, name and version for the argument FILE of ``db export``, ``set`` and ``rm``.

    FILE may be a configuration (``.yaml``), which names all three unless the options do.

    Raises
    ------
    ConfigurationError
        The configuration can't be read, or a setting is wrong.
    """
    if not file.endswith((".yaml", ".yml")):
        return file, name, version
    settings = Selection(Path(file), None, name, version).settings()
    return settings.storage, settings.name, settings.version


@dataclass(frozen=True, slots=True)
class Selection:
    """The experiment that the argument CONFIG and three options name; None: not given."""

    config: Path | None
    storage: str | None
    name: str | None
    version: int | None

    def settings(self) -> Settings:
        """Return the settings that name the database and the experiment; none are required.

        Raises
        ------
        ConfigurationError
            A file can't be read, or a setting is wrong.
        """
        from orion_hpc.config.config_files import load_settings

        flags = {"storage": self.storage, "name": self.name, "version": self.version}
        return load_settings(self.config, flags, needs=())

    def command(self, verb: str) -> str:
        """Return ``orion-hpc VERB CONFIG`` for a shell, with the options that were given."""
        flags = {"--storage": self.storage, "--name": self.name, "--version": self.version}
        given = [
            word for flag, value in flags.items() if value is not None for word in (flag, value)
        ]
        return shlex.join(["orion-hpc", verb, str(self.config or "CONFIG"), *map(str, given)])


def select_experiment(
    name: str = "Name of the experiment.",
    version: str = "Version of it.  [default: the highest]",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options to a command and passes it one Selection.

    ``name`` and ``version`` are the help texts of these options.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(
            *args: Any,
            config: Path | None,
            storage: str | None,
            name: str | None,
            version: int | None,
            **options: Any,
        ) -> Any:
            return function(*args, Selection(config, storage, name, version), **options)

        for option in (
            click.option("--version", type=click.IntRange(1), help=version),
            click.option("--name", help=name),
            click.option("--storage", help="Path of the database.  [default: the configuration's]"),
            click.argument("config", required=False, type=click.Path(path_type=Path)),
        ):
            call = option(call)
        return call

    return decorate
