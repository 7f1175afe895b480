"""Who is at work on a database, by the signs of life beside it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from orion_hpc.errors import WorkersAlive
from orion_hpc.journal.heartbeat import Sign, signs
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.worker.job_states import JobStates

_MOST_TOLD = 4


def living_workers(database: str, title: str | None = None) -> dict[str, list[Sign]]:
    """Return the signs of life of workers that aren't known to be silent, by experiment.

    Those that are suspended, by Slurm's word, are silent and come back: they are among them.

    Parameters
    ----------
    database : str
        Its path.
    title : str, optional
        One experiment; by default all that have a folder, whatever the database says.
    """
    titles = [title] if title is not None else []
    if title is None:
        with contextlib.suppress(OSError):
            titles = sorted(os.listdir(layout.files_folder(database)))
    alive: dict[str, list[Sign]] = {}
    for one in titles:
        folder = layout.workers_folder(database, one)
        if os.path.isdir(folder):
            told = signs(folder)
            silent = {name: sign for name, sign in told.items() if sign.silent}
            gone = silent.keys() - JobStates(folder)(silent).spared
            if found := [told[name] for name in sorted(told.keys() - gone)]:
                alive[one] = found
    return alive


def refuse_if_alive(database: str, wanted: str, title: str | None = None) -> None:
    """Raise WorkersAlive if there are any, with what to type; ``wanted`` is what can't be done."""
    alive = living_workers(database, title)
    if not alive:
        return
    workers = [sign.worker for found in alive.values() for sign in found]
    told = ", ".join(workers[:_MOST_TOLD]) + (", …" if len(workers) > _MOST_TOLD else "")
    count = "1 worker is" if len(workers) == 1 else f"{len(workers)} workers are"
    raise WorkersAlive(
        f"{wanted} while {count} at work on {', '.join(alive)}: {told}",
        f"Stop them with '{how_to_stop(alive)}', and try again when they have left.",
    )


def how_to_stop(alive: Mapping[str, Sequence[Sign]]) -> str:
    """Return what to type to stop these workers."""
    jobs: dict[str, None] = {}
    processes: dict[str, list[str]] = {}
    for sign in (sign for found in alive.values() for sign in found):
        who = Identity.parse(sign.worker)
        if who is not None and who.job and not who.job.startswith("local-"):
            jobs[who.job.partition(".")[0].partition("_")[0]] = None
        elif who is not None:
            processes.setdefault(who.host, []).append(str(who.pid))
    commands = [f"scancel {' '.join(jobs)}"] if jobs else []
    commands += [f"kill {' '.join(pids)}  # on {host}" for host, pids in processes.items()]
    return "; ".join(commands)
