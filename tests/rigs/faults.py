"""Makes system calls fail, one by one, in a forked child of the test.

Wraps Python's doors to the kernel (`os`, `fcntl`, `open`) wherever a module holds them, and counts
the calls that concern one directory. What is done there, and what must hold afterwards, is left to
the tests.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import gc
import io
import json
import os
import pathlib
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from orion_hpc.errors import StorageError

ERRNOS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "ESTALE", "EINTR", "EACCES")

_WRITES = frozenset(("write", "pwrite", "writev", "pwritev"))
_READS = frozenset(("read", "pread", "readv", "preadv"))
_LOOKS = _READS | frozenset(
    ("stat", "lstat", "fstat", "lseek", "readlink", "access", "listdir", "scandir", "statvfs")
)
_CHANGES = _WRITES | frozenset(
    (
        *("open", "close", "fsync", "fdatasync", "link", "unlink", "remove", "rename", "replace"),
        *("mkdir", "rmdir", "symlink", "truncate", "ftruncate", "chmod", "fchmod", "chown"),
        *("fchown", "utime", "posix_fallocate", "posix_fadvise", "sync_file_range", "sendfile"),
        *("copy_file_range", "dup", "dup2", "fstatvfs", "setxattr"),
    )
)
_LASTING = ("EIO", "ESTALE", "EROFS")
"""Errors that may come to stay."""

_PATIENCE = 25.0
"""Seconds for one operation under a fault: beyond it the child counts as hanging."""


class Fault(NamedTuple):
    """What happens at one call: ``what`` is an error's name, ``short`` or ``kill``; ``when`` is
    ``before`` the effect, ``after`` it, in the ``middle`` of a write, or ``onwards`` for an error
    that stays."""

    what: str
    when: str


class Call(NamedTuple):
    """A system call that was counted."""

    name: str
    target: str

    def faults(self, errors: Sequence[str] = ERRNOS) -> list[Fault]:
        """Return all that can go wrong here, with these errors."""
        found = [Fault("kill", "before")]
        # Linux has closed the descriptor whatever close() answers (close(2)).
        whens = ["after"] if self.name == "close" else ["before"]
        if self.name in _CHANGES and self.name != "close":
            whens.append("after")
        found += [Fault(name, when) for name in errors for when in whens]
        if self.name not in _LOOKS:
            found.append(Fault("kill", "after"))
        if self.name in _WRITES:
            found += [Fault("short", "middle"), Fault("kill", "middle")]
        if self.name in _READS:
            found.append(Fault("short", "middle"))
        if self.name != "close":
            found += [Fault(name, "onwards") for name in errors if name in _LASTING]
        return found


def _concerns(module: Any) -> bool:
    """Whether the database may call something of a module's: Python's, ours, and filelock's."""
    file = getattr(module, "__file__", None) or ""
    return "site-packages" not in file or "/filelock/" in file or "/orion_hpc/" in file


class Injector:
    """Counts the calls of the arming thread that concern ``folder``, and lets one of them fail."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._thread = 0
        self._index: int | None = None
        self._fault = Fault("", "")
        self._full = False
        self.calls: list[Call] = []
        self._readlink, self._close = os.readlink, os.close

    def install(self) -> None:
        """Wrap the calls wherever they are held by name. There is no way back: fork first."""
        wrapped: dict[int, Any] = {}
        for name in sorted(_LOOKS | _CHANGES):
            function = getattr(os, name, None)
            if function is not None:
                wrapped[id(function)] = (function, self._wrapper(name, function))
        for name in ("flock", "lockf", "fcntl", "ioctl"):
            function = getattr(fcntl, name)
            wrapped[id(function)] = (function, self._wrapper(name, function))
        wrapped[id(builtins.open)] = (builtins.open, self._wrapper("open", builtins.open))
        for module in list(sys.modules.values()):
            if _concerns(module):
                self._replace(module, wrapped)
        # Until Python 3.10 pathlib kept the functions in a class of its own.
        self._replace(getattr(pathlib, "_NormalAccessor", None), wrapped)
        for supports in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            supports |= {new for old, new in wrapped.values() if old in supports}

    @staticmethod
    def _replace(holder: Any, wrapped: dict[int, Any]) -> None:
        for name, value in list(getattr(holder, "__dict__", {}).items()):
            if id(value) in wrapped and holder is not sys.modules[__name__]:
                setattr(holder, name, wrapped[id(value)][1])

    def arm(self, index: int | None, fault: Fault = Fault("", "")) -> None:  # noqa: B008
        """Count from now on, and let ``fault`` happen at the call of this index."""
        self.calls = []
        self._index, self._fault, self._full = index, fault, False
        self._thread = threading.get_ident()

    def disarm(self) -> None:
        """Leave all calls alone."""
        self._thread = 0

    def _wrapper(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if self._thread != threading.get_ident():
                return function(*args, **options)
            thread, self._thread = self._thread, 0
            try:
                target = self._target(args, options)
                if target is None:
                    return function(*args, **options)
                return self._do(name, target, function, args, options)
            finally:
                self._thread = thread

        call.__name__ = name
        return call

    def _target(self, args: tuple[Any, ...], options: dict[str, Any]) -> str | None:
        """Return what the call concerns, if that lies in the folder."""
        base = options.get("dir_fd") or options.get("src_dir_fd")
        for one in args[:2]:
            if isinstance(one, bool) or not isinstance(one, int | str | bytes | os.PathLike):
                continue
            try:
                if isinstance(one, int):
                    path = self._readlink(f"/proc/self/fd/{one}")
                else:
                    root = self._readlink(f"/proc/self/fd/{base}") if base else os.getcwd()
                    path = os.path.join(root, os.fsdecode(one))
            except OSError:
                continue
            if path == self._folder or path.startswith(f"{self._folder}/"):
                return os.path.relpath(path, self._folder)
            if isinstance(one, int):
                break
        return None

    def _do(
        self,
        name: str,
        target: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> Any:
        at = len(self.calls)
        self.calls.append(Call(name, target))
        if self._full and name in _WRITES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        what, when = self._fault
        here = self._index is not None and (
            at == self._index or (when == "onwards" and at > self._index)
        )
        if not here:
            return function(*args, **options)
        if when == "middle":
            half = self._half(name, function, args)
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            # The disk is full now: the rest doesn't fit either.
            self._full = name in _WRITES
            return half
        if when == "after" or name == "close":
            result = function(*args, **options)
            if name == "open" and what != "kill":
                self._close(result) if isinstance(result, int) else result.close()
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, what)
        raise OSError(number, os.strerror(number))

    @staticmethod
    def _half(name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        fd, what, *rest = args
        if name in ("write", "pwrite"):
            return function(fd, bytes(what)[: max(1, len(what) // 2)], *rest)
        if name in ("read", "pread"):
            # Half of what is there: of a large count the file may hold less.
            there = function(fd, what, *rest)
            return there[: max(1, len(there) // 2)] if name == "pread" else there
        buffers = [bytes(buffer) for buffer in what] if name in _WRITES else list(what)
        return function(fd, buffers[: max(1, len(buffers) // 2)], *rest)


class Ending(NamedTuple):
    """How an operation ended: ``done``, ``refused`` (a StorageError), ``bare`` (any other error),
    ``hangs`` or ``killed``; ``told`` is the error's text, ``leaked`` counts the descriptors that
    are open after the second time and weren't before the first."""

    how: str
    told: str
    leaked: int
    calls: list[Call]


