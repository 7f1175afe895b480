"""Imports the user's function from ``module:function``, from the directory that was named.

Knows Python's import system and what can go wrong with it. Whether the function takes the
hyperparameters is checked in ``function``.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from orion_hpc.errors import ConfigurationError, did_you_mean
from orion_hpc.worker.failure import users_frames

_loaded: dict[tuple[str, str], Callable[..., Any]] = {}
"""By directory and name: a worker loads the same function for each trial."""

_ours: dict[str, set[str]] = {}
"""By directory: the modules from there that were imported on behalf of a user's function."""


def load_function(path: str, name: str) -> Callable[..., Any]:
    """Return the function that ``name`` stands for.

    Parameters
    ----------
    path : str
        Directory that is searched before all others; it stays the first of ``sys.path``, since a
        function may import more when it runs.
    name : str
        ``module:function``; both may have dots.

    Raises
    ------
    ConfigurationError
        It can't be imported, isn't there, or isn't callable.
    """
    path = os.path.realpath(path)
    if (path, name) in _loaded:
        return _loaded[path, name]
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise ConfigurationError(
            f"{name!r} doesn't name a function", "Write module:function, such as svm:main."
        )
    _search_first(path)
    _free_name(path, module_name.partition(".")[0])
    before = set(sys.modules)
    try:
        found: Any = _import(path, name, module_name)
    finally:
        brought = {new for new in set(sys.modules) - before if _lies_in(path, new)}
        _ours.setdefault(path, set()).update(brought)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            guess = did_you_mean(part, [one for one in vars(found) if not one.startswith("_")])
            owner = getattr(found, "__name__", module_name)
            where = getattr(found, "__file__", None) or path
            raise ConfigurationError(f"{owner} has no {part!r}{guess} ({where})") from None
    if not callable(found):
        raise ConfigurationError(
            f"{name} is a {type(found).__name__}, not a function", "Name what a trial should call."
        )
    function: Callable[..., Any] = found
    _loaded[path, name] = function
    return function


def _search_first(path: str) -> None:
    """Put ``path`` first, and forget what was imported for functions of other directories.

    Otherwise two experiments in one process would share their helpers' names: the second one's
    ``import utils`` would silently get the first one's.
    """
    for other in [known for known in _ours if known != path]:
        sys.path[:] = [entry for entry in sys.path if entry != other]
        for module in _ours.pop(other):
            sys.modules.pop(module, None)
        for key in [key for key in _loaded if key[0] == other]:
            del _loaded[key]
    _ours.setdefault(path, set())
    if sys.path[:1] != [path]:
        sys.path[:] = [path, *(entry for entry in sys.path if entry != path)]
    importlib.invalidate_caches()  # a file of this very second isn't in the finder's list yet


def _free_name(path: str, head: str) -> None:
    """Ensure that importing ``head`` gives the one in ``path``, if there is one."""
    spec = PathFinder.find_spec(head, [path])
    if spec is None or spec.origin is None:  # a folder that isn't a package shadows nothing
        return
    loaded = sys.modules.get(head)
    # Python's own "test" is the one that nothing imports.
    stdlib = head in sys.stdlib_module_names and head != "test"
    if not stdlib and (loaded is None or _place(loaded) == os.path.realpath(spec.origin)):
        return
    if stdlib or _is_library(_place(loaded)):
        whose = "Python's own module" if stdlib else "an installed package that is in use"
        raise ConfigurationError(
            f"the module {head!r} in {path} has the name of {whose}", "Give your file another name."
        )
    # Another directory's module of this name; whatever imported it keeps it.
    for module in [one for one in sys.modules if one == head or one.startswith(f"{head}.")]:
        del sys.modules[module]


def _import(path: str, name: str, module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit too
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            guess = did_you_mean(error.name, _modules_in(path))
            raise ConfigurationError(
                f"there is no module {module_name!r} in {path}{guess}",
                f"{name!r} is searched beside the configuration file, then where Python searches.",
            ) from error
        place = _place_of_fault(error)
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigurationError(
            f"can't import {module_name!r} from {path}: {type(error).__name__}: {text}{place}",
            "Does 'import' of it work in Python, in this environment?",
        ) from error


def _place_of_fault(error: BaseException) -> str:
    """Return file and line of a syntax error, else of the user's line that failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    frames = traceback.extract_tb(users_frames(error.__traceback__))
    own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _modules_in(path: str) -> list[str]:
    try:
        entries = os.listdir(path)
    except OSError:
        return []
    return [os.path.splitext(entry)[0] for entry in entries if entry.endswith(".py")]


def _place(module: ModuleType | None) -> str | None:
    file = getattr(module, "__file__", None)
    return os.path.realpath(file) if isinstance(file, str) else None


def _is_library(file: str | None) -> bool:
    if file is None:
        return False
    roots = {os.path.realpath(sysconfig.get_path(key)) for key in ("stdlib", "purelib", "platlib")}
    return any(file.startswith(root + os.sep) for root in roots)


def _lies_in(path: str, module: str) -> bool:
    file = _place(sys.modules.get(module))
    # A virtual environment may lie below the configuration's directory.
    return file is not None and file.startswith(path + os.sep) and not _is_library(file)
