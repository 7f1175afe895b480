"""Whether ``sbatch`` can be used here, and what is told when it refuses."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orion_hpc.config import slurm_formats
from orion_hpc.errors import LaunchError
from orion_hpc.slurm.commands import slurm_is_here

_AHEAD = 90
"""Seconds before the time limit at which Slurm sends its signal, at most."""

_NO_CONTROLLER = ("Unable to contact slurm controller", "configuration source")


def check_slurm() -> None:
    """Raise LaunchError unless jobs can be submitted from this machine."""
    if not slurm_is_here():
        raise LaunchError(
            "there is no sbatch on this machine's PATH",
            "Submit from a login node, or use --executor local.",
        )


def defaults(options: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return what jobs of this project are submitted with where ``options`` don't say otherwise.

    A worker bears to be requeued, so whatever the site's default is, a preempted job comes back. It
    gives notice of its time limit itself; Slurm's signal is for where it can't learn of that.
    """
    time = options.get("time")
    limit = slurm_formats.time_limit_seconds(time) if isinstance(time, str) else None
    ahead = _AHEAD if limit is None else max(1, min(_AHEAD, limit // 5))
    chosen: dict[str, str | bool] = {"signal": f"USR2@{ahead}", "open-mode": "append"}
    told = {"requeue", "no-requeue"} & set(options)
    if not told and not {"SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"} & set(os.environ):
        chosen["requeue"] = True
    return {name: value for name, value in chosen.items() if name not in options}


def refusal(said: str, hint: str) -> LaunchError:
    """Return the error for what sbatch ``said``; ``hint`` unless it couldn't ask the controller."""
    if any(sign in said for sign in _NO_CONTROLLER):
        hint = "Is this a login node? --executor local runs here."
    elif "timed out" in said or "Submitted" in said:
        hint = (
            "Slurm may have taken the jobs all the same: look with 'squeue --me', and cancel what "
            "is there before you submit again."
        )
    return LaunchError(f"sbatch refused the jobs: {said.strip() or 'it said nothing'}", hint)