class Victim:
    """A child that does something twice: first under a fault, then, when told so, without it.

    Parameters
    ----------
    folder : str
        Whose system calls are counted.
    prepare : callable
        Runs in the child before anything is counted; what it returns is given to ``act``.
    act : callable
        What is done under the fault.
    index, fault : int or None, Fault
        None for no fault: only to count.
    close : callable
        Lets go of all descriptors that ``act`` may keep.
    """

    def __init__(
        self,
        folder: str,
        prepare: Callable[[], Any],
        act: Callable[[Any], Any],
        index: int | None,
        fault: Fault,
        close: Callable[[Any], Any],
    ) -> None:
        ours, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 70
            try:
                os.close(ours[0])
                os.close(theirs[1])
                self._live(folder, prepare, act, index, fault, close, ours[1], theirs[0])
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(ours[1])
        os.close(theirs[0])
        self._answers = io.FileIO(ours[0])
        self._orders = theirs[1]
        self._buffer = b""
        self._gone = False

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *error: object) -> None:
        self._bury()
        self._answers.close()
        os.close(self._orders)

    def _bury(self) -> None:
        # A zombie still counts as a process: who looks whether the lock's holder lives would wait.
        if not self._gone:
            self._gone = True
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def first(self) -> Ending:
        """Return how the operation ended under the fault."""
        return self._ending()

    def again(self) -> Ending:
        """Have the operation done again, without a fault, and return how it ended."""
        os.write(self._orders, b".")
        return self._ending()

    def _ending(self) -> Ending:
        while b"\n" not in self._buffer:
            if not select.select([self._answers], [], [], _PATIENCE)[0]:
                return Ending("hangs", f"no end after {_PATIENCE} s", 0, [])
            more = self._answers.read(1 << 16)
            if not more:
                self._bury()
                return Ending("killed", "", 0, [])
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        how, told, leaked, calls = json.loads(line)
        return Ending(how, told, leaked, [Call(*call) for call in calls])

    @staticmethod
    def _live(
        folder: str,
        prepare: Callable[[], Any],
        act: Callable[[Any], Any],
        index: int | None,
        fault: Fault,
        close: Callable[[Any], Any],
        answers: int,
        orders: int,
    ) -> None:
        # What the tests before have loaded is no garbage to be looked through: it is large.
        gc.freeze()
        injector = Injector(folder)
        before = _descriptors()
        thing = prepare()
        injector.install()
        for number in range(2):
            if number == 0:
                injector.arm(index, fault)
            else:
                os.read(orders, 1)
            how, told = "done", ""
            try:
                act(thing)
            except StorageError as error:
                how, told = "refused", str(error)
            except BaseException as error:
                how, told = "bare", _where(error)
            injector.disarm()
            calls = injector.calls
            leaked = 0
            if number == 1:
                # What is kept on purpose goes with its owner; the rest is leaked.
                close(thing)
                thing = None
                gc.collect()
                leaked = _descriptors() - before
            os.write(answers, json.dumps((how, told, leaked, calls)).encode() + b"\n")


def _where(error: BaseException) -> str:
    """Return the error and the last place in the package that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{one.filename}:{one.lineno}" for one in frames if "/rigs/" not in one.filename]
    return f"{type(error).__name__}: {error} (from {places[-1] if places else 'nowhere'})"


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
