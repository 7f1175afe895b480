"""The words with which a user says which experiment is meant, to be typed again."""

from __future__ import annotations

import shlex


def command(
    verb: str, config: object, storage: str | None, name: str | None, version: int | None
) -> str:
    """Return ``orion-hpc VERB CONFIG`` with the flags that were given, for a shell."""
    flags = {"--storage": storage, "--name": name, "--version": version}
    given = [word for flag, value in flags.items() if value is not None for word in (flag, value)]
    return shlex.join(["orion-hpc", verb, str(config or "CONFIG"), *map(str, given)])
