"""The files of a project: their list, their digest, and a read-only copy of them.

They are the files of the git checkout of a directory, tracked or not, but not ignored; without git
all below the directory except for caches, virtual environments and databases.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from orion_hpc.jobs.git import checkout
from orion_hpc.sharedfs import layout

_BLOCK = 1 << 20
_BESIDE = re.compile(r"\.(files|lock|damaged-\d+)$")
"""Suffixes of the names beside a database."""
_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG")
"""A folder with one of them is a virtual environment, or a cache (bford.info/cachedir)."""


class TooLarge(Exception):
    """The project is too large for sources; the message says how large."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest number of files of a project, and the largest size in bytes."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Project:
    """A project: its root, the files below it (regular ones and links), and the git commit."""

    root: str
    files: tuple[str, ...]
    commit: str | None


def find_project(directory: str, limits: Limits) -> Project:
    """Return the project that ``directory`` belongs to.

    Raises
    ------
    TooLarge
        It is beyond ``limits``.
    """
    directory = os.path.realpath(directory)
    found = checkout(directory)
    root = directory if found is None else os.path.realpath(found.root)
    names = _below(directory, limits) if found is None else found.files
    return Project(root, _sources(root, names, limits), found.commit if found else None)


def digest(project: Project) -> str:
    """Return the SHA-256 of all names and contents, as 64 hex digits."""
    whole = hashlib.sha256()
    for name in project.files:
        with contextlib.suppress(FileNotFoundError):
            _digest_one(whole, project, name)
    return whole.hexdigest()


def copy(project: Project, folder: str) -> Project:
    """Copy the project to the new folder ``folder``; return the copy.

    The copies are read-only. A link to a file that isn't copied keeps its target.

    Raises
    ------
    OSError
        With the name of the file that couldn't be read or written.
    """
    layout.make_folder(folder, 0o700)
    copied = []
    for name in project.files:
        source, target = os.path.join(project.root, name), os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
            status = os.lstat(source)
            layout.make_folder(os.path.dirname(target), 0o700)
            if stat.S_ISLNK(status.st_mode):
                os.symlink(_target(project, source), target)
            else:
                shutil.copyfile(source, target)
                os.chmod(target, 0o555 if status.st_mode & stat.S_IXUSR else 0o444)
            copied.append(name)
    return Project(folder, tuple(copied), project.commit)


def _sources(root: str, names: tuple[str, ...] | Iterator[str], limits: Limits) -> tuple[str, ...]:
    kept, size = [], 0
    databases: dict[str, bool] = {}

    def in_database(name: str) -> bool:
        """Return whether it is a database, its lock, or in the folder beside it."""
        for part in _outer(name):
            stem = _BESIDE.sub("", part)
            if stem not in databases:
                databases[stem] = os.path.isdir(os.path.join(root, f"{stem}.files"))
            if databases[stem]:
                return True
        return False

    for name in names:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = os.lstat(os.path.join(root, name))
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
                continue
            if in_database(name):
                continue
            kept.append(name)
            size += status.st_size
            if len(kept) > limits.files:
                raise TooLarge(f"more than {limits.files:,} files")
            if size > limits.size:
                raise TooLarge(f"more than {limits.size / 1e6:,.0f} MB")
    return tuple(sorted(kept))


def _outer(name: str) -> list[str]:
    parts = name.split(os.sep)
    return [os.sep.join(parts[:count]) for count in range(1, len(parts) + 1)]


def _below(directory: str, limits: Limits) -> Iterator[str]:
    seen = 0
    for folder, folders, files in os.walk(directory, onerror=_raise):
        folders[:] = [
            name
            for name in folders
            if name not in ("__pycache__", ".git")
            and not any(os.path.exists(os.path.join(folder, name, mark)) for mark in _MARKS)
        ]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        seen += 1 + len(files)
        if seen > 2 * limits.files:  # such as a home directory
            raise TooLarge(f"more than {limits.files:,} files and folders")
        for name in (*files, *links):
            yield os.path.relpath(os.path.join(folder, name), directory)


def _raise(error: OSError) -> None:
    raise error


def _target(project: Project, link: str) -> str:
    """Return the target for a copy of ``link``."""
    target = os.readlink(link)
    reached = os.path.normpath(os.path.join(os.path.dirname(link), target))
    inner = os.path.relpath(reached, project.root)
    at = bisect_left(project.files, f"{inner}/")
    is_copied = inner in project.files or (
        at < len(project.files) and project.files[at].startswith(f"{inner}/")
    )
    if not is_copied:
        return reached
    return os.path.relpath(reached, os.path.dirname(link)) if os.path.isabs(target) else target


def _digest_one(whole: hashlib._Hash, project: Project, name: str) -> None:
    path = os.path.join(project.root, name)
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        kind, held = b"link", hashlib.sha256(os.fsencode(_target(project, path)))
    else:
        kind, held = b"program" if status.st_mode & stat.S_IXUSR else b"file", hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                held.update(block)
    encoded = os.fsencode(name)
    whole.update(b"%s %d %s%s" % (kind, len(encoded), encoded, held.digest()))
