"""A file server with real kernel NFS and two clients, and everything that may befall them.

All of it lives in one temporary directory, whose Unix sockets are the only way in or out, so any
number of rigs may run side by side. See the package for who does what.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.rigs.nfs.guest import KERNEL, Guest, GuestError, make_disk
from tests.rigs.nfs.switch import Switch
from tests.rigs.supervisor import Supervisor
from tests.rigs.two_mounts import find_program
from tests.rigs.waiting import wait_until

VERSIONS = {
    "3": "vers=3",
    "3-nolock": "vers=3,nolock",
    "4.0": "vers=4.0",
    "4.1": "vers=4.1",
    "4.2": "vers=4.2",
}
"""What is mounted as what: the options beyond the defaults."""

LEASE = 10.0
"""Seconds after which the server gives a silent client's locks to another (see nfsd.sh)."""

_PROGRAMS = {
    KERNEL: "user-mode-linux",
    "exportfs": "nfs-kernel-server",
    "nfsdcld": "nfs-kernel-server",
    "mount.nfs": "nfs-common",
    "rpcbind": "rpcbind",
    "ip": "iproute2",
    "modprobe": "kmod",
    "mkfs.ext4": "e2fsprogs",
}

_MEMORY = "/dev/shm"


def missing_for_nfs() -> str | None:
    """Why there can be no rig here, or None when there can."""
    if missing := [name for name in _PROGRAMS if find_program(name) is None]:
        packages = " ".join(sorted({_PROGRAMS[name] for name in missing}))
        return f"not installed: {', '.join(missing)} (apt install {packages})"
    if os.geteuid() != 0:
        return "the guests see this machine's files as their user does: that has to be root"
    if shutil.disk_usage(_MEMORY).free < 3 << 30:
        return f"the guests' memory is in {_MEMORY}, which has less than 3 GB free"
    return None


@dataclass(frozen=True)
class Shared:
    """One directory: its path on both clients, and on the server."""

    path: str
    served: str


