"""Checks a file that a command is to write, before an existing one is replaced."""

from __future__ import annotations

import os
from collections.abc import Sequence


def check_output(output: str, endings: Sequence[str]) -> None:
    """Raise ConfigurationError unless ``output`` has one of the endings and can be replaced.

    A database is never replaced, whatever it is called, and neither is a device or a pipe.
    """
    from orion_hpc.errors import ConfigurationError
    from orion_hpc.experiments.database_search import is_database

    hint = "Name another file with --output."
    ending = os.path.splitext(output)[1].removeprefix(".").lower()
    if ending not in endings:
        raise ConfigurationError(
            f"--output must end with one of .{', .'.join(endings)}: {output}", hint
        )
    if os.path.exists(output) and not os.path.isfile(output):
        raise ConfigurationError(f"{output} isn't a file", hint)
    if os.path.isfile(output) and is_database(output):
        raise ConfigurationError(f"{output} is a database", hint)
