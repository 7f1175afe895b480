"""Tells which workers are gone because their Slurm jobs are, before their silence tells.

What proves that is :mod:`orion_hpc.slurm.proof`'s to say; here it is decided of whom to ask, and
how often.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property

from orion_hpc.files.identity import Identity
from orion_hpc.slurm.proof import ended_runs
from orion_hpc.slurm.site import ask_site
from orion_hpc.storage.heartbeat import Sign, take_turn

CLUSTER = "cluster"
"""What a sign of life calls the cluster in which its worker's job runs."""

_EVERY = 60.0
"""Seconds between two questions of all workers of an experiment together."""


class EndedJobs:
    """Asks Slurm for those whose signs of life it is given.

    Parameters
    ----------
    turns : str or None
        The folder in which the workers of an experiment take turns in asking; None: a command asks,
        whenever it likes. A thousand workers that look for work would ask a thousand times.

    Workers leave a living worker in peace: they ask of those that missed a sign only.
    """

    def __init__(self, turns: str | None = None) -> None:
        self._turns = turns

    def __call__(self, signs: Mapping[str, Sign]) -> set[str]:
        """Return the names of those that are known to be gone."""
        suspects = {
            name: run
            for name, sign in signs.items()
            if (self._turns is None or sign.age > sign.interval) and (run := self._run(name, sign))
        }
        if not suspects or (self._turns is not None and not take_turn(self._turns, _EVERY)):
            return set()
        ended = ended_runs(set(suspects.values()))
        return {name for name, run in suspects.items() if run in ended}

    def _run(self, name: str, sign: Sign) -> str:
        """Return what Slurm calls the run of a worker's job, ``''`` if that isn't this cluster's.

        Job ids begin anew in each cluster, and several may share a file system.
        """
        who = Identity.parse(name)
        if who is None or not who.job or not (cluster := sign.about.get(CLUSTER)):
            return ""
        return who.job if cluster == self._cluster else ""

    @cached_property
    def _cluster(self) -> str | None:
        return os.environ.get("SLURM_CLUSTER_NAME") or ask_site().cluster
