"""Look-up of an implementation by name: built in, or registered as a third party's entry point.

Which names are built in is left to the caller. A built-in one is imported directly, since reading
the metadata of all installed distributions would delay the start of every worker.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orion_hpc.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:  # importing it takes a while
    from importlib.metadata import EntryPoint


_DISTRIBUTION = "orion-hpc"
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


def load(kind: str, name: str, builtin: Mapping[str, str]) -> Any:
    """Return the object that is registered as ``name``.

    Parameters
    ----------
    kind : str
        ``algorithm`` or ``executor``, for example. The group of entry points is
        ``orion_hpc.{kind}s``.
    name : str
        As the user wrote it; case doesn't matter.
    builtin : mapping of str to str
        ``name -> "module:attribute"`` of the built-in implementations.

    Raises
    ------
    ConfigurationError
        ``name`` isn't registered, and the message lists the names that are; or its object can't be
        imported.

    Examples
    --------
    >>> from orion_hpc.plugins import load
    >>> load("codec", "JSON", {"json": "json:dumps"})({})
    '{}'
    """
    wanted = name.lower()
    if wanted in builtin:
        module, _, attribute = builtin[wanted].partition(":")
        return getattr(import_module(module), attribute)
    from importlib.metadata import entry_points

    found = {point.name.lower(): point for point in entry_points(group=f"orion_hpc.{kind}s")}
    if wanted in found:
        return _load_entry_point(kind, name, found[wanted])
    known = sorted({*builtin, *found})
    raise ConfigurationError(
        f"unknown {kind} {name!r}{did_you_mean(wanted, known)}", f"There are: {', '.join(known)}."
    )


def _load_entry_point(kind: str, name: str, point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # whatever its module does
        package = f" of the package {point.dist.name}" if point.dist else ""
        raise ConfigurationError(
            f"{kind} {name}{package} can't be imported from {point.value}: {describe_error(error)}",
            f"This is a fault of the {kind}, or of how it is installed.",
        ) from error


def describe_error(error: Exception) -> str:
    """Return a third party's error in one line, with the file and line that raised it."""
    import traceback

    text = " ".join(traceback.format_exception_only(error)[-1].split())
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        # Without the callers: this package, and Python's import system.
        if "importlib" not in frame.filename and not frame.filename.startswith(_OWN)
    ]
    place = (frames[-1].filename, frames[-1].lineno) if frames else None
    if isinstance(error, SyntaxError) and error.filename is not None:
        place = (error.filename, error.lineno)
    return f"{text} ({place[0]}, line {place[1]})" if place else text


def install_command(extra: str) -> str:
    """Return the shell command that installs what an extra of this package adds.

    It names the libraries: pip finds this package by its name only where it was installed so, and
    not from a clone.
    """
    from importlib.metadata import PackageNotFoundError, requires

    try:
        required = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        required = []
    mine = re.compile(rf"([^;]+);.*extra == ['\"]{re.escape(extra)}['\"].*")
    names = [match[1].strip() for one in required if (match := mine.fullmatch(one))]
    return shlex.join(["pip", "install", *(names or [f"{_DISTRIBUTION}[{extra}]"])])
