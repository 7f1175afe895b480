"""A private GlusterFS: a daemon, a volume of one brick, and two mounts of it, for the tests.

It is a whole one: `glusterd` makes the volume and starts the brick, and the mounts get from it the
client's stack with all its caches, at the default options. All of it lives in one temporary
directory and listens at one loopback address that it shares with nobody, since glusterd's port
(24007) can't be chosen: what it starts itself looks for it there. The directory for the brick's
control socket can't be chosen either (/var/run/gluster), so glusterd sees another /var/run than the
rest of the machine.
"""

from __future__ import annotations

import random
import socket
import subprocess
from pathlib import Path

from tests.rigs.two_mounts import MountError, TwoMounts, find_program, missing_for_mounts

_PORT = 24007
_VOLFILE = """\
volume management
    type mgmt/glusterd
    option working-directory {directory}/work
    option run-directory {directory}/run/gluster
    option logging-directory {directory}/log
    option glusterd-sockfile {directory}/control
    option transport-type socket
    option transport.address-family inet
    option transport.socket.bind-address {address}
    option transport.socket.listen-port {port}
    option event-threads 1
end-volume
"""


def missing_for_glusterfs() -> str | None:
    """Why it can't be had here, or None when it can."""
    return missing_for_mounts(("glusterd", "gluster", "glusterfs"), "glusterfs-server")


class GlusterFS(TwoMounts):
    """See `TwoMounts`."""

    kind = "glusterfs"

    def _start_server(self) -> None:
        here = self._path("")
        for name in ("work", "run/gluster", "log"):
            (here / name).mkdir(parents=True)
        self._address = _free_address()
        volfile = here / "glusterd.vol"
        volfile.write_text(_VOLFILE.format(directory=here, address=self._address, port=_PORT))
        glusterd = self._spawn(
            "glusterd",
            *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
            *('mount --bind "$1" /var/run && shift && exec "$@"', "sh", f"{here}/run"),
            *("glusterd", "--no-daemon", f"--volfile={volfile}", f"--pid-file={here}/glusterd.pid"),
            f"--log-file={here}/log/glusterd.log",
        )
        self._wait(lambda: self._gluster("list").returncode == 0, glusterd, "glusterd to answer")
        self._order("create", "shared", f"{self._address}:{self.served}", "force")
        self._order("start", "shared")

    def _mount_command(self, mount: Path) -> tuple[str, ...]:
        return (
            *("glusterfs", "--no-daemon", f"--volfile-server={self._address}"),
            *("--volfile-id=shared", f"--log-file={self._path('log')}/{mount.name}.log"),
            str(mount),
        )

    def _order(self, *words: str) -> None:
        done = self._gluster(*words)
        if done.returncode:
            raise MountError(f"gluster volume {' '.join(words)}: {done.stdout}{done.stderr}")

    def _gluster(self, *words: str) -> subprocess.CompletedProcess[str]:
        here = self._path("")
        options = (f"--glusterd-sock={here}/control", f"--log-file={here}/log/cli.log")
        return subprocess.run(
            [find_program("gluster") or "gluster", "--mode=script", *options, "volume", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _free_address() -> str:
    """A loopback address at which nobody listens at glusterd's port."""
    for _ in range(20):
        # gluster refuses 127.0.0.1 as a host's address.
        address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
        with socket.socket() as probe:
            try:
                probe.bind((address, _PORT))
            except OSError:
                continue
            return address
    raise MountError(f"port {_PORT} is taken at all addresses: does a glusterd of the system run?")
