"""One machine of the rig: a User-Mode Linux kernel with the host's own files as its root.

Knows how it is booted, stopped and killed, and how commands are run in it; what machines there are,
and what they do, is `rig`'s business.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from tests.rigs.nfs.agent import CALL
from tests.rigs.nfs.switch import address
from tests.rigs.waiting import wait_until

KERNEL = "linux.uml"
_HERE = Path(__file__).parent
_CHECKOUT = Path(__file__).parents[3]
_MEMORY = "1024M"
_BOOT_TIMEOUT = 60.0

Spawn = Callable[[tuple[str, ...], dict[str, str], Path], int]
"""Starts a daemon: its words, environment and the file for its output; returns its number."""


class GuestError(RuntimeError):
    """A guest didn't come up, or a command in it failed."""


class Job:
    """A command that was started in a guest."""

    def __init__(self, guest: Guest, base: Path, command: str) -> None:
        self._guest, self._base, self.command = guest, base, command

    @property
    def name(self) -> str:
        """What its files in the shared directory are called."""
        return self._base.name

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        try:
            return int(self._base.with_suffix(".code").read_text())
        except FileNotFoundError:
            return None

    @property
    def output(self) -> str:
        """What it has written until now."""
        try:
            return self._base.with_suffix(".out").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait(self, timeout: float = 180.0) -> str:
        """Return what it wrote once it has ended well; raise `GuestError` if it hasn't."""
        try:
            wait_until(lambda: self.code is not None, timeout, f"{self.command} to end")
        except TimeoutError as error:
            raise GuestError(f"{self._guest.name}: {error}\n{self.output[-3000:]}") from None
        if self.code:
            raise GuestError(
                f"{self._guest.name}: {self.command} ended with {self.code}:\n{self.output[-3000:]}"
            )
        return self.output


class Guest:
    """A machine that can be booted again and again, with the same disks.

    Parameters
    ----------
    name : str
        Its host name.
    number : int
        The last part of its addresses.
    directory : Path
        The rig's; the guest shares the directory of its name there with the host.
    network : Path
        The switch's socket.
    spawn : callable
    disks : sequence of Path
        Images, each a whole file system.
    """

    def __init__(
        self,
        name: str,
        number: int,
        directory: Path,
        network: Path,
        spawn: Spawn,
        disks: Sequence[Path] = (),
    ) -> None:
        self.name, self.number = name, number
        self.share = directory / name
        self._directory, self._network, self._disks = directory, network, disks
        self._spawn = spawn
        self._pid = 0
        self._count = itertools.count()
        self._jobs: list[Job] = []
        (self.share / "inbox").mkdir(parents=True)

    # -- life ----------------------------------------------------------------------------------

    def boot(self) -> None:
        """Begin to boot; `await_ready` returns when it has."""
        self._ready.unlink(missing_ok=True)
        mac = ":".join(f"{byte:02x}" for byte in address(self.number))
        # The guest's memory is a file in the directory for temporary files: /dev/shm is faster.
        environment = {name: os.environ[name] for name in os.environ if name != "TMPDIR"}
        self._pid = self._spawn(
            (
                *(KERNEL, f"mem={_MEMORY}", f"umid={self.name}", f"uml_dir={self._directory}/uml"),
                *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "panic=-1"),
                *(f"ubd{index}={disk}" for index, disk in enumerate(self._disks)),
                f"vec0:transport=bess,dst={self._network},mac={mac},depth=64",
                *("con=null", "con0=null,fd:1", "init=/bin/bash"),
                *(f"RIG_NAME={self.name}", f"RIG_ADDRESS=10.0.0.{self.number}"),
                *(f"RIG_SHARE={self.share}", f"RIG_CHECKOUT={_CHECKOUT}"),
                *(f"RIG_PYTHON={sys.executable}", "--", f"{_HERE}/init.sh"),
            ),
            environment,
            self._console,
        )

    def await_ready(self) -> None:
        """Return when commands can be run; raise `GuestError` if that doesn't come about."""

        def ready_or_dead() -> bool:
            return self._ready.exists() or not self._alive()

        wait_until(ready_or_dead, _BOOT_TIMEOUT, f"{self.name} to boot:\n{self.console()}")
        if not self._ready.exists():
            raise GuestError(f"{self.name} didn't boot:\n{self.console()}")

    def kill(self) -> None:
        """End it as a power cut does: what wasn't written to its disks is lost."""
        # The kernel is one process, and each address space of the guest another; all are in the
        # session of the first. It goes first, so that no other is made.
        left = {self._pid} if self._pid else set()
        while left:
            for pid in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(pid).kill()
            wait_until(lambda: not self._alive(), 10, f"{self.name}'s kernel to end")
            left = _session(self._pid)
        self._pid = 0
        self._jobs = []

    def freeze(self) -> None:
        """Stop the whole machine, as a hypervisor or a suspended host does."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; for its clocks no time has passed but that of the day."""
        os.kill(self._pid, signal.SIGCONT)

    def console(self, lines: int = 25) -> str:
        """The last lines of what the kernel and the first process wrote."""
        try:
            return "\n".join(self._console.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _alive(self) -> bool:
        try:
            return psutil.Process(self._pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    @property
    def _ready(self) -> Path:
        return self.share / "ready"

    @property
    def _console(self) -> Path:
        return self._directory / f"{self.name}.out"

    # -- use -----------------------------------------------------------------------------------

    def start(self, command: str) -> Job:
        """Start a shell command."""
        base = self.share / f"{next(self._count):06d}"
        draft = base.with_suffix(".draft")
        draft.write_text(command)
        draft.rename(self.share / "inbox" / base.name)
        job = Job(self, base, command)
        self._jobs.append(job)
        return job

    def run(self, command: str, timeout: float = 180.0) -> str:
        """Run a shell command to its end; return what it wrote."""
        return self.start(command).wait(timeout)

    def end_jobs(self) -> None:
        """Kill all commands that still run, and what they started."""
        for job in [job for job in self._jobs if job.code is None]:
            self.run(f"kill -9 -- -$(cat /run/share/{job.name}.pid) || true")
        self._jobs = []

    def python(self, module: str, *words: object) -> Job:
        """Start a program of the tests."""
        quoted = " ".join(f"'{word}'" for word in words)
        return self.start(f"exec {sys.executable} -m {module} {quoted}")

    def call(self, module: str, *words: object) -> Job:
        """Call a program's `main` in a process that has imported before what it needs."""
        return self.start(CALL + json.dumps([module, *map(str, words)]))


def _session(leader: int) -> set[int]:
    """The processes of a session that live."""
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def make_disk(path: Path, size: str) -> Path:
    """Make an image with an empty ext4; it takes no more room than what is written to it."""
    subprocess.run(["mkfs.ext4", "-q", path, size], check=True, capture_output=True)
    return path
