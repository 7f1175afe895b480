"""A private CephFS: one monitor, manager, object store (in memory) and metadata server, and mounts
of it by `ceph-fuse`, for the tests.

No authentication, no second copy of anything. All daemons listen at one loopback address that they
share with nobody, so that their usual ports are theirs. There is no directory of a server to look
into past all caches: `served` is a third mount, whose client has to ask the metadata server what
the others may keep in their caches.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.rigs.two_mounts import MountError, TwoMounts, find_program, missing_for_mounts

_PROGRAMS = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-mds", "ceph-fuse", "monmaptool")
_PACKAGES = "ceph-common ceph-fuse ceph-mds ceph-mgr ceph-mon ceph-osd"
_MON_PORT, _MON_PORT_V1 = 3300, 6789
_CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = {monitors}
mon initial members = a
public network = 127.0.0.0/8
public addr = {address}
cluster addr = {address}
ms bind ipv6 = false
auth cluster required = none
auth service required = none
auth client required = none
keyring = {here}/keyring
run dir = {here}/run
admin socket = {here}/run/$name.$pid.asok
pid file =
crash dir = {here}/run
log file = {here}/log/$name.log
log flush on exit = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
[mon]
mon data = {here}/mon
[mgr]
mgr data = {here}/mgr
mgr initial modules =
[osd]
osd data = {here}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
[mds]
mds data = {here}/mds
"""


def missing_for_cephfs() -> str | None:
    """Why it can't be had here, or None when it can."""
    return missing_for_mounts(_PROGRAMS, _PACKAGES)


class CephFS(TwoMounts):
    """See `TwoMounts`."""

    kind = "cephfs"

    def evict(self, mount: Path) -> None:
        """Have the metadata server shut out the client of one of the mounts."""
        clients: list[dict[str, Any]] = json.loads(self._ceph("tell", "mds.a", "client", "ls"))
        (number,) = [
            client["id"]
            for client in clients
            if client["client_metadata"].get("mount_point") == str(mount)
        ]
        self._ceph("tell", "mds.a", "client", "evict", f"id={number}")

    def _start_server(self) -> None:
        here = self._path("")
        for name in ("mon", "mgr", "osd", "mds", "run", "log", "served"):
            (here / name).mkdir()
        self._configure(here)
        monitor = self._start("mon")
        self._wait(self._answers, monitor, "the monitor to answer")
        self._start("mgr")
        osd_id = str(uuid.uuid4())
        self._ceph("osd", "new", osd_id)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_id)
        self._start("osd", "0")
        for pool in ("meta", "data"):
            self._ceph("osd", "pool", "create", pool)
        self._ceph("fs", "new", "shared", "meta", "data")
        mds = self._start("mds")
        self._wait(lambda: "up:active" in self._ceph("mds", "stat"), mds, "the MDS to be active")
        self._mount(self.served)

    def _configure(self, here: Path) -> None:
        address, fsid = _free_address(), str(uuid.uuid4())
        monitors = f"[v2:{address}:{_MON_PORT},v1:{address}:{_MON_PORT_V1}]"
        text = _CONFIGURATION.format(here=here, address=address, fsid=fsid, monitors=monitors)
        (here / "ceph.conf").write_text(text)
        (here / "keyring").touch()
        monmap = f"{here}/monmap"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitors, monmap)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)

    def _start(self, daemon: str, name: str = "a") -> int:
        return self._spawn(daemon, f"ceph-{daemon}", *self._conf, "-i", name, "-f")

    def _mount_command(self, mount: Path) -> tuple[str, ...]:
        return ("ceph-fuse", *self._conf, "-n", "client.admin", "-f", str(mount))

    @property
    def _conf(self) -> tuple[str, str]:
        return "-c", f"{self._path('ceph.conf')}"

    def _answers(self) -> bool:
        try:
            self._ceph("mon", "stat")
        except MountError:
            return False
        return True

    def _ceph(self, *words: str) -> str:
        return self._run("ceph", "--connect-timeout", "20", *words)

    def _run(self, program: str, *words: str) -> str:
        conf = () if program == "monmaptool" else self._conf
        done = subprocess.run(
            [find_program(program) or program, *conf, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise MountError(f"{program} {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout


def _free_address() -> str:
    """A loopback address at which nobody listens at a monitor's port."""
    for _ in range(20):
        address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
        with socket.socket() as probe:
            try:
                probe.bind((address, _MON_PORT))
            except OSError:
                continue
            return address
    raise MountError(f"port {_MON_PORT} is taken at all addresses")
