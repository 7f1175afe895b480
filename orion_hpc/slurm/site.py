"""What the site's administrators have set: ``scontrol show config``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from orion_hpc.slurm.commands import ask

_LINE = re.compile(r"^(\w+)\s*=\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Site:
    """Settings of slurm.conf(5); None where Slurm doesn't say.

    Attributes
    ----------
    cluster : str or None
        Its name.
    kill_wait : float or None
        Seconds from SIGTERM to SIGKILL.
    max_array : int or None
        How many tasks one job array may have at most: the smaller one of ``MaxArraySize`` (indices
        from 0 on) and ``max_array_tasks``.
    """

    cluster: str | None = None
    kill_wait: float | None = None
    max_array: int | None = None


def ask_site() -> Site:
    """Ask the controller; a site of Nones where it doesn't answer."""
    return read_site(ask("scontrol", "show", "config", tries=2).said)


def complaints() -> dict[str, str]:
    """Ask each of Slurm's commands something harmless; return what it says against it, or ``''``.

    ``sacct`` is among them, which many sites don't have.
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


def read_site(said: str) -> Site:
    """Return what the text that ``scontrol show config`` prints tells."""
    settings = dict(_LINE.findall(said))
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
