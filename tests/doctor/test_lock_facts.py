"""What trials of locks come to, and what is known of fencing."""

from __future__ import annotations

import pytest

from orion_hpc.doctor.lock_facts import Tried, fencing, lock_kinds, reaches_others
from orion_hpc.sharedfs.mounts import Mount

ALL = dict.fromkeys(("flock", "flock-database", "lease"), "excluded")
NO_FLOCK = {"flock": "had", "flock-database": "had", "lease": "excluded"}
NONE = dict.fromkeys(ALL, "had")
MFS = Mount("fuse", {}, "mfs#here:9421")


@pytest.mark.parametrize(
    ("kinds", "used", "suggested", "verdict", "says", "advice"),
    [
        (ALL, "flock", "flock", "ok", "exclusive creation (lease) excluded other hosts", ""),
        (ALL, "lease", "lease", "ok", "excluded other hosts", "'lock: flock'"),
        (ALL, "flock", "lease", "ok", "excluded other hosts", ""),
        (NO_FLOCK, "lease", "lease", "ok", "flock doesn't work (c1 had it, too)", ""),
        (NO_FLOCK, "lease", "flock", "warning", "promises flock", "Set 'lock: lease'"),
        (NO_FLOCK, "flock", "flock", "failed", "c1 had it, too", "Use 'lock: lease'"),
        (NONE, "lease", "lease", "failed", "lease) doesn't work", "another file system"),
        ({**ALL, "flock": "No locks available"}, "flock", "flock", "failed",
         "c1: No locks available", "'lock: flock-database'"),
        ({"lease": "excluded"}, "flock", "lease", "failed", "c1: no answer", "'lock: lease'"),
    ],
)  # fmt: skip
def test_what_was_tried_decides(kinds, used, suggested, verdict, says, advice) -> None:
    """And not what the mount table suggests, neither for a lock nor against it."""
    told = lock_kinds([Tried("c1", True, kinds)], used, suggested, "", MFS)
    assert told.verdict == verdict, told
    assert says in told.found
    assert (advice in told.advice) if advice else not told.advice


def test_one_host_that_isnt_excluded_is_enough() -> None:
    """Of several, that one is named; and those that share this host's client don't count."""
    tried = [Tried("c1", True, ALL), Tried("c2", True, NO_FLOCK), Tried("here", False, ALL)]
    told = lock_kinds(tried, "flock", "flock", "", MFS)
    assert told.verdict == "failed"
    assert "(c2 had it, too)" in told.found
    assert not reaches_others(tried, "flock")
    assert reaches_others(tried, "lease")


def test_where_no_other_host_took_part() -> None:
    """Nothing is known of others, unless no others can be."""
    tried = [Tried("here", False, ALL)]
    assert lock_kinds(tried, "lease", "lease", "", MFS).verdict == "unknown"
    assert not reaches_others(tried, "flock")
    told = lock_kinds(tried, "flock", "flock", "", Mount("ext4"))
    assert (told.verdict, told.advice) == ("ok", "")
    assert "other processes" in told.found


def test_a_database_keeps_its_lock() -> None:
    """Its header says so for good: what is advised is of another one."""
    told = lock_kinds([Tried("c1", True, NO_FLOCK)], "flock", "lease", "flock", MFS)
    assert "has the lock flock for good" in told.advice
    told = lock_kinds([Tried("c1", True, ALL)], "lease", "lease", "lease", MFS)
    assert "keeps its lease" in told.advice


@pytest.mark.parametrize(
    ("used", "mount", "verdict", "says"),
    [
        ("flock-database", Mount.of("nfs4", "vers=4.2"), "ok", "refuses what it writes"),
        ("flock", Mount.of("nfs4", "vers=4.0"), "warning", "over what others appended"),
        ("flock", Mount.of("nfs", "vers=3"), "ok", "takes no lock away"),
        ("lease", Mount.of("nfs", "vers=3,nolock"), "ok", "a lease isn't fenced"),
        ("lease", Mount("fuse.sshfs"), "ok", "a lease isn't fenced"),
        ("flock", Mount("fuse.ceph-fuse"), "ok", "CephFS shuts out"),
        ("flock", Mount("fuse.glusterfs"), "ok", "client.strict-locks"),
        ("flock", Mount("lustre"), "ok", "evicts"),
        ("flock", MFS, "unknown", "nothing is known"),
    ],
)
def test_fencing_says_what_is_known_and_from_where(used, mount, verdict, says) -> None:
    """By the file system, its version and the lock; and why it can't be tried here."""
    (told,) = fencing(used, mount)
    assert told.verdict == verdict
    assert says in told.found
    assert told.found.endswith(
        "; not tried here, as a node would have to be cut off from the server for longer than its "
        "lease"
    )
    assert told.found.startswith("by ") is (verdict != "unknown"), "the source comes first"
    assert bool(told.advice) is (verdict == "warning")


def test_where_all_is_on_one_host_nothing_needs_a_fence() -> None:
    assert not list(fencing("flock", Mount("ext4")))
