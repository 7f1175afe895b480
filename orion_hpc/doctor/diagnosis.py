"""What ``orion-hpc doctor`` found, and what it amounts to: a verdict for each check. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from orion_hpc.doctor.host_facts import HostFacts
from orion_hpc.doctor.lock_facts import Tried, fencing, lock_kinds, reaches_others
from orion_hpc.doctor.mount_facts import (
    is_nfs,
    locks_stay_here,
    mount_verdicts,
    nfs_version,
)
from orion_hpc.doctor.quota import Quota
from orion_hpc.doctor.verdict import FAILED, OK, UNKNOWN, WARNING, Verdict, listed
from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE, LEASE, Mount, is_coherent
from orion_hpc.text import byte_size, counted

_LITTLE, _TOO_LITTLE = 1 << 30, 64 << 20
_FEW_FILES, _TOO_FEW_FILES = 10_000, 200
_MUCH_SKEW = 5.0
"""Seconds."""

_LONG_DELAY = 2.0
"""Seconds until an append is seen; workers that finish a trial of minutes don't mind fewer."""


@dataclass(slots=True)
class Part:
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
    parts : list of Part
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
    parts: list[Part] = field(default_factory=list)
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


def verdicts(found: Findings) -> list[Verdict]:
    """Return a verdict for each check that was made or should have been."""
    return [
        *_slurm(found),
        *_storage(found),
        *_nodes(found),
        *_python(found),
        *_lock(found),
        *_lock_kinds(found),
        *_journal(found),
        *_delay(found),
        *_clocks(found),
    ]


def is_bad(all_: Iterable[Verdict]) -> bool:
    """Return whether one of them failed."""
    return any(one.verdict == FAILED for one in all_)


def diagnosis_lines(all_: Sequence[Verdict]) -> Iterator[str]:
    """Yield the lines that tell them to a person."""
    width = max((len(one.check) for one in all_), default=0)
    for one in all_:
        yield f"{one.verdict:<7}  {one.check:<{width}}  {one.found}"
        if one.advice:
            yield f"{'':7}  {'':{width}}  {one.advice}"


def diagnosis_record(found: Findings, all_: Sequence[Verdict]) -> dict[str, Any]:
    """Return all that was found and the verdicts, for a program."""
    return {
        "failed": is_bad(all_),
        "verdicts": [asdict(one) for one in all_],
        "found": asdict(found),
    }


# -- the checks ------------------------------------------------------------------------------------


def _slurm(found: Findings) -> Iterator[Verdict]:
    if not found.slurm:
        return
    trouble = {name: said for name, said in found.slurm.items() if said and name != "sacct"}
    if trouble:
        told = "; ".join(f"{name}: {said}" for name, said in trouble.items())
        yield Verdict("slurm", FAILED, told, "Is this a login node, and is the controller up?")
        return
    names = listed([name for name in found.slurm if name != "sacct"])
    cluster = f", cluster {found.cluster}" if found.cluster else ""
    yield Verdict("slurm", OK, f"{names} answer{cluster}")
    if found.slurm.get("sacct"):
        yield Verdict(
            "accounting", OK, "sacct doesn't answer here, as on many sites: squeue is asked alone"
        )
    elif "sacct" in found.slurm:
        yield Verdict("accounting", OK, "sacct answers")


def _storage(found: Findings) -> Iterator[Verdict]:
    here = found.here
    if here is None:
        advice = found.hint or "Name another place with --storage."
        yield Verdict("storage", FAILED, found.trouble, advice)
        return
    yield _file_system(found, here)
    yield from mount_verdicts(found.hosts)
    if found.database_trouble:
        yield Verdict(
            "database", FAILED, found.database_trouble,
            found.database_hint or f"'orion-hpc db check {found.storage}' tells more.",
        )  # fmt: skip
    elif found.database_lock in (FLOCK, FLOCK_DATABASE) and here.lock == LEASE:
        yield Verdict(
            "database", WARNING,
            f"it was made with the lock {found.database_lock}, which {_kind(here)} as mounted here "
            "doesn't share",
            "What was found of the lock below counts. A new database would use a lease.",
        )  # fmt: skip
    refused = [host for host in found.hosts if host.trouble]
    if refused:
        told = "; ".join(dict.fromkeys(f"{host.node}: {host.trouble}" for host in refused))
        hints = list(dict.fromkeys(host.hint for host in refused if host.hint))
        yield Verdict(
            "writing", FAILED, told,
            " ".join(hints)
            or "Check quota, permissions and mount options there, or choose another --storage.",
        )  # fmt: skip
    else:
        yield Verdict("writing", OK, f"written to from {_names(found.hosts)}")
    yield _room(here)
    yield _quota(found)


