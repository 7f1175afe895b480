"""The identity of a process, as text that another process can check.

A process id alone is meaningless on another host, in another container or after a reboot. So an
identity holds the host, the process id, a digest of boot and pid namespace, and the start time.
Only if host and digest match can a process be *proved* gone.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_FORM = re.compile(
    r"(?P<host>[^:]+):(?P<pid>\d+):(?P<realm>[0-9a-f]{6})\.(?P<start>\d+)(:(?P<job>.+))?"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's name, ``host:pid:realm.start`` and in a job ``:job``.

    ``start`` is the number of the kernel's ticks from boot to the process's start. A time of day
    would change with every correction of the clock, and two processes would get different values.
    ``job`` is the launcher's name of the job: in Slurm ``ARRAY_TASK`` (or the job id), a dot, and
    how often the task was requeued.
    """

    host: str
    pid: int
    realm: str
    start: int
    job: str = ""

    def __str__(self) -> str:
        text = f"{self.host}:{self.pid}:{self.realm}.{self.start}"
        return f"{text}:{self.job}" if self.job else text

    @classmethod
    def parse(cls, text: str) -> Identity | None:
        """Return the identity that ``text`` names, or None if it isn't one."""
        match = _FORM.fullmatch(text)
        if match is None:
            return None
        return cls(
            match["host"],
            int(match["pid"]),
            match["realm"],
            int(match["start"]),
            match["job"] or "",
        )

    @property
    def provably_gone(self) -> bool:
        """Whether the process has certainly ended; False also means "unknown"."""
        return self._is_here and not self._runs

    @property
    def provably_alive(self) -> bool:
        """Whether the process certainly runs; False also means "unknown"."""
        return self._is_here and self._runs

    @property
    def stopped(self) -> bool:
        """Whether the process is seen to be stopped here: by a signal, a debugger or Slurm."""
        if not self._is_here:
            return False
        try:
            state, start = _stat(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state in "Tt" and start == self.start

    @property
    def _is_here(self) -> bool:
        return (self.host, self.realm) == (_host(), _realm())

    @property
    def _runs(self) -> bool:
        try:
            state, start = _stat(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state not in "ZX" and start == self.start


def own(environ: Mapping[str, str] = os.environ) -> Identity:
    """Return the identity of this process, with the job that ``environ`` describes."""
    return Identity(_host(), os.getpid(), _realm(), start_of(os.getpid()), job_name(environ))


def start_of(pid: int) -> int:
    """Return the number of ticks from boot to the start of a process of this host."""
    return _stat(pid)[1]


def _stat(pid: int) -> tuple[str, int]:
    """Return state and start of a process, from proc(5); psutil has the start as a time of day."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The program's name is in parentheses and may contain anything, even parentheses.
        fields = file.read().rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[19])


def job_name(environ: Mapping[str, str]) -> str:
    """Return the name of the job that ``environ`` describes, ``''`` outside of jobs."""
    job = environ.get("SLURM_JOB_ID")
    if job is None:
        local = environ.get("SUBMITIT_LOCAL_JOB_ID")
        return f"local-{local}" if local else ""
    if "SLURM_ARRAY_JOB_ID" in environ:
        job = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return f"{job}.{environ.get('SLURM_RESTART_COUNT', '0')}"


@cache
def _host() -> str:
    return socket.gethostname().replace(":", "-")


@cache
def _realm() -> str:
    """Return six hex digits that are equal for two processes if they see the same process ids."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    namespace = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:6]
