"""Which locks reach other hosts, by trial; what becomes of one whose holder is cut off. Pure.

What was tried is told as such, and what is only known, too. Sources for that: nfs(5), RFC 8881 on
leases; the manuals of Ceph and Lustre on eviction, of GlusterFS on client.strict-locks, of GPFS on
disk leases. What is said of NFS was measured on Linux.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orion_hpc.doctor.lock_trial import EXCLUDED, HAD, KINDS
from orion_hpc.doctor.mount_facts import is_nfs, nfs_version
from orion_hpc.doctor.verdict import FAILED, OK, UNKNOWN, WARNING, Verdict, listed
from orion_hpc.sharedfs.mounts import FLOCK, FLOCK_DATABASE, LEASE, Mount, is_coherent

_CHECK, _FENCED = "lock kinds", "fencing"
_WORDS = {
    FLOCK: "flock",
    FLOCK_DATABASE: "flock of the database itself",
    LEASE: "exclusive creation (lease)",
}

_CEPH = "CephFS shuts out the client that it takes a lock from; that one has to be mounted anew"
_GLUSTER = (
    "GlusterFS doesn't fence unless client.strict-locks is on: who was cut off may still write "
    "once when it comes back"
)
_FENCING = {
    "ceph": _CEPH,
    "fuse.ceph": _CEPH,
    "fuse.ceph-fuse": _CEPH,
    "glusterfs": _GLUSTER,
    "fuse.glusterfs": _GLUSTER,
    "lustre": "Lustre evicts a client that is cut off: what it has open gives errors from then on",
    "gpfs": "GPFS expels a node that is cut off, and keeps it from the disks",
}


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one party's tries for the locks that this host held, by kind.

    ``apart``: whether it has another client of the file system than this host.
    """

    name: str
    apart: bool
    kinds: Mapping[str, str]


def reaches_others(tried: Sequence[Tried], kind: str) -> bool:
    """Return whether a lock of this kind was tried between clients, and excluded all of them."""
    apart = [one for one in tried if one.apart]
    return bool(apart) and all(one.kinds.get(kind) == EXCLUDED for one in apart)


def lock_kinds(
    tried: Sequence[Tried], used: str, suggested: str, recorded: str, mount: Mount
) -> Verdict:
    """Return what the trial comes to.

    Parameters
    ----------
    tried : sequence of Tried
    used, suggested, recorded : str
        The lock that workers would use, the one that the mount table suggests, and the one of the
        database, ``''`` where there is none.
    mount : Mount
        As this host has it.
    """
    apart = [one for one in tried if one.apart]
    asked = apart or tried
    if not asked:
        return Verdict(_CHECK, UNKNOWN, "nobody else took part")
    good = [kind for kind in KINDS if all(one.kinds.get(kind) == EXCLUDED for one in asked)]
    told = _told(asked, good, "other hosts" if apart else "other processes")
    if used in _WORDS and used not in good:
        return Verdict(_CHECK, FAILED, told, _way_out(used, suggested, recorded, good))
    if not apart and not is_coherent(mount):
        return Verdict(
            _CHECK, UNKNOWN, f"{told}; whether they do on other hosts wasn't tried",
            "Run it with --nodes 2, on nodes other than this host.",
        )  # fmt: skip
    if suggested in _WORDS and suggested not in good:
        return Verdict(
            _CHECK, WARNING, f"{told}, though the mount table promises {suggested}",
            f"Set 'lock: {used}' in the configuration, also for databases to come: without it "
            f"they get {suggested} here.",
        )  # fmt: skip
    if apart and used == LEASE and FLOCK in good:
        keeps = " The one that is there keeps its lease." if recorded else ""
        return Verdict(
            _CHECK, OK, told,
            "A new database with 'lock: flock' in its configuration is faster here, if all hosts "
            f"mount this place like those that took part.{keeps}",
        )  # fmt: skip
    return Verdict(_CHECK, OK, told)


def _told(asked: Sequence[Tried], good: Sequence[str], whom: str) -> str:
    parts = [f"tried: {listed([_WORDS[kind] for kind in good])} excluded {whom}"] if good else []
    for kind in (kind for kind in KINDS if kind not in good):
        had = [one.name for one in asked if one.kinds.get(kind) == HAD]
        other = {
            f"{one.name}: {one.kinds.get(kind) or 'no answer'}"
            for one in asked
            if one.kinds.get(kind) not in (HAD, EXCLUDED)
        }
        why = [f"{listed(list(dict.fromkeys(had)))} had it, too"] if had else []
        parts.append(f"{_WORDS[kind]} doesn't work ({'; '.join([*why, *sorted(other)])})")
    return "; ".join(parts)


def _way_out(used: str, suggested: str, recorded: str, good: Sequence[str]) -> str:
    if not good:
        return "Put the database on another file system: no lock of this one reaches other hosts."
    better = suggested if suggested in good else good[0]
    if recorded:
        return (
            f"The database has the lock {used} for good: stop its workers, and begin another one "
            f"with 'lock: {better}' in its configuration ('warm_start' lets it learn from the old)."
        )
    return f"Use 'lock: {better}' in the configuration for a new database here."


def fencing(used: str, mount: Mount) -> Iterator[Verdict]:
    """Yield what becomes of a holder that is cut off and comes back: known, and not measured."""
    if not used or is_coherent(mount):
        return
    if used == LEASE:
        yield _known(
            "a lease isn't fenced: who is cut off with it for longer than 30 s may still write "
            "once when it comes back"
        )
    elif is_nfs(mount):
        yield _nfs_fencing(used, nfs_version(mount))
    elif mount.kind in _FENCING:
        yield _known(_FENCING[mount.kind])
    else:
        yield Verdict(
            _FENCED, UNKNOWN,
            "it isn't known whether a holder that was cut off may still write when it comes back",
        )  # fmt: skip


def _nfs_fencing(used: str, version: str) -> Verdict:
    if version == "3":
        return _known(
            "NFS 3 takes no lock away: who is cut off keeps it, and all wait until its host is up "
            "again"
        )
    taken = "NFS 4 takes the lock away 90 s (the server's lease, as a rule) after its holder's last"
    if used == FLOCK_DATABASE:
        return _known(f"{taken} word, and refuses what that one writes to the database later")
    return _known(
        f"{taken} word, and lets that one write to the database later, over what others appended: "
        "the lock is on another file",
        f"A new database gets the lock {FLOCK_DATABASE}, with which such a write is refused.",
    )


def _known(told: str, advice: str = "") -> Verdict:
    return Verdict(_FENCED, WARNING if advice else OK, f"known, not measured: {told}", advice)
