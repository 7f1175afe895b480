"""Which locks exclude other hosts, by trial; what is known of a holder that is cut off. Pure.

A verdict says whether a fact was tried here or comes from elsewhere, and from where. Sources:
nfs(5); RFC 8881 on leases; the manuals of Ceph and Lustre on eviction, of GlusterFS on
client.strict-locks, of GPFS on disk leases; tests of this project on NFS, with Linux at both ends.
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

_UNTRIED = (
    "not tried here, as a node would have to be cut off from the server for longer than its lease"
)

# What is known of a holder that is cut off, and from where; both as parts of one sentence.
_LEASE_FENCING = (
    "a lease isn't fenced: a holder that is cut off with it for longer than 30 s may still write "
    "once when it comes back",
    "this project's tests on NFS 3 with nolock",
)
_CEPH = (
    "CephFS shuts out the client that it takes a lock from, which has to be mounted anew",
    "Ceph's manual on eviction and this project's tests of ceph-fuse 16.2",
)
_GLUSTER = (
    "GlusterFS doesn't fence unless client.strict-locks is on: a holder that was cut off may still "
    "write once when it comes back",
    "the manual of GlusterFS",
)
_FENCING = {
    "ceph": _CEPH,
    "fuse.ceph": _CEPH,
    "fuse.ceph-fuse": _CEPH,
    "glusterfs": _GLUSTER,
    "fuse.glusterfs": _GLUSTER,
    "lustre": (
        "Lustre evicts a client that is cut off: what it has open gives errors from then on",
        "Lustre's manual, without a test of this project",
    ),
    "gpfs": (
        "GPFS expels a node that is cut off, and keeps it from the disks",
        "the manual of GPFS, without a test of this project",
    ),
}


@dataclass(frozen=True, slots=True)
class Tried:
    """One party's attempts to take the locks that this host held: the result by kind.

    ``apart``: whether it uses another client of the file system than this host.
    """

    name: str
    apart: bool
    kinds: Mapping[str, str]


def reaches_others(tried: Sequence[Tried], kind: str) -> bool:
    """Return whether this kind of lock was tried between clients and excluded all of them."""
    apart = [one for one in tried if one.apart]
    return bool(apart) and all(one.kinds.get(kind) == EXCLUDED for one in apart)


def lock_kinds(
    tried: Sequence[Tried], used: str, suggested: str, recorded: str, mount: Mount
) -> Verdict:
    """Return the verdict on the locks that were tried.

    Parameters
    ----------
    tried : sequence of Tried
    used, suggested, recorded : str
        The lock that workers would use, the one that suits the mount table, and that of the
        database, ``''`` where there is none.
    mount : Mount
        The mount on this host.
    """
    apart = [one for one in tried if one.apart]
    asked = apart or tried
    if not asked:
        return Verdict(_CHECK, UNKNOWN, "nobody else took part")
    good = [kind for kind in KINDS if all(one.kinds.get(kind) == EXCLUDED for one in asked)]
    text = _trial_text(asked, good, "other hosts" if apart else "other processes")
    if used in _WORDS and used not in good:
        return Verdict(_CHECK, FAILED, text, _way_out(used, suggested, recorded, good))
    if not apart and not is_coherent(mount):
        return Verdict(
            _CHECK, UNKNOWN, f"{text}; whether they do on other hosts wasn't tried",
            "Run it with --nodes 2, on nodes other than this host.",
        )  # fmt: skip
    if suggested in _WORDS and suggested not in good:
        return Verdict(
            _CHECK, WARNING, f"{text}, though the mount table promises {suggested}",
            f"Set 'lock: {used}' in the configuration, also for databases to come: without it "
            f"they get {suggested} here.",
        )  # fmt: skip
    if apart and used == LEASE and FLOCK in good:
        keeps = " The one that is there keeps its lease." if recorded else ""
        return Verdict(
            _CHECK, OK, text,
            "A new database with 'lock: flock' in its configuration is faster here, if all hosts "
            f"mount this place like those that took part.{keeps}",
        )  # fmt: skip
    return Verdict(_CHECK, OK, text)


def _trial_text(asked: Sequence[Tried], good: Sequence[str], whom: str) -> str:
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
    """Yield what is known of a lock holder that is cut off and comes back.

    No trial can show it: a node would have to be cut off from the server for longer than its lease.
    """
    if not used or is_coherent(mount):
        return
    if used == LEASE:
        yield _known(*_LEASE_FENCING)
    elif is_nfs(mount):
        yield _nfs_fencing(used, nfs_version(mount))
    elif mount.kind in _FENCING:
        yield _known(*_FENCING[mount.kind])
    else:
        yield Verdict(
            _FENCED, UNKNOWN,
            "nothing is known of whether a holder that was cut off may still write when it comes "
            f"back to this file system; {_UNTRIED}",
        )  # fmt: skip


def _nfs_fencing(used: str, version: str) -> Verdict:
    if version == "3":
        return _known(
            "NFS 3 takes no lock away: a holder that is cut off keeps it, and all others wait "
            "until its host is up again",
            "this project's tests on Linux 6.1",
        )
    source = "RFC 8881 and this project's tests on Linux 6.1"
    taken = (
        "NFS 4 takes the lock from a holder that was silent for longer than the server's lease "
        "(90 s by default)"
    )
    if used == FLOCK_DATABASE:
        return _known(f"{taken}, and refuses what it writes to the database later", source)
    return _known(
        f"{taken}, and lets it write to the database later, over what others appended, as the lock "
        "is on another file",
        source,
        f"A new database gets the lock {FLOCK_DATABASE}, with which such a write is refused.",
    )


def _known(fact: str, source: str, advice: str = "") -> Verdict:
    return Verdict(_FENCED, WARNING if advice else OK, f"by {source}, {fact}; {_UNTRIED}", advice)
