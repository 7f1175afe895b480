"""The diagnosis of ``orion-hpc doctor``: a verdict for each check, from the findings. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from orion_hpc.doctor.findings import Findings
from orion_hpc.doctor.host_facts import HostFacts
from orion_hpc.doctor.lock_facts import fencing, lock_kinds
from orion_hpc.doctor.mount_facts import nfs_version
from orion_hpc.doctor.storage_verdicts import host_names, is_a_disk, storage_verdicts
from orion_hpc.doctor.verdict import FAILED, OK, UNKNOWN, WARNING, Verdict, listed
from orion_hpc.sharedfs.mounts import LEASE
from orion_hpc.text import counted

_MUCH_SKEW = 5.0
"""Seconds."""

_LONG_DELAY = 2.0
"""Seconds until an append is visible; less doesn't matter for trials of minutes."""


def verdicts(found: Findings) -> list[Verdict]:
    """Return the verdicts of all checks, including those that couldn't be made."""
    return [
        *_slurm(found),
        *storage_verdicts(found),
        *_nodes(found),
        *_python(found),
        *_lock(found),
        *_lock_kinds(found),
        *_journal(found),
        *_delay(found),
        *_clocks(found),
    ]


def is_bad(all_: Iterable[Verdict]) -> bool:
    """Return whether a check failed."""
    return any(one.verdict == FAILED for one in all_)


def diagnosis_lines(all_: Sequence[Verdict]) -> Iterator[str]:
    """Yield the verdicts as lines for people."""
    width = max((len(one.check) for one in all_), default=0)
    for one in all_:
        yield f"{one.verdict:<7}  {one.check:<{width}}  {one.found}"
        if one.advice:
            yield f"{'':7}  {'':{width}}  {one.advice}"


def diagnosis_record(found: Findings, all_: Sequence[Verdict]) -> dict[str, Any]:
    """Return the findings and the verdicts, for programs."""
    return {
        "failed": is_bad(all_),
        "verdicts": [asdict(one) for one in all_],
        "found": asdict(found),
    }


# -- the checks ------------------------------------------------------------------------------------


def _slurm(found: Findings) -> Iterator[Verdict]:
    if not found.slurm:
        return
    trouble = {name: error for name, error in found.slurm.items() if error and name != "sacct"}
    if trouble:
        text = "; ".join(f"{name}: {error}" for name, error in trouble.items())
        yield Verdict("slurm", FAILED, text, "Is this a login node, and is the controller up?")
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


def _nodes(found: Findings) -> Iterator[Verdict]:
    if found.here is None:
        return
    if found.local:
        yield Verdict(
            "nodes", UNKNOWN, f"this host alone was looked at: {found.local}",
            "Run it on a login node, with --nodes 2.",
        )  # fmt: skip
        if found.missing:
            text = f"{len(found.nodes)} of {found.asked} processes came; {found.missing}"
            yield Verdict("processes", FAILED, "; ".join([text, *found.logs]))
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
    where = host_names(found.hosts)
    if not found.nodes:
        on_disk = is_a_disk(here.package_on) and not found.local
        yield Verdict(
            "python", UNKNOWN if on_disk or found.asked else OK,
            f"{here.python} and orion-hpc {here.version} here"
            + (f", on {here.package_on}, which nodes may not see" if on_disk else ""),
        )  # fmt: skip
        return
    minor = {host.python.rpartition(".")[0] for host in found.hosts}
    if len(minor) > 1 or len({host.version for host in found.hosts}) > 1:
        text = "; ".join(
            f"{host.node}: {host.python} ({host.executable}), orion-hpc {host.version}"
            for host in found.hosts
        )
        yield Verdict(
            "python", FAILED, text,
            "Use one environment on all hosts: what one version sends, another may not understand.",
        )  # fmt: skip
        return
    text = f"{here.python} and orion-hpc {here.version} on {where}"
    others = {(host.executable, host.python, host.package) for host in found.nodes}
    others -= {(here.executable, here.python, here.package)}
    if others:
        executable, python, package = min(others)
        yield Verdict(
            "python", WARNING,
            f"{text}, but nodes run {executable} ({python}, orion-hpc from {package}), this host "
            f"{here.executable} ({here.python}, orion-hpc from {here.package})",
            "See that both installations have the same packages.",
        )  # fmt: skip
    else:
        yield Verdict("python", OK, f"{text}: {here.executable}")


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
        text = f"{listed(idle)} didn't take part" if idle else "nobody else took part"
        yield Verdict("lock", UNKNOWN, text)
        return
    total = sum(part.held for part in active)
    text = f"{found.lock} was exclusive: {total} times held by {_among(found, len(active))}"
    yield Verdict("lock", OK, text)


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
        text = f"all {found.expected} trials are there that {_among(found, len(found.parts))}"
        yield Verdict("journal", OK, f"{text} appended, at once and in turn, beside readers")


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
    text = f"an append is seen after {_seconds(usual)} (at most {_seconds(worst)})"
    if worst > _LONG_DELAY:
        yield Verdict(
            "delay", WARNING, text,
            "It works, and workers wait so long for each other: have trials take minutes.",
        )  # fmt: skip
    else:
        yield Verdict("delay", OK, text)


def _clocks(found: Findings) -> Iterator[Verdict]:
    if found.here is None:
        return
    known = [host for host in found.hosts if host.ahead is not None]
    if not known:
        yield Verdict("clocks", UNKNOWN, "no time could be compared with the file server's")
        return
    off = [host for host in known if _skew(host) > _MUCH_SKEW]
    if off:
        text = "; ".join(f"{host.node}: {_direction(host.ahead or 0.0)}" for host in off)
        yield Verdict(
            "clocks", WARNING, f"not the file server's: {text}",
            "Nothing is decided by them, but times in reports will be wrong: ask for NTP.",
        )  # fmt: skip
    else:
        worst = max(abs(host.ahead or 0.0) for host in known)
        yield Verdict("clocks", OK, f"within {_seconds(worst)} of the file server's")


def _direction(ahead: float) -> str:
    return f"{abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"


def _skew(host: HostFacts) -> float:
    return abs(host.ahead or 0.0) - (host.doubt or 0.0)


def _node_names(found: Findings) -> list[str]:
    return sorted({host.node for host in found.nodes})


def _among(found: Findings, parties: int) -> str:
    if found.local:
        return f"{parties} processes of this host"
    return listed(["this host", *_node_names(found)])


def _seconds(time: float) -> str:
    return f"{math.ceil(time * 1000)} ms" if time < 0.1 else f"{time:.1f} s"
