"""A directory mounted twice by sshfs, without an ssh daemon: sshfs speaks to sftp-server directly.

Each mount has a server process and caches of its own, with sshfs's default options. `flock` is
local to a mount here, as it is to a host on a cluster.
"""

from __future__ import annotations

from pathlib import Path

from tests.rigs.two_mounts import TwoMounts, missing_for_mounts

_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server",
            "/usr/lib/ssh/sftp-server", "/usr/libexec/sftp-server")  # fmt: skip


def _sftp_server() -> str | None:
    return next((path for path in _SERVERS if Path(path).exists()), None)


def missing_for_sshfs() -> str | None:
    """Why it can't be had here, or None when it can."""
    packages = "sshfs openssh-sftp-server"
    if _sftp_server() is None:
        return f"not installed: sftp-server (apt install {packages})"
    return missing_for_mounts(("sshfs", "fusermount3"), packages)


class Sshfs(TwoMounts):
    """See `TwoMounts`."""

    kind = "sshfs"

    def _start_server(self) -> None:
        self.served.mkdir()
        # sshfs gives the command words for ssh, which sftp-server doesn't understand.
        self._path("connect").write_text(f"exec {_sftp_server()}\n")

    def _mount_command(self, mount: Path) -> tuple[str, ...]:
        command = f"ssh_command=/bin/sh {self._path('connect')}"
        return ("sshfs", "-f", "-o", command, f"nowhere:{self.served}", str(mount))
