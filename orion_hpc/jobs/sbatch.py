"""Whether ``sbatch`` can be used here, its default options, and the errors of a refusal."""

from __future__ import annotations

import os
from collections.abc import Mapping

from orion_hpc.config import slurm_formats
from orion_hpc.errors import LaunchError
from orion_hpc.slurm.commands import slurm_is_here

_AHEAD = 90
"""The most seconds before the time limit at which Slurm sends its signal."""

_NO_CONTROLLER = ("Unable to contact slurm controller", "configuration source")


def check_slurm() -> None:
    """Raise LaunchError unless jobs can be submitted from this machine."""
    if not slurm_is_here():
        raise LaunchError(
            "there is no sbatch on this machine's PATH",
            "Submit from a login node, or use --executor local.",
        )


def defaults(options: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return the default options of jobs, for those that ``options`` don't have.

    A worker can be requeued, so a preempted job goes back into the queue whatever the site's
    default is. A worker gives notice of its time limit itself; Slurm's signal is for sites where it
    can't find out the limit.
    """
    time = options.get("time")
    limit = slurm_formats.time_limit_seconds(time) if isinstance(time, str) else None
    ahead = _AHEAD if limit is None else max(1, min(_AHEAD, limit // 5))
    chosen: dict[str, str | bool] = {"signal": f"USR2@{ahead}", "open-mode": "append"}
    given = {"requeue", "no-requeue"} & set(options)
    if not given and not {"SBATCH_REQUEUE", "SBATCH_NO_REQUEUE"} & set(os.environ):
        chosen["requeue"] = True
    return {name: value for name, value in chosen.items() if name not in options}


def refusal(output: str, hint: str) -> LaunchError:
    """Return the error for sbatch's ``output``; ``hint`` unless the controller is the cause."""
    if any(sign in output for sign in _NO_CONTROLLER):
        hint = "Is this a login node? --executor local runs here."
    elif "timed out" in output or "Submitted" in output:
        hint = (
            "Slurm may have taken the jobs all the same: look with 'squeue --me', and cancel what "
            "is there before you submit again."
        )
    return LaunchError(f"sbatch refused the jobs: {output.strip() or 'it said nothing'}", hint)
