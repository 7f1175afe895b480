"""The options with which a user says which experiment a command is about.

Also the one place where the commands in hints get these arguments.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orion_hpc.config.settings import Settings


_COMMAND = re.compile(r"orion-hpc (?P<verb>(?:db )?[a-z]+) (?P<what>CONFIG|DATABASE)\b"
                      r"(?P<more>(?: --[-\w]+(?: \w+)?)*)")  # fmt: skip
"""A command in a hint of another module, which doesn't know the user's arguments."""

_CONFIG_IS_OPTIONAL = ("status", "logs", "cancel", "clean", "trials", "best", "info", "report")


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
    """The experiment that the argument CONFIG and three options name; None: not given.

    ``submission`` has the words of ``submit`` or ``resume`` after its name, if this is one of them.
    """

    config: Path | None
    storage: str | None
    name: str | None
    version: int | None
    submission: tuple[str, ...] | None = None

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

    def command(self, verb: str, *more: str) -> str:
        """Return ``orion-hpc VERB CONFIG`` for a shell, with the options that were given.

        ``more`` are further options. Jobs are submitted with the options of ``submission``.
        """
        if verb in ("submit", "resume") and self.submission is not None:
            own, dashes, sbatch = _split(self.submission)
            return shlex.join(["orion-hpc", verb, *own, *more, *dashes, *sbatch])
        flags = {"--storage": self.storage, "--name": self.name, "--version": self.version}
        given = [
            word for flag, value in flags.items() if value is not None for word in (flag, value)
        ]
        config = [str(self.config)] if self.config is not None else ["CONFIG"]
        if self.config is None and verb in _CONFIG_IS_OPTIONAL and given:
            config = []
        return shlex.join(["orion-hpc", verb, *config, *map(str, given), *more])

    def of(self, name: str | None, version: int | None) -> Selection:
        """Return the selection of one of the experiments that this one matches.

        Parameters
        ----------
        name : str or None
            None if the configuration names it.
        version : int or None
            None if it is the highest.
        """
        return replace(self, name=self.name or name, version=self.version or version)

    def fill(self, text: str) -> str:
        """Return ``text`` with this selection's arguments in each command of a hint."""
        return _COMMAND.sub(self._filled, text)

    def _filled(self, match: re.Match[str]) -> str:
        more = match["more"].split()
        if match["what"] == "CONFIG":
            return self.command(match["verb"], *more)
        path = self._database() or "DATABASE"
        return shlex.join(["orion-hpc", *match["verb"].split(), path, *more])

    def _database(self) -> str | None:
        from orion_hpc.errors import OrionHpcError

        try:
            return self.storage or self.settings().storage
        except OrionHpcError:  # the hint belongs to this very error
            return None


def _split(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the words of a command line before the double dash, the dash, and those after it."""
    at = words.index("--") if "--" in words else len(words)
    own = tuple(word for word in words[:at] if word != "--dry-run")
    return own, words[at : at + 1], words[at + 1 :]


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
            selection = Selection(config, storage, name, version)
            click.get_current_context().obj.fill = selection.fill
            return function(*args, selection, **options)

        for option in (
            click.option("--version", type=click.IntRange(1), help=version),
            click.option("--name", help=name),
            click.option("--storage", help="Path of the database.  [default: the configuration's]"),
            click.argument("config", required=False, type=click.Path(path_type=Path)),
        ):
            call = option(call)
        return call

    return decorate
