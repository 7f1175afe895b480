"""The git checkout of a directory: root, commit, files. Only this module runs git."""

from __future__ import annotations

import os
import subprocess
from typing import NamedTuple

_TIMEOUT = 60.0
_TRUSTING = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
"""Allow listing the files of another user's checkout, but don't run what it configures."""

_REDIRECTING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""Variables with which git, run from a hook, would use another checkout (git(1))."""


class Checkout(NamedTuple):
    """A checkout; ``files`` are the tracked and the unignored files, below ``root``.

    A listed file may have been removed. ``commit`` is None before the first commit.
    """

    root: str
    commit: str | None
    files: tuple[str, ...]


def checkout(directory: str) -> Checkout | None:
    """Return the checkout of ``directory``; None: there is none, or no git."""
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
