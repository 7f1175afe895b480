"""Who a process is, in words that another process can check.

A process id alone says nothing on another host, in another container or after a reboot. An identity
therefore carries the host, the process id, a digest of boot and pid namespace, and the start time;
only where all of the first three match can another process be *proved* gone.
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
_START_TOLERANCE = 5
"""Seconds. Start times are computed from the boot time, which moves when a clock is set."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A worker's name, ``host:pid:realm.start`` and in a job ``:job``.

    ``job`` is what the launcher calls the job: in Slurm ``ARRAY_TASK`` (or the job id), a dot, and
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
        """Whether the process certainly doesn't run any more; False also means "can't tell"."""
        if (self.host, self.realm) != (_host(), _realm()):
            return False
        import psutil

        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(process.create_time() - self.start) > _START_TOLERANCE
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


def own(environ: Mapping[str, str] = os.environ) -> Identity:
    """Return the identity of this process in the job that ``environ`` tells of."""
    import psutil

    start = int(psutil.Process().create_time())
    return Identity(_host(), os.getpid(), _realm(), start, job_name(environ))


def job_name(environ: Mapping[str, str]) -> str:
    """Return what the job is called that ``environ`` tells of, ``''`` outside of one."""
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
    """Return six hex digits that two processes share if they see the same process ids."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    namespace = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:6]
