"""The site's settings, from ``scontrol show config``, and whether Slurm's commands answer."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from orion_hpc.slurm.commands import ask

_LINE = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Site:
    """Settings of slurm.conf(5); None: not known.

    Attributes
    ----------
    cluster : str or None
        The cluster's name.
    kill_wait : float or None
        Seconds from SIGTERM to SIGKILL.
    max_array : int or None
        The largest number of tasks in a job array: the minimum of ``MaxArraySize`` (indices from 0)
        and ``max_array_tasks``.
    """

    cluster: str | None = None
    kill_wait: float | None = None
    max_array: int | None = None


def ask_site() -> Site:
    """Return the site's settings, all None where the controller doesn't answer."""
    return read_site(ask("scontrol", "show", "config", tries=2).output)


def complaints() -> dict[str, str]:
    """Run each of Slurm's commands with a harmless request; return its error, or ``''``.

    ``sacct`` is among them, though many sites don't have it.
    """
    questions = {
        "sbatch": ("--version",),
        "squeue": ("--noheader", "--format=%i", f"--user={os.getuid()}"),
        "scontrol": ("ping",),
        "scancel": ("--version",),
        "sacct": ("--noheader", "--allocations", "--format=JobID", "--starttime=now"),
    }
    answers = {name: ask(name, *words, tries=2) for name, words in questions.items()}
    return {
        name: "" if answer.ok else answer.error.partition("\n")[0] or "it failed"
        for name, answer in answers.items()
    }


def read_site(output: str) -> Site:
    """Return the settings in the output of ``scontrol show config``."""
    settings = dict(_LINE.findall(output))
    scheduler = settings.get("SchedulerParameters", "")
    tasks = re.search(r"(?:^|,)max_array_tasks=(\d+)", scheduler)
    bounds = [_number(settings.get("MaxArraySize")), float(tasks[1]) if tasks else None]
    known = [int(bound) for bound in bounds if bound]
    return Site(
        settings.get("ClusterName") or None,
        _number(settings.get("KillWait")),
        min(known) if known else None,
    )


def _number(text: str | None) -> float | None:
    match = re.match(r"\d+", text or "")
    return float(match[0]) if match else None