def _file_system(found: Findings, here: HostFacts) -> Verdict:
    told = f"{_kind(here)}, lock {found.lock or here.lock}"
    others = sorted({host.file_system for host in found.nodes} - {here.file_system})
    if others:
        return Verdict(
            "file system", WARNING, f"{told}; on nodes it is {', '.join(map(_named, others))}",
            "Is it the same place on all hosts? What was found from the nodes counts.",
        )  # fmt: skip
    if here.lock != LEASE:
        if _is_a_disk(here.file_system) and not found.local and not found.nodes:
            return Verdict(
                "file system", WARNING, f"{told}; {_kind(here)} is a disk of this host as a rule",
                "Put the database where all nodes see it.",
            )  # fmt: skip
        return Verdict("file system", OK, told)
    if is_nfs(here.mount) and locks_stay_here(here.mount):
        return Verdict("file system", OK, told)  # what there is to say of it, is said of the mount
    if found.lock != LEASE and reaches_others(found.tried, found.lock):
        return Verdict("file system", OK, told)  # whatever the mount table says
    if here.file_system in ("lustre", "beegfs"):
        return Verdict(
            "file system", WARNING, f"{told}: flock stays on the host as it is mounted",
            "A lease works, with some more delay; mounted with locks between hosts it would be "
            "faster: ask who runs it.",
        )  # fmt: skip
    return Verdict(
        "file system", WARNING,
        f"{told}: the mount table doesn't tell whether it shares flock between hosts",
        "A lease works wherever a file can be created exclusively; it costs some delay. What was "
        "tried of the lock kinds, below, tells more.",
    )  # fmt: skip


def _room(here: HostFacts) -> Verdict:
    if here.free is None:
        return Verdict("space", UNKNOWN, "the file system doesn't say how much is free")
    told = f"{byte_size(here.free)} free"
    if here.free_files is not None:
        told += f", room for {here.free_files:,} files"
    return _enough("space", told, here.free, here.free_files, "Free some space there.")


def _quota(found: Findings) -> Verdict:
    quota = found.quota
    if quota is None:
        return Verdict(
            "quota", UNKNOWN, found.quota_trouble or "nothing here tells it",
            "If your site has quotas, see that there is room for logs and results.",
        )  # fmt: skip
    if quota.free is None and quota.free_files is None:
        return Verdict("quota", OK, "none is set")
    left = [] if quota.free is None else [f"{byte_size(quota.free)}"]
    left += [] if quota.free_files is None else [f"{quota.free_files:,} files"]
    told = f"{' and '.join(left)} left"
    return _enough("quota", told, quota.free, quota.free_files, "Remove what you don't need.")


def _enough(check: str, told: str, free: int | None, files: int | None, advice: str) -> Verdict:
    def below(bytes_: int, count: int) -> bool:
        return (free is not None and free < bytes_) or (files is not None and files < count)

    if below(_TOO_LITTLE, _TOO_FEW_FILES):
        return Verdict(check, FAILED, told, advice)
    if below(_LITTLE, _FEW_FILES):
        return Verdict(check, WARNING, told, advice)
    return Verdict(check, OK, told)


