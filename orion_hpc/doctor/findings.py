"""What ``orion-hpc doctor`` found: one record that the coordinator fills and the diagnosis reads.

Data only. What it amounts to is :mod:`orion_hpc.doctor.diagnosis`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orion_hpc.doctor.host_facts import HostFacts
from orion_hpc.doctor.lock_facts import Tried
from orion_hpc.doctor.quota import Quota


@dataclass(slots=True)
class LockReport:
    """What one party found of the lock: see :class:`~orion_hpc.doctor.probes.Contention`."""

    name: str
    held: int
    overlaps: int
    trouble: str = ""


@dataclass(slots=True)
class Findings:
    """All that was found; what wasn't looked for, or couldn't be found, is as here.

    Attributes
    ----------
    storage : str
        The database that jobs would use.
    local : str
        Why only this host was looked at, ``''`` where jobs were submitted.
    asked : int
        How many tasks, or local processes, were started.
    here : HostFacts or None
        This host; None: ``trouble`` says why the storage can't be used at all, and ``hint`` what
        to do about that.
    nodes : list of HostFacts
        From the tasks that came.
    started : bool
        Whether they were started at all.
    missing : str
        Why the others didn't come.
    logs : list of str
        What jobs wrote that didn't come.
    slurm : dict
        Slurm's commands, and what each said against being asked (``''``: it answered).
    refused, refused_hint : str
        What was said against the jobs.
    lock, database_lock, database_trouble, database_hint : str
        The lock that was tried; that of the database, where there is one; why it can't be opened,
        and what to do about that.
    parts : list of LockReport
        What the parties, this host among them, found of the lock. ``silent`` didn't tell.
    tried : list of Tried
        Which of the locks that this host held the others had, too.
    appended, expected : int or None
        Trials that all found in the journal, and that should have been there.
    lost : dict
        How many of them weren't found, by whom.
    journal_trouble : list of str
    delays : dict
        Seconds from an append to its being seen, by node. ``blind`` nodes didn't see any.
    quota, quota_trouble
        What is left of it; why that isn't known.
    """

    storage: str
    local: str = ""
    asked: int = 0
    here: HostFacts | None = None
    trouble: str = ""
    hint: str = ""
    nodes: list[HostFacts] = field(default_factory=list)
    started: bool = False
    missing: str = ""
    logs: list[str] = field(default_factory=list)
    slurm: dict[str, str] = field(default_factory=dict)
    cluster: str | None = None
    refused: str = ""
    refused_hint: str = ""
    lock: str = ""
    database_lock: str = ""
    database_trouble: str = ""
    database_hint: str = ""
    parts: list[LockReport] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    tried: list[Tried] = field(default_factory=list)
    appended: int | None = None
    expected: int | None = None
    lost: dict[str, int] = field(default_factory=dict)
    journal_trouble: list[str] = field(default_factory=list)
    delays: dict[str, list[float]] = field(default_factory=dict)
    blind: list[str] = field(default_factory=list)
    quota: Quota | None = None
    quota_trouble: str = ""

    @property
    def hosts(self) -> list[HostFacts]:
        return [self.here, *self.nodes] if self.here is not None else self.nodes
