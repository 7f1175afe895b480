"""The texts that Slurm's daemons read at their start, made from a description of the cluster.

Knows Slurm's settings and why each is as it is. Pure: it touches no file, no socket and no process;
those are left to `tests.rigs.slurm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each daemon listens on 127.0.0.1; `nodes` has the slurmd of each node by its name."""

    slurmctld: int
    slurmdbd: int
    mariadbd: int
    nodes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster on one host: all its files are below `directory`.

    Each node has `cpus` CPUs and `memory` MB. `extra` adds to or replaces settings of slurm.conf.
    """

    directory: Path
    host: str
    ports: Ports
    cpus: int
    memory: int
    extra: Mapping[str, str]
    accounting: bool


def slurm_conf(site: Site) -> str:
    """The text of slurm.conf, which the daemons and the users' commands read."""
    here, host, ports = site.directory, site.host, site.ports
    settings = {
        "ClusterName": "orion",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": str(ports.slurmctld),
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        # A requeued job waits until its old credential has expired: two minutes by default.
        "AuthInfo": f"socket={here}/munge.socket,cred_expire=5",
        "CredType": "cred/munge",
        "StateSaveLocation": f"{here}/state",
        "SlurmctldPidFile": f"{here}/slurmctld.pid",
        "SlurmctldLogFile": f"{here}/slurmctld.log",
        "SlurmdSpoolDir": f"{here}/%n",
        "SlurmdPidFile": f"{here}/%n.pid",
        "SlurmdLogFile": f"{here}/%n.log",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "DefMemPerCPU": "100",
        # The host has fewer CPUs than its nodes claim; without these two they'd be drained.
        "SlurmctldParameters": "config_overrides",
        "SlurmdParameters": "config_overrides",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "sched_min_interval=0,batch_sched_delay=0,bf_interval=1",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "JobRequeue": "1",
        "ReturnToService": "2",
        "KillWait": "10",
        # A node's death is noticed after both: a call that nobody answers, and the silence.
        "MessageTimeout": "5",
        "SlurmdTimeout": "5",
        "AccountingStorageType": "accounting_storage/none",
        "JobCompType": "jobcomp/none",
    }
    if site.accounting:
        settings |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "127.0.0.1",
            # The door to munged for whoever speaks to slurmdbd; AuthInfo isn't asked there.
            "AccountingStoragePass": f"{here}/munge.socket",
            "AccountingStoragePort": str(ports.slurmdbd),
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "1",
        }
    settings |= site.extra
    lines = [f"{key}={value}" for key, value in settings.items()]
    lines += [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={site.cpus} "
        f"RealMemory={site.memory} State=UNKNOWN"
        for name, port in ports.nodes.items()
    ]
    nodes = ",".join(ports.nodes)
    lines += [
        f"PartitionName=main Nodes={nodes} Default=YES MaxTime=INFINITE PriorityTier=1",
        f"PartitionName=high Nodes={nodes} MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF",
    ]
    return "\n".join(lines) + "\n"


def slurmdbd_conf(site: Site, password: str) -> str:
    """The text of slurmdbd.conf; `password` is the one that `mariadb_sql` gave to the database."""
    here = site.directory
    settings = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={here}/munge.socket",
        "DbdHost": site.host,
        "DbdAddr": "127.0.0.1",
        "DbdPort": str(site.ports.slurmdbd),
        "SlurmUser": "root",
        "LogFile": f"{here}/slurmdbd.log",
        "PidFile": f"{here}/slurmdbd.pid",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "127.0.0.1",
        "StoragePort": str(site.ports.mariadbd),
        "StorageUser": "slurm",
        "StoragePass": password,
    }
    return "\n".join(f"{key}={value}" for key, value in settings.items()) + "\n"


def mariadb_sql(password: str) -> str:
    """What mariadbd runs at its start: a user for slurmdbd, who makes the tables itself."""
    return (
        f"CREATE USER slurm@127.0.0.1 IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON slurm_acct_db.* TO slurm@127.0.0.1;\n"
    )
