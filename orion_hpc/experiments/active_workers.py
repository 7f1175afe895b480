"""Finds the workers of a database's experiments that are alive, by their signs of life.

Commands that no worker may run beside refuse with :func:`refuse_if_alive`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

from orion_hpc.errors import WorkersAlive
from orion_hpc.journal.heartbeat import Sign, signs
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.worker.job_states import JobStates

_MAX_LISTED = 4
"""Workers that an error lists."""


def living_workers(database: str, title: str | None = None) -> dict[str, list[Sign]]:
    """Return the signs of life of the workers that may be alive, by experiment.

    The experiment is ``title``, or the name of its folder.

    Workers that Slurm reports as suspended are silent but come back, so they are included.

    Parameters
    ----------
    database : str
        Path of the database.
    title : str, optional
        One experiment; by default all that have a folder, also those that the database doesn't
        hold.

    Returns
    -------
    dict of str to list of Sign
    """
    folders = {} if title is None else {title: layout.workers_folder(database, title)}
    if title is None:
        root = layout.files_folder(database)
        with contextlib.suppress(OSError):
            names = sorted(os.listdir(root))
            folders = {name: os.path.join(root, name, layout.WORKERS) for name in names}
    alive: dict[str, list[Sign]] = {}
    for one, folder in folders.items():
        if os.path.isdir(folder):
            known = signs(folder)
            silent = {name: sign for name, sign in known.items() if sign.silent}
            gone = silent.keys() - JobStates(folder)(silent).spared
            if found := [known[name] for name in sorted(known.keys() - gone)]:
                alive[one] = found
    return alive


def refuse_if_alive(database: str, wanted: str, title: str | None = None) -> None:
    """Raise WorkersAlive if a worker may be alive, with the commands that stop the workers.

    Parameters
    ----------
    database : str
        Path of the database.
    wanted : str
        Start of the message: the action that is refused.
    title : str, optional
        One experiment, by default all.
    """
    alive = living_workers(database, title)
    if not alive:
        return
    workers = [sign.worker for found in alive.values() for sign in found]
    listed = ", ".join(workers[:_MAX_LISTED]) + (", …" if len(workers) > _MAX_LISTED else "")
    count = "1 worker runs" if len(workers) == 1 else f"{len(workers)} workers run"
    raise WorkersAlive(
        f"{wanted} while {count} on {', '.join(alive)}: {listed}",
        f"Stop them with '{how_to_stop(alive)}'. Try again when they have ended.",
    )


def how_to_stop(alive: Mapping[str, Sequence[Sign]]) -> str:
    """Return the shell commands that stop these workers, as one line."""
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
