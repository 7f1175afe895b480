"""Tells which workers are gone because their Slurm jobs are, before their silence tells, and why.

What proves that is :mod:`orion_hpc.slurm.proof`'s to say; here it is decided of whom to ask, and
how often.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import cached_property

from orion_hpc.files.identity import Identity
from orion_hpc.model.trial import CANCELLED, OUT_OF_MEMORY, PREEMPTED, TIMED_OUT
from orion_hpc.slurm.proof import ended_runs
from orion_hpc.slurm.site import ask_site
from orion_hpc.storage.heartbeat import Sign, signs, take_turn

CLUSTER = "cluster"
"""What a sign of life calls the cluster in which its worker's job runs."""

_CAUSES = {
    "PREEMPTED": PREEMPTED,
    "REQUEUED": PREEMPTED,  # of a lost node or by an administrator, at times; never by the trial
    "TIMEOUT": TIMED_OUT,
    "DEADLINE": TIMED_OUT,
    "CANCELLED": CANCELLED,
    "OUT_OF_MEMORY": OUT_OF_MEMORY,
}
"""What Slurm's words mean for a trial. Of others, such as FAILED, its worker was lost."""

_EVERY = 60.0
"""Seconds between two questions of all workers of an experiment together."""


class EndedJobs:
    """Asks Slurm for those whose signs of life it is given.

    Parameters
    ----------
    folder : str
        Where the signs of life of the experiment's workers lie.
    in_turns : bool, default False
        For workers, who take turns in asking: a thousand that look for work would ask a thousand
        times. A command asks whenever it likes.

    Workers leave a living worker in peace: they ask of those that missed a sign only.
    """

    def __init__(self, folder: str, in_turns: bool = False) -> None:
        self._folder = folder
        self._in_turns = in_turns
        self._told: dict[str, str] = {}

    def __call__(self, signs: Mapping[str, Sign]) -> set[str]:
        """Return the names of those that are known to be gone."""
        suspects = {
            name: run
            for name, sign in signs.items()
            if (not self._in_turns or sign.age > sign.interval) and (run := self._run(name, sign))
        }
        if not suspects or (self._in_turns and not take_turn(self._folder, _EVERY)):
            return set()
        return set(self._ask(suspects))

    def causes(self, workers: Collection[str]) -> dict[str, str]:
        """Return why those of ``workers``, who are gone, are gone by Slurm's word.

        This is asked without turns: it is asked once of each, and decides whether its trial is to
        blame.
        """
        known = {name: how for name, how in self._told.items() if name in workers}
        if any(_in_slurm(name) for name in workers if name not in known):
            found = signs(self._folder)
            rest = {name: found[name] for name in workers if name in found and name not in known}
            known |= self._ask({name: run for name in rest if (run := self._run(name, rest[name]))})
        self._told = {}
        return {name: _CAUSES[how] for name, how in known.items() if how in _CAUSES}

    def _ask(self, runs: Mapping[str, str]) -> dict[str, str]:
        """Return how those of ``runs`` ended that did, by their workers' names."""
        ended = ended_runs(set(runs.values()))
        told = {name: ended[run] for name, run in runs.items() if run in ended}
        self._told |= told
        return told

    def _run(self, name: str, sign: Sign) -> str:
        """Return what Slurm calls the run of a worker's job, ``''`` if that isn't this cluster's.

        Job ids begin anew in each cluster, and several may share a file system.
        """
        who = Identity.parse(name)
        if who is None or not _in_slurm(name) or not (cluster := sign.about.get(CLUSTER)):
            return ""
        return who.job if cluster == self._cluster else ""

    @cached_property
    def _cluster(self) -> str | None:
        return os.environ.get("SLURM_CLUSTER_NAME") or ask_site().cluster


def _in_slurm(name: str) -> bool:
    who = Identity.parse(name)
    return who is not None and bool(who.job) and not who.job.startswith("local-")