def _nodes(found: Findings) -> Iterator[Verdict]:
    if found.here is None:
        return
    if found.local:
        yield Verdict(
            "nodes", UNKNOWN, f"this host alone was looked at: {found.local}",
            "Run it on a login node, with --nodes 2.",
        )  # fmt: skip
        if found.missing:
            told = f"{len(found.nodes)} of {found.asked} processes came; {found.missing}"
            yield Verdict("processes", FAILED, "; ".join([told, *found.logs]))
        return
    if found.refused:
        yield Verdict("nodes", FAILED, "; ".join(found.refused.splitlines()), found.refused_hint)
        return
    if not found.started:
        yield Verdict("nodes", UNKNOWN, "none was asked, as the storage can't be used from here")
        return
    if len(found.nodes) < found.asked:
        came = f"{len(found.nodes)} of {found.asked} tasks came"
        if found.logs:
            yield Verdict(
                "nodes", FAILED, f"{came}; the others ended: {'; '.join(found.logs)}",
                "Jobs need this Python, what it imports and the database's folder on every node, "
                "under the same paths; see --template for lines that set them up.",
            )  # fmt: skip
        elif "ended" in found.missing:
            yield Verdict(
                "nodes", FAILED, f"{came}; {found.missing}, and wrote no log",
                f"The nodes don't seem to see {found.storage}: put it where they all do.",
            )  # fmt: skip
        else:
            yield Verdict(
                "nodes", UNKNOWN, f"{came}; {found.missing or 'the others are missing'}",
                "Wait longer with --wait, ask for fewer --nodes, or name another --partition.",
            )  # fmt: skip
    names = _node_names(found)
    if len(found.nodes) > 1 and len(names) == 1:
        yield Verdict(
            "nodes", WARNING, f"all {len(found.nodes)} tasks ran on {names[0]}",
            "To have them on different nodes, end the command with: -- --exclusive",
        )  # fmt: skip
    elif found.nodes and len(found.nodes) == found.asked:
        yield Verdict("nodes", OK, f"{counted(len(found.nodes), 'task')} ran on {listed(names)}")


def _python(found: Findings) -> Iterator[Verdict]:
    here = found.here
    if here is None:
        return
    where = _names(found.hosts)
    if not found.nodes:
        on_disk = _is_a_disk(here.package_on) and not found.local
        yield Verdict(
            "python", UNKNOWN if on_disk or found.asked else OK,
            f"{here.python} and orion-hpc {here.version} here"
            + (f", on {here.package_on}, which nodes may not see" if on_disk else ""),
        )  # fmt: skip
        return
    minor = {host.python.rpartition(".")[0] for host in found.hosts}
    if len(minor) > 1 or len({host.version for host in found.hosts}) > 1:
        told = "; ".join(
            f"{host.node}: {host.python} ({host.executable}), orion-hpc {host.version}"
            for host in found.hosts
        )
        yield Verdict(
            "python", FAILED, told,
            "Use one environment on all hosts: what one version sends, another may not understand.",
        )  # fmt: skip
        return
    told = f"{here.python} and orion-hpc {here.version} on {where}"
    others = {(host.executable, host.python, host.package) for host in found.nodes}
    others -= {(here.executable, here.python, here.package)}
    if others:
        executable, python, package = min(others)
        yield Verdict(
            "python", WARNING,
            f"{told}, but nodes run {executable} ({python}, orion-hpc from {package}), this host "
            f"{here.executable} ({here.python}, orion-hpc from {here.package})",
            "See that both installations have the same packages.",
        )  # fmt: skip
    else:
        yield Verdict("python", OK, f"{told}: {here.executable}")


def _lock(found: Findings) -> Iterator[Verdict]:
    if found.here is None:
        return
    overlaps = sum(part.overlaps for part in found.parts)
    if overlaps and found.silent:  # which may have died with the lock
        yield Verdict("lock", UNKNOWN, f"{listed(found.silent)} ended in the middle", "Try again.")
        return
    if overlaps:
        total = sum(part.held for part in found.parts)
        yield Verdict(
            "lock", FAILED,
            f"{found.lock} isn't exclusive: {overlaps} of {total} times it was held by two "
            f"({listed([part.name for part in found.parts if part.overlaps])} saw it)",
            "Use 'lock: lease' for a new database here, or another file system."
            if found.lock != LEASE
            else "Put the database on another file system: this one creates no file exclusively.",
        )  # fmt: skip
        return
    if trouble := [f"{part.name}: {part.trouble}" for part in found.parts if part.trouble]:
        yield Verdict(
            "lock", FAILED, "; ".join(trouble),
            "Try the other kind ('lock: lease' or 'lock: flock' in the configuration).",
        )  # fmt: skip
        return
    active = [part for part in found.parts if part.held]
    if len(active) < 2 or found.silent or len(active) < len(found.parts):
        idle = [*found.silent, *(part.name for part in found.parts if not part.held)]
        told = f"{listed(idle)} didn't take part" if idle else "nobody else took part"
        yield Verdict("lock", UNKNOWN, told)
        return
    total = sum(part.held for part in active)
    told = f"{found.lock} was exclusive: {total} times held by {_among(found, len(active))}"
    yield Verdict("lock", OK, told)


