"""One directory of a file server, mounted twice on this host: two nodes that share a file system.

Each mount is a client with caches of its own, as each node of a cluster has; programs that work on
one tell a host name of their own (see `tests.rigs.trial_worker`). This module knows how mounts and
daemons are started and how they end; what is mounted is said by `glusterfs` and `sshfs`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import psutil

from tests.rigs.supervisor import Supervisor, mount_points
from tests.rigs.waiting import wait_until

NODES = ("node1", "node2")
_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


class MountError(RuntimeError):
    """The file system didn't come up; the message ends with the tails of its logs."""


class Shared(NamedTuple):
    """One directory as it is seen from the first node, from the second, and by the server."""

    first: Path
    second: Path
    served: Path


def find_program(name: str) -> str | None:
    """The path of a program that may stand where only root looks."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(name, path=os.pathsep.join([path, *_SBIN]))


def missing_for_mounts(programs: tuple[str, ...], packages: str) -> str | None:
    """Why nothing can be mounted here, or None when it can."""
    if missing := [name for name in programs if find_program(name) is None]:
        return f"not installed: {', '.join(missing)} (apt install {packages})"
    if os.geteuid() != 0:
        return "to mount a file system, and to be two hosts, needs root"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"there is no FUSE here: /dev/fuse: {error.strerror}"
    done = subprocess.run(["unshare", "--mount", "--uts", "true"], capture_output=True, check=False)
    return "this container may not mount file systems" if done.returncode else None


class TwoMounts(ABC):
    """A context manager: within it `mounts` are two mounts of the directory `served`."""

    kind: str
    """The file system's name."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self._supervisor: Supervisor | None = None
        self._folders = 0

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Return when both mounts can be used; raise `MountError` when they can't be."""
        if self.directory is not None:
            raise RuntimeError("this has been started already")
        # Short on purpose: the path of a Unix socket may have no more than 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix=f"orion-{self.kind}-", dir="/tmp"))
        try:
            self._supervisor = Supervisor(self.directory)
            for mount in self.mounts:
                mount.mkdir()
            self._start_server()
            for mount in self.mounts:
                self._mount(mount)
        except BaseException as error:
            logs = self.logs()
            self.stop()
            if isinstance(error, (MountError, OSError, subprocess.SubprocessError)):
                raise MountError(f"{self.kind} didn't start: {error}\n{logs}") from error
            raise

    def stop(self) -> None:
        """Unmount, end the daemons, remove the directory. Harmless if repeated."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            supervisor.close()  # which unmounts and removes, too
        if self.directory is not None and not mount_points(self.directory):
            shutil.rmtree(self.directory, ignore_errors=True)
        self.directory = None

    def __enter__(self) -> TwoMounts:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- use ----------------------------------------------------------------------------------

    @property
    def mounts(self) -> tuple[Path, Path]:
        """Where the two nodes have it."""
        return self._path("mount1"), self._path("mount2")

    @property
    def served(self) -> Path:
        """The server's directory, to look past all caches; nothing may be written there."""
        return self._path("served")

    def folder(self) -> Shared:
        """Make a fresh directory, and return it when both nodes see it."""
        self._folders += 1
        name = f"test{self._folders}"
        first, second = (mount / name for mount in self.mounts)
        first.mkdir()
        wait_until(second.is_dir, 10, f"{second} to be seen")
        return Shared(first, second, self.served / name)

    def logs(self, lines: int = 8) -> str:
        """The last lines of every daemon's log and output."""
        if self.directory is None:
            return ""
        found = [*self.directory.glob("*.out"), *self.directory.glob("log/**/*.log")]
        parts = []
        for log in sorted(found):
            with contextlib.suppress(OSError):
                text = log.read_text(errors="replace").splitlines()[-lines:]
                parts.append("\n".join([f"--- {log.name}", *text]))
        return "\n".join(parts)

    # -- how it is done -----------------------------------------------------------------------

    @abstractmethod
    def _start_server(self) -> None:
        """Have `served` served."""

    @abstractmethod
    def _mount_command(self, mount: Path) -> tuple[str, ...]:
        """What mounts it, and stays in the foreground."""

    def _mount(self, mount: Path) -> None:
        pid = self._spawn(mount.name, *self._mount_command(mount))
        self._wait(lambda: mount in mount_points(self._path("")), pid, f"{mount} to be mounted")

        def answers() -> bool:
            try:
                (mount / f".{mount.name}").mkdir(exist_ok=True)
            except OSError:
                return False
            return True

        self._wait(answers, pid, f"{mount} to answer")

    def _wait(self, true: Callable[[], bool], pid: int, what: str) -> None:
        def true_or_dead() -> bool:
            if not psutil.pid_exists(pid):
                raise MountError(f"process {pid} has died; it was waited for {what}")
            return true()

        wait_until(true_or_dead, 30, what)

    def _spawn(self, name: str, *argv: str) -> int:
        if self._supervisor is None:
            raise RuntimeError("this isn't running")
        program = find_program(argv[0]) or argv[0]
        # The programs that these daemons start themselves stand beside them.
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SBIN])
        env = {**os.environ, "PATH": path}
        return self._supervisor.spawn((program, *argv[1:]), env, self._path(f"{name}.out"))

    def _path(self, name: str) -> Path:
        if self.directory is None:
            raise RuntimeError("this isn't running")
        return self.directory / name
