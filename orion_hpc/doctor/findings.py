"""The findings of ``orion-hpc doctor``: the coordinator fills them in, the diagnosis reads them.

Data only; the verdicts are made in :mod:`orion_hpc.doctor.diagnosis`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orion_hpc.doctor.host_facts import HostFacts
from orion_hpc.doctor.lock_facts import Tried
from orion_hpc.doctor.quota import Quota


@dataclass(slots=True)
class LockReport:
    """One party's result for the lock; see :class:`~orion_hpc.doctor.probes.Contention`."""

    name: str
    held: int
    overlaps: int
    trouble: str = ""


@dataclass(slots=True)
class Findings:
    """All findings; a default value means: not checked, or not known.

    Attributes
    ----------
    storage : str
        The database that jobs would use.
    local : str
        Why only this host was checked, ``''`` where jobs were submitted.
    asked : int
        How many tasks, or local processes, were requested.
    here : HostFacts or None
        This host; None: the storage can't be used at all, for the reason in ``trouble``; ``hint``
        says what to do.
    nodes : list of HostFacts
        From the tasks that reported.
    started : bool
        Whether tasks were started at all.
    missing : str
        Why the other tasks didn't report.
    logs : list of str
        The last log lines of tasks that didn't report.
    slurm : dict
        Slurm's commands, and the error of each (``''``: it answered).
    cluster : str or None
        Slurm's name of the cluster.
    refused, refused_hint : str
        Why the jobs couldn't be submitted, and what to do.
    lock, database_lock, database_trouble, database_hint : str
        The lock that was tried; that of the database, where there is one; why the database can't be
        opened, and what to do.
    parts : list of LockReport
        Each party's result for the lock, this host's included.
    silent : list of str
        Nodes that stopped answering.
    tried : list of Tried
        Which of the locks that this host held others could take, too.
    appended, expected : int or None
        Trials that all parties found in the journal, and that should have been there.
    lost : dict
        How many trials each party didn't find.
    journal_trouble : list of str
        Errors of the journal.
    delays : dict
        Seconds until an append was visible, by node.
    blind : list of str
        Nodes that didn't see any append.
    quota, quota_trouble
        What is left of the quota; why that isn't known.
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
