"""The code that jobs run: commit, digest, and a frozen copy where the settings ask for it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError, StorageUnusable
from orion_hpc.jobs.project import Limits, Project, TooLarge, copy, digest, find_project
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.hints import hint
from orion_hpc.sharedfs.removal import remove_folder

_FROZEN = Limits(files=20_000, size=500_000_000)
_LOOKED_AT = Limits(files=2_000, size=20_000_000)
"""The most that a submission reads for the code's digest; with more code there is none."""

_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of writing; a copy reports them with the name of the file that was read."""

_USER = ".user-"
_SHOWN = 16
"""Digits of a digest in the name of a copy."""


@dataclass(frozen=True, slots=True)
class Code:
    """The code that jobs run.

    Attributes
    ----------
    path : str
        The directory in which the function's module or the script is searched.
    imports : tuple of str
        Further directories on Python's search path, after ``path``: in the copy, those of the
        project that are on it.
    commit, digest : str or None
        The commit of the git checkout, and the SHA-256 of all files as they are; None where there
        is none, or where there is too much to be read.
    snapshot : str or None
        The folder of the copy.
    """

    path: str
    imports: tuple[str, ...] = ()
    commit: str | None = None
    digest: str | None = None
    snapshot: str | None = None

    @property
    def recorded(self) -> tuple[str | None, str | None, str | None]:
        """What the journal records: commit, digest, snapshot."""
        return self.commit, self.digest, self.snapshot


@contextlib.contextmanager
def code_for(
    settings: Settings, title: str, directory: str | None = None, needed: bool = True
) -> Iterator[Code]:
    """Yield the code for the jobs of the experiment ``title``, frozen if the settings ask for it.

    The function was imported before from ``directory``, by default that of the settings. If the
    block fails, there is no database yet and no other submission runs, the copy is removed.

    Raises
    ------
    ConfigurationError
        The project is too large, a file can't be read, or the copy would lack what the trials
        run.
    StorageUnusable
        The copy can't be written.
    """
    directory = directory or str(settings.directory)
    if not settings.snapshot or not needed:  # no job is going to run it
        yield _as_it_is(directory)
        return
    project = _project(directory)
    lacking = _lacking(settings, project)
    if lacking is not None:
        raise ConfigurationError(
            f"the snapshot would lack {lacking}, which git ignores",
            "Let git track it, or set 'snapshot: false'.",
        )
    folder = layout.code_folder(settings.storage, title)
    with layout.provided(folder), _user(folder) as alone:
        code = _frozen(project, directory, folder)
        try:
            yield code
        except BaseException:
            # Another submission may have used the same copy, and have ended already.
            if not os.path.lexists(settings.storage) and alone():
                with contextlib.suppress(OSError):
                    remove_folder(folder, os.path.basename(str(code.snapshot)))
            raise


@contextlib.contextmanager
def _user(folder: str) -> Iterator[Callable[[], bool]]:
    """Mark ``folder`` as used by a submission; yield a function: whether no other one uses it.

    Raises
    ------
    StorageUnusable
        The mark can't be created.
    """
    mark = os.path.join(folder, f"{_USER}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield (
            lambda: (
                [one for one in os.listdir(folder) if one.startswith(_USER)]
                == [os.path.basename(mark)]
            )
        )
    finally:
        with contextlib.suppress(OSError):
            os.unlink(mark)


def _unwritable(folder: str, error: OSError) -> StorageUnusable:
    return StorageUnusable(
        f"can't copy the project into {folder}: {error.strerror}",
        hint(error.errno, folder, "Check the free space and the permissions there."),
    )


def _unreadable(error: OSError) -> ConfigurationError:
    name = "a file" if error.filename is None else os.fsdecode(error.filename)
    return ConfigurationError(
        f"can't read {name} for the snapshot: {error.strerror}",
        "Make it readable, or let .gitignore name it.",
    )


def would_be(settings: Settings, title: str) -> Code:
    """Return what :func:`code_for` would yield; nothing is written."""
    directory = str(settings.directory)
    if not settings.snapshot:
        return _as_it_is(directory)
    project = _project(directory)
    try:
        whole = digest(project)
    except OSError as error:
        raise _unreadable(error) from error
    return _code(project, directory, whole, layout.code_folder(settings.storage, title))


def _as_it_is(directory: str) -> Code:
    try:
        project = find_project(directory, _LOOKED_AT)
        return Code(directory, (), project.commit, digest(project))
    except (TooLarge, OSError):
        return Code(directory)


def _project(directory: str) -> Project:
    try:
        return find_project(directory, _FROZEN)
    except TooLarge as error:
        raise ConfigurationError(
            f"the project of {directory} has {error}, too much for a snapshot",
            "Let .gitignore name what is no source, keep data elsewhere, or set 'snapshot: false'.",
        ) from None
    except OSError as error:
        raise _unreadable(error) from error


def _lacking(settings: Settings, project: Project) -> str | None:
    """Return the file that the trials run, if it is in the project but not among its files."""
    if settings.function is not None:
        stem = settings.function.partition(":")[0].replace(".", os.sep)
        wanted = [f"{stem}.py", os.path.join(stem, "__init__.py")]
    else:
        wanted = list(settings.command or ())
    for name in wanted:
        path = os.path.realpath(os.path.join(settings.directory, name))
        inner = os.path.relpath(path, project.root)
        is_ours = path.startswith(project.root + os.sep) and not os.path.isabs(name)
        if is_ours and os.path.isfile(path) and inner not in project.files:
            return name
    return None


def _frozen(project: Project, directory: str, folder: str) -> Code:
    """Copy the project into ``folder``, unless the same copy is there."""
    try:
        new = f".new-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            copied = copy(project, os.path.join(folder, new))
            whole = digest(copied)
            code = _code(project, directory, whole, folder)
            # A folder that git ignores may have no code, and still be the working directory.
            inner = os.path.relpath(code.path, str(code.snapshot))
            layout.make_folder(os.path.join(folder, new, inner), 0o700)
            _put(copied, whole, str(code.snapshot))
            return code
        finally:
            with contextlib.suppress(OSError):
                remove_folder(folder, new)
    except OSError as error:
        name = folder if error.filename is None else os.fsdecode(error.filename)
        if name.startswith(folder) or error.errno in _OF_WRITING:
            raise _unwritable(folder, error) from error
        raise _unreadable(error) from error


def _put(copied: Project, whole: str, place: str) -> None:
    """Move a copy to its place, unless a complete copy is there."""
    try:
        os.rename(copied.root, place)
    except OSError:
        if not os.path.isdir(place):
            raise
        if digest(replace(copied, root=place)) == whole:
            return
        # Files of it were removed or changed: nothing can be run from it.
        os.rename(place, f"{copied.root}-old")
        os.rename(copied.root, place)
        remove_folder(os.path.dirname(place), f"{os.path.basename(copied.root)}-old")


def _code(project: Project, directory: str, whole: str, folder: str) -> Code:
    snapshot = os.path.join(folder, whole[:_SHOWN])
    inner = os.path.relpath(os.path.realpath(directory), project.root)
    path = os.path.normpath(os.path.join(snapshot, inner))
    imports = tuple(
        os.path.normpath(os.path.join(snapshot, place))
        for place in import_places(project, sys.path, _module_files())
        if place != inner
    )
    return Code(path, imports, project.commit, whole, snapshot)


def import_places(
    project: Project, search: Iterable[str], modules: Iterable[tuple[str, str]]
) -> list[str]:
    """Return where in the project Python finds modules, relative to its root.

    Parameters
    ----------
    project : Project
    search : iterable of str
        Python's search path.
    modules : iterable of (str, str)
        Names and files of imported modules: a package that is installed in place
        (``pip install -e``) may not be on the search path.
    """
    files = set(project.files)
    folders = {os.path.dirname(name) for name in files}
    folders |= {outer for inner in folders for outer in _outer(inner)}
    places: dict[str, None] = {}
    for entry in search:
        inner = os.path.relpath(os.path.realpath(entry), project.root)
        if inner in folders or inner == ".":
            places[inner] = None
    for name, file in modules:
        inner = os.path.relpath(os.path.realpath(file), project.root)
        if inner in files:
            is_package = os.path.basename(inner).startswith("__init__.")
            for _ in range(name.count(".") + 1 + is_package):
                inner = os.path.dirname(inner)
            places[inner or "."] = None
    return list(places)


def _outer(name: str) -> Iterator[str]:
    while name:
        yield name
        name = os.path.dirname(name)


def _module_files() -> list[tuple[str, str]]:
    return [
        (name, file)
        for name, module in list(sys.modules.items())
        if name != "__main__" and isinstance(file := getattr(module, "__file__", None), str)
    ]
