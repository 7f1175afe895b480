"""What the options of NFS mounts mean."""

from __future__ import annotations

import pytest

from orion_hpc.doctor.mount_facts import facts, locks_stay_here, nfs_version
from orion_hpc.doctor.verdict import OK, WARNING
from orion_hpc.sharedfs.mounts import Mount

TAIL = ",rsize=131072,wsize=131072,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys"
V3 = f"rw,relatime,vers=3{TAIL},mountaddr=10.0.0.1,mountvers=3,local_lock=none,addr=10.0.0.1"
V4 = f"rw,relatime,vers=4.2{TAIL},clientaddr=10.0.0.2,local_lock=none,addr=10.0.0.1"
"""As Linux writes them."""


@pytest.mark.parametrize(
    ("kind", "options", "version"),
    [
        ("nfs", V3, "3"),
        ("nfs4", V4, "4.2"),
        ("nfs4", V4.replace("4.2", "4.1"), "4.1"),
        ("nfs4", V4.replace("4.2", "4.0"), "4.0"),
        ("nfs4", "rw,vers=4,minorversion=1", "4.1"),
        ("nfs4", "rw", "4"),
        ("nfs", "rw,nfsvers=3", "3"),
        ("nfs", "rw", ""),
        ("ext4", "rw", ""),
    ],
)
def test_the_version(kind: str, options: str, version: str) -> None:
    """As the table has it, also where an older kernel wrote it."""
    assert nfs_version(Mount.of(kind, options)) == version


@pytest.mark.parametrize(
    ("kind", "options", "short"),
    [
        ("nfs", V3, "NFS 3 over tcp, hard, first timeout 60 s (timeo)"),
        ("nfs4", V4.replace("4.2", "4.0"), "NFS 4.0 over tcp, hard, "),
        ("nfs4", f"{V4},nconnect=8,acregmax=3,lookupcache=pos", ", nconnect=8, acregmax=3, "
         "lookupcache=pos"),
        ("nfs", V3.replace("local_lock=none", "nolock,local_lock=all"), "local_lock=all, nolock"),
        ("nfs", V3.replace("hard", "soft"), "tcp, soft, "),
        ("nfs4", V4.replace("hard", "softerr"), "tcp, softerr, "),
        ("nfs4", V4.replace("rw,", "ro,"), ", ro"),
        ("nfs4", f"{V4},noac,nocto", ", noac, nocto"),
        ("nfs", "rw", "NFS of an unknown version, hard"),
    ],
)  # fmt: skip
def test_a_mount_in_short(kind: str, options: str, short: str) -> None:
    """What differs between sites, and nothing of what doesn't matter."""
    told = next(facts(Mount.of(kind, options)))
    assert short in told.found
    assert told.verdict == OK
    assert "rsize" not in told.found
    assert "local_lock=none" not in told.found


@pytest.mark.parametrize(
    ("kind", "options", "verdict", "says"),
    [
        ("nfs", V3, OK, "a lock that a host dies with stays"),
        ("nfs4", V4, OK, "goes 90 s"),
        ("nfs", f"{V3},nolock", WARNING, "nolock: kernel locks don't reach"),
        ("nfs", V3.replace("lock=none", "lock=all"), WARNING, "local_lock=all: kernel locks"),
        ("nfs", V3.replace("lock=none", "lock=flock"), WARNING, "local_lock=flock: kernel locks"),
        ("nfs", V3.replace("hard", "soft"), WARNING, "soft: when the server doesn't answer for "
         "about 180 s (timeo, retrans), reads and writes fail"),
        ("nfs4", V4.replace("hard", "softerr"), WARNING, "softerr: when"),
        ("nfs", "rw,vers=3,soft", WARNING, "soft: when the server doesn't answer, reads"),
        ("nfs", "rw,vers=3,soft,proto=udp,timeo=11,retrans=3", WARNING, "doesn't answer, reads"),
        ("nfs", "rw,vers=3,proto=udp", WARNING, "udp: on fast networks"),
        ("nfs4", f"{V4},nocto", WARNING, "nocto: opening a file doesn't ask"),
        ("nfs4", f"{V4},acregmin=1,acregmax=2", OK, "kept for up to 2 s: only other tools"),
        ("nfs", f"{V3},actimeo=600", OK, "kept for up to 600 s"),
        ("nfs4", f"{V4},noac,acregmax=0", OK, "noac: every look"),
        ("nfs4", f"{V4},lookupcache=none", OK, "slower, nothing else"),
        ("nfs4", f"{V4},nconnect=4", OK, "nconnect=4: requests may overtake"),
        ("nfs4", V4.replace("rw,", "ro,"), WARNING, "nothing can be written"),
    ],
)  # fmt: skip
def test_an_option_and_what_it_means(kind: str, options: str, verdict: str, says: str) -> None:
    """One sentence for it; what a site should change comes with what to do."""
    (told,) = [one for one in facts(Mount.of(kind, options)) if says in one.found]
    assert told.verdict == verdict
    assert bool(told.advice) is (verdict == WARNING)


@pytest.mark.parametrize(
    "options", [V4, f"{V4},lookupcache=pos,nconnect=1", V4.replace(",hard", "")]
)
def test_usual_options_need_no_word(options: str) -> None:
    """Two lines: the mount, and its locks."""
    assert len(list(facts(Mount.of("nfs4", options)))) == 2


def test_what_isnt_nfs_isnt_told() -> None:
    """Other file systems have options of the same names."""
    assert not list(facts(Mount.of("cifs", "rw,soft,vers=3.1.1,nolock")))


def test_locks_that_stay_on_the_host() -> None:
    """Of NFS 3 alone; POSIX locks aren't asked for."""
    assert locks_stay_here(Mount.of("nfs", f"{V3},nolock")) == "nolock"
    assert locks_stay_here(Mount.of("nfs", V3.replace("lock=none", "lock=posix"))) == ""
    assert locks_stay_here(Mount.of("nfs4", f"{V4},nolock")) == ""