def _lock_kinds(found: Findings) -> Iterator[Verdict]:
    here = found.here
    if here is None:
        return
    used = found.lock or here.lock
    yield lock_kinds(found.tried, used, here.lock, found.database_lock, here.mount)
    yield from fencing(used, here.mount)


def _journal(found: Findings) -> Iterator[Verdict]:
    if found.here is None:
        return
    if found.journal_trouble:
        yield Verdict(
            "journal", FAILED, "; ".join(found.journal_trouble),
            "Don't use this file system for a database: its clients don't see each other's writes.",
        )  # fmt: skip
    elif found.expected is None or found.appended is None:
        yield Verdict("journal", UNKNOWN, "nobody else took part")
    elif found.appended != found.expected:
        who = [f"{name} doesn't find {number} of them" for name, number in found.lost.items()]
        nfs4 = any(nfs_version(host.mount).startswith("4") for host in found.hosts)
        yield Verdict(
            "journal", FAILED,
            f"{found.appended} trials were found of {found.expected} appended"
            + (f": {'; '.join(who)}" if who else ""),
            "All had been acknowledged: results would be lost like that. Put the database on "
            "another file system"
            + (", or have this one mounted with vers=3 on all hosts." if nfs4 else "."),
        )  # fmt: skip
    else:
        told = f"all {found.expected} trials are there that {_among(found, len(found.parts))}"
        yield Verdict("journal", OK, f"{told} appended, at once and in turn, beside readers")


def _delay(found: Findings) -> Iterator[Verdict]:
    if found.here is None:
        return
    if found.blind:
        yield Verdict(
            "delay", FAILED,
            f"{listed(sorted(set(found.blind)))} and this host didn't see each other's appends",
            "Look into the mount options that keep caches (for nfs: actimeo, lookupcache).",
        )  # fmt: skip
        return
    if not found.delays:
        why = "it wasn't measured, as appends got lost" if found.lost else "nobody else took part"
        yield Verdict("delay", UNKNOWN, why)
        return
    worst = max(max(times) for times in found.delays.values())
    usual = median(time for times in found.delays.values() for time in times)
    told = f"an append is seen after {_seconds(usual)} (at most {_seconds(worst)})"
    if worst > _LONG_DELAY:
        yield Verdict(
            "delay", WARNING, told,
            "It works, and workers wait so long for each other: have trials take minutes.",
        )  # fmt: skip
    else:
        yield Verdict("delay", OK, told)


def _clocks(found: Findings) -> Iterator[Verdict]:
    if found.here is None:
        return
    known = [host for host in found.hosts if host.ahead is not None]
    if not known:
        yield Verdict("clocks", UNKNOWN, "no time could be compared with the file server's")
        return
    off = [host for host in known if _skew(host) > _MUCH_SKEW]
    if off:
        told = "; ".join(f"{host.node}: {_direction(host.ahead or 0.0)}" for host in off)
        yield Verdict(
            "clocks", WARNING, f"not the file server's: {told}",
            "Nothing is decided by them, but times in reports will be wrong: ask for NTP.",
        )  # fmt: skip
    else:
        worst = max(abs(host.ahead or 0.0) for host in known)
        yield Verdict("clocks", OK, f"within {_seconds(worst)} of the file server's")


def _direction(ahead: float) -> str:
    return f"{abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"


def _skew(host: HostFacts) -> float:
    return abs(host.ahead or 0.0) - (host.doubt or 0.0)


# -- words -----------------------------------------------------------------------------------------


def _is_a_disk(file_system: str) -> bool:
    return is_coherent(Mount(file_system))


def _kind(host: HostFacts) -> str:
    if host.file_system == "fuse" and host.source:  # which program it is, stands there alone
        return f"fuse ({host.source})"
    return _named(host.file_system)


def _named(file_system: str) -> str:
    return file_system or "a file system of no known type"


def _node_names(found: Findings) -> list[str]:
    return sorted({host.node for host in found.nodes})


def _among(found: Findings, parties: int) -> str:
    if found.local:
        return f"{parties} processes of this host"
    return listed(["this host", *_node_names(found)])


def _names(hosts: Sequence[HostFacts]) -> str:
    return listed(list(dict.fromkeys(host.node for host in hosts)))


def _seconds(time: float) -> str:
    return f"{math.ceil(time * 1000)} ms" if time < 0.1 else f"{time:.1f} s"