class NfsRig:
    """A context manager: within it there are `server`, `c1` and `c2`, which are booted."""

    def __init__(self) -> None:
        self.directory: Path | None = None
        self._supervisor: Supervisor | None = None
        self._guests: dict[str, Guest] = {}
        self._mounted: set[tuple[str, str]] = set()
        self._folders = 0

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Return when all three have booted; raise `GuestError` if they don't."""
        if self.directory is not None:
            raise RuntimeError("this has been started already")
        # Short on purpose: the path of a Unix socket may have no more than 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="orion-nfs-", dir="/tmp"))
        try:
            self._start(self.directory)
        except BaseException as error:
            consoles = "\n".join(guest.console() for guest in self._guests.values())
            self.stop()
            if isinstance(error, (OSError, subprocess.SubprocessError)):
                raise GuestError(f"the rig didn't start: {error}\n{consoles}") from error
            raise

    def _start(self, directory: Path) -> None:
        self._supervisor = Supervisor(directory)
        network, orders = directory / "network", directory / "orders"
        switching = (sys.executable, "-m", "tests.rigs.nfs.switch", str(network), str(orders))
        root = str(Path(__file__).parents[3])
        environment = {**os.environ, "PYTHONPATH": root}
        self._supervisor.spawn(switching, environment, directory / "switch.out")
        wait_until(orders.exists, 20, "the switch to listen")
        self.switch = Switch(orders)
        disks = make_disk(directory / "disk", "4G"), make_disk(directory / "small", "40M")
        for number, name in enumerate(("server", "c1", "c2"), 1):
            self._guests[name] = Guest(
                name, number, directory, network, self._supervisor.spawn,
                disks if name == "server" else (),
            )  # fmt: skip
        for guest in self._guests.values():
            guest.boot()
        for guest in self._guests.values():
            guest.await_ready()

    def stop(self) -> None:
        """End the guests and the switch, remove the directory. Harmless if repeated."""
        supervisor, self._supervisor = self._supervisor, None
        for guest in self._guests.values():
            guest.kill()
        self._guests = {}
        if supervisor is not None:
            supervisor.close()
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.directory = None

    def __enter__(self) -> NfsRig:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # -- use -----------------------------------------------------------------------------------

    @property
    def server(self) -> Guest:
        return self._guests["server"]

    @property
    def c1(self) -> Guest:
        return self._guests["c1"]

    @property
    def c2(self) -> Guest:
        return self._guests["c2"]

    @property
    def clients(self) -> tuple[Guest, Guest]:
        return self.c1, self.c2

    def folder(self, version: str, small: bool = False) -> Shared:
        """Make a fresh directory that both clients have mounted as one of `VERSIONS`.

        It is on a disk of gigabytes, or on one of 40 MB.
        """
        kind = "small" if small else "disk"
        for client in self.clients:
            self._mount(client, version, kind)
        self._folders += 1
        name = f"test{self._folders}"
        shared = Shared(f"/run/nfs/{kind}/{version}/{name}", f"/run/exports/{kind}/{name}")
        self.server.run(f"mkdir {shared.served}")
        for client in self.clients:
            client.run(f"ls {shared.path}")
        return shared

    def _mount(self, client: Guest, version: str, kind: str) -> None:
        point = f"/run/nfs/{kind}/{version}"
        if (client.name, point) not in self._mounted:
            # Version 4 has a root of its own for its names.
            source = f"/{kind}" if version.startswith("4") else f"/run/exports/{kind}"
            client.run(
                f"mkdir -p {point} && mount -t nfs -o {VERSIONS[version]} server:{source} {point}"
            )
            self._mounted.add((client.name, point))

    def fetch(self, served: str, name: str) -> Path:
        """A copy, on this machine and by a name of its own, of a file as the server has it."""
        self.server.run(f"cp '{served}' '/run/share/{name}'")
        return self.server.share / name

    # -- what may befall them ------------------------------------------------------------------

    @contextlib.contextmanager
    def cut_off(self, client: Guest, at_write: bool = False) -> Iterator[None]:
        """Have a client's network silent within the block: from its beginning on, or from its next
        NFS WRITE on; then the block begins with that."""
        self.switch.cut(client.number, at_write)
        try:
            wait_until(lambda: self.switch.is_cut(client.number), 60, f"{client.name} to write")
            yield
        finally:
            self.switch.mend(client.number)

    @contextlib.contextmanager
    def frozen(self, client: Guest) -> Iterator[None]:
        """Have a client stand still within the block."""
        client.freeze()
        try:
            yield
        finally:
            client.thaw()

    def reboot_server(self) -> None:
        """The server's power goes, and comes back. Its clients may claim their locks again for
        `LEASE` seconds, in which nobody gets others."""
        self.server.kill()
        self.server.boot()
        self.server.await_ready()

    def restart_nfsd(self) -> None:
        """The same without a boot: the server forgets all locks."""
        self._nfsd("restart")

    def _nfsd(self, word: str) -> None:
        self.server.run(f"bash {Path(__file__).parent}/nfsd.sh {word}")

    @contextlib.contextmanager
    def readonly(self) -> Iterator[None]:
        """Export read-only within the block."""
        self._nfsd("readonly")
        try:
            yield
        finally:
            self._nfsd("writable")

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Have no byte free on the small disk within the block."""
        fill = "/run/exports/small/fill"
        for size in ("64k", "4k", "1k"):
            self.server.run(f"dd if=/dev/zero bs={size} of={fill}-{size} 2>&1 || true")
        try:
            yield
        finally:
            self.server.run(f"rm -f {fill}-*")

    @contextlib.contextmanager
    def clock_off(self, client: Guest, seconds: float) -> Iterator[None]:
        """Have a client's time of day so far off the right one within the block."""
        client.run(f"date --set=@{time.time() + seconds:.3f}")
        try:
            yield
        finally:
            client.run(f"date --set=@{time.time():.3f}")
