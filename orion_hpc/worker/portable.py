"""Pickles a user's function by value for other processes: one of ``__main__`` or a notebook, too.

The one file that imports cloudpickle. Functions of modules are pickled by name, as always.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
from collections import ChainMap
from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar

from orion_hpc.errors import ConfigurationError
from orion_hpc.sharedfs.atomic import new_file

_MOST = 4
_LONGEST_ERROR = 100_000
_loaded: dict[bytes, Callable[..., Any]] = {}
"""A process runs the same function for each trial."""


def pack(function: Callable[..., Any]) -> bytes:
    """Return ``function`` as bytes.

    Raises
    ------
    ConfigurationError
        It can't be sent: it refers to an open file, a lock, a connection, or the like.
    """
    try:
        data = _dumps(function)
    except Exception as error:  # whatever the objects that it refers to raise
        raise ConfigurationError(
            f"the function {name_of(function)} can't be sent to another process: {error}",
            "Make what it uses inside of it; or run trials in this process: executor 'single'.",
        ) from error
    return data


def _dumps(function: Callable[..., Any]) -> bytes:
    """Pickle as cloudpickle does, but keep the names of files, which tracebacks show."""
    import cloudpickle

    plain = cloudpickle.Pickler.dispatch_table

    def reduce_code(code: CodeType) -> Any:
        make, arguments = plain[CodeType](code)[:2]
        return _code, (code.co_filename, make, arguments)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = ChainMap({CodeType: reduce_code}, plain)

    buffer = io.BytesIO()
    Pickler(buffer).dump(function)
    return buffer.getvalue()


def _code(filename: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    return make(*arguments).replace(co_filename=filename)


def unpack(data: bytes) -> Callable[..., Any]:
    """Return the function that :func:`pack` was given, loaded once in each process.

    Raises
    ------
    ConfigurationError
        It can't be loaded here: a module isn't found, say.
    """
    function = _loaded.get(data)
    if function is None:
        import cloudpickle

        try:
            function = cloudpickle.loads(data)
        except Exception as error:
            raise ConfigurationError(
                f"the function can't be loaded in the trial's process: {error}",
                "The modules that it uses must be found there, too.",
            ) from error
        while len(_loaded) >= _MOST:
            del _loaded[next(iter(_loaded))]
        _loaded[data] = function
    return function


def write_packed(data: bytes, folder: str) -> str:
    """Write what :func:`pack` gave into ``folder``, for jobs to read; return the file's path."""
    path = os.path.join(folder, f"function-{hashlib.sha256(data).hexdigest()[:16]}.pkl")
    part = os.path.join(folder, f".function-{os.urandom(6).hex()}")
    with new_file(path, 0o600, replace=True, temporary=part) as file:
        file.write(data)
    return path


def read_packed(path: str) -> bytes:
    """Return what :func:`write_packed` wrote.

    Raises
    ------
    ConfigurationError
        It isn't there, or it is another user's: loading it would run their code.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise ConfigurationError(f"{path} isn't a file of yours; it isn't loaded")
            return file.read()
    except OSError as error:
        raise ConfigurationError(
            f"can't read the function of the job, {path}: {error.strerror}",
            "Submit it again from Python.",
        ) from error


def name_of(function: Callable[..., Any]) -> str:
    """Return what to call ``function``: ``module:name``; of a partial one, what it is a part of."""
    function = getattr(function, "func", function)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or '?'}:{name}"


def pack_error(error: BaseException) -> bytes | None:
    """Return an exception as bytes, or None where it isn't one that can be sent and read again."""
    try:
        data = pickle.dumps(error)
        if len(data) <= _LONGEST_ERROR and isinstance(pickle.loads(data), BaseException):
            return data
    except (Exception, SystemExit):  # anybody's __reduce__
        pass
    return None


def unpack_error(data: bytes | None, message: str) -> BaseException:
    """Return the exception that :func:`pack_error` was given, or one that says ``message``."""
    if data is not None:
        try:
            error = pickle.loads(data)
            if isinstance(error, BaseException):
                return error
        except (Exception, SystemExit):  # of a module that isn't here
            pass
    return RuntimeError(message)
