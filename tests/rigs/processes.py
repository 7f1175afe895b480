"""Finds the processes that Slurm made on this host, and kills them.

Knows how to tell one cluster's steps from another's by looking at the machine; when to do so is
left to `tests.rigs.slurm`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil


def step_daemons(spool: Path) -> list[psutil.Process]:
    """The slurmstepds of one node or of all: those that hold sockets below a spool directory."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.info["name"] == "slurmstepd" and any(
                str(connection.laddr).startswith(f"{spool}/")
                for connection in process.net_connections("unix")
            ):
                found.append(process)
    return found


def below(process: psutil.Process) -> list[psutil.Process]:
    """The descendants of a process; none when it is gone."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill(processes: list[psutil.Process]) -> None:
    """Send SIGKILL and return when they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
