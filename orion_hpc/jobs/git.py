"""What git knows of a directory: its checkout's root, the commit, the files. The door to git."""

from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

_TIMEOUT = 60.0
_TRUSTING = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
"""Files of a colleague's checkout may be listed; what its configuration has git run mayn't be."""

_REDIRECTING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Variables by which a hook's git would look elsewhere (git(1), environment variables)."""


class Checkout(NamedTuple):
    """A checkout; ``files`` are what it tracks and what it doesn't ignore, below ``root``.

    A file may be listed that isn't there any more. ``commit`` is None before the first one.
    """

    root: str
    commit: str | None
    files: tuple[str, ...]


def checkout(directory: str) -> Checkout | None:
    """Return the checkout that ``directory`` lies in; None: in none, or git isn't to be had."""
    root = _ask(directory, "rev-parse", "--show-toplevel")
    if root is None or not (root := root.removesuffix("\n")):
        return None
    files = _files(root)
    if files is None:
        return None
    commit = _ask(root, "rev-parse", "--verify", "--quiet", "HEAD")
    return Checkout(root, commit.strip() if commit else None, files)


def _files(root: str) -> tuple[str, ...] | None:
    listed = _ask(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return None
    found: set[str] = set()
    for name in filter(None, listed.split("\0")):
        path = os.path.join(root, name)
        if not os.path.isdir(path) or os.path.islink(path):
            found.add(name)
        elif os.path.lexists(os.path.join(path, ".git")):  # a submodule, or a clone inside
            inner = _files(path) or ()
            found.update(os.path.join(name, one) for one in inner)
    return tuple(sorted(found))


def _ask(directory: str, *words: str) -> str | None:
    environ = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
    try:
        done = subprocess.run(
            ["git", "-C", directory, *_TRUSTING, *words],
            env={**environ, "GIT_OPTIONAL_LOCKS": "0"},
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
