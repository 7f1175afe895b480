"""Finds out from Slurm which workers' jobs have ended, before their silence shows it, and which are
suspended.

What proves that is in :mod:`orion_hpc.slurm.proof`; here it is decided for which jobs and how often
to ask, and whether a suspended worker keeps its trials.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from functools import cached_property

from orion_hpc.journal.heartbeat import (
    Liveness,
    Sign,
    read_suspended,
    signs,
    take_turn,
    write_suspended,
)
from orion_hpc.model.trial_record import (
    CANCELLED,
    OUT_OF_MEMORY,
    PREEMPTED,
    TIMED_OUT,
    WORKER_SUSPENDED,
)
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.slurm.proof import known_runs
from orion_hpc.slurm.site import ask_site

log = logging.getLogger(__name__)

CLUSTER = "cluster"
"""The key in a sign of life of the cluster in which its worker's job runs."""

ON_SUSPEND = "on_suspend"
"""The key in it of what becomes of the worker's trials while it is suspended."""

_CAUSES = {
    "PREEMPTED": PREEMPTED,
    "REQUEUED": PREEMPTED,  # of a lost node or by an administrator, at times; never by the trial
    "TIMEOUT": TIMED_OUT,
    "DEADLINE": TIMED_OUT,
    "CANCELLED": CANCELLED,
    "OUT_OF_MEMORY": OUT_OF_MEMORY,
    "SUSPENDED": WORKER_SUSPENDED,
}
"""The cause for a trial by its job's state. With others, such as FAILED, its worker was lost."""

_EVERY = 60.0
"""Seconds between two requests of all workers of an experiment together."""

_BELIEVED = 1.5 * _EVERY
"""Seconds for which a list of suspended workers holds: until the next one's turn is through."""

_HANDED_ON = "SUSPENDED"


class JobStates:
    """Asks Slurm for the states of jobs, by their workers' signs of life.

    Parameters
    ----------
    folder : str
        Where the signs of life of the experiment's workers lie.
    for_worker : bool, default False
        A thousand workers that look for work would ask a thousand times: they take turns, and ask
        only about workers that missed a sign. They also hand on what suspended workers hold, since
        they are there to take it. A command asks every time.
    """

    def __init__(self, folder: str, for_worker: bool = False) -> None:
        self._folder = folder
        self._for_worker = for_worker
        self._known: dict[str, str] = {}
        self._asked: set[str] = set()
        self._suspended: set[str] = set()

    def __call__(self, signs: Mapping[str, Sign], silent: Collection[str] = ()) -> Liveness:
        """Return which workers are known to be gone, and which are only suspended.

        ``silent`` would count as lost otherwise. About them it asks without turns, unless others
        know already: the answer decides whether their trials are at fault.
        """
        self._known, self._asked = {}, set()
        runs = self.runs(signs)
        due, believed = set(runs), set()
        if self._for_worker:
            due = {name for name in runs if signs[name].age > signs[name].interval}
            waiting = due.intersection(silent)
            believed = read_suspended(self._folder, _BELIEVED) & waiting if waiting else set()
            if not due or not take_turn(self._folder, _EVERY):
                due = waiting - believed
        ended, suspended = self._ask({name: runs[name] for name in due})
        suspended |= believed - due
        if self._for_worker and due and (suspended or self._suspended):
            write_suspended(self._folder, suspended)
        self._remember(signs, due, suspended)
        handed_on = {name for name in suspended if self._hands_on(signs[name], name in silent)}
        self._known |= dict.fromkeys(handed_on, _HANDED_ON)
        return Liveness(handed_on.union(ended), suspended - handed_on)

    def causes(self, workers: Collection[str]) -> dict[str, str]:
        """Return why ``workers`` are gone, for those of which Slurm says so.

        Asks without turns: once about each, and the answer decides whether its trial is at fault.
        """
        known = {name: how for name, how in self._known.items() if name in workers}
        rest = [name for name in workers if name not in known and name not in self._asked]
        if any(map(run_of, rest)):
            found = signs(self._folder)
            ended, _ = self._ask(self.runs({name: found[name] for name in rest if name in found}))
            known |= ended
        return {name: _CAUSES[how] for name, how in known.items() if how in _CAUSES}

    def runs(self, signs: Mapping[str, Sign]) -> dict[str, str]:
        """Return Slurm's names of the runs of these workers' jobs, for those in this cluster."""
        return {name: run for name, sign in signs.items() if (run := self._run(name, sign))}

    def _ask(self, runs: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
        """Return how those of ``runs`` ended that did, by their workers' names, and which of them
        are suspended; without an answer, those that were the last time."""
        if not runs:
            return {}, set()
        answer = known_runs(set(runs.values()))
        if answer is None:
            return {}, self._suspended & set(runs)
        ended = {name: answer.ended[run] for name, run in runs.items() if run in answer.ended}
        self._known |= ended
        self._asked |= set(runs)
        return ended, {name for name, run in runs.items() if run in answer.suspended}

    def _remember(self, signs: Mapping[str, Sign], asked: set[str], suspended: set[str]) -> None:
        """Record the suspended workers, until something else is known or there is a new sign."""
        for name in sorted(suspended - self._suspended):
            log.info("worker %s is suspended, Slurm says", name)
        before = {
            name
            for name in self._suspended - asked
            if name in signs and signs[name].age > signs[name].interval
        }
        self._suspended = before | suspended

    def _hands_on(self, sign: Sign, silent: bool) -> bool:
        """Return whether a suspended worker's trials are handed on now."""
        if not self._for_worker:
            return False
        wanted = sign.about.get(ON_SUSPEND)
        return wanted == "release" or (wanted != "keep" and silent)

    def _run(self, name: str, sign: Sign) -> str:
        """Return Slurm's name of the run of a worker's job, ``''`` if that isn't this cluster's.

        Job ids begin anew in each cluster, and several may share a file system.
        """
        run, cluster = run_of(name), sign.about.get(CLUSTER)
        return run if run and cluster and cluster == self._cluster else ""

    @cached_property
    def _cluster(self) -> str | None:
        return os.environ.get("SLURM_CLUSTER_NAME") or ask_site().cluster


def run_of(name: str) -> str:
    """Return Slurm's name of the run of a worker's job in its cluster, ``''`` outside of one."""
    who = Identity.parse(name)
    if who is None or who.job.startswith("local-"):
        return ""
    # A Python program's worker has a number of its own within the job.
    return who.job.partition("+")[0]
