"""Which lock fits which file system, and how a path's mount is found."""

from __future__ import annotations

import psutil
import pytest

from orion_hpc.sharedfs.mounts import (
    APPENDING,
    CACHED,
    DIRECT,
    FLOCK,
    FLOCK_DATABASE,
    LEASE,
    Mount,
    access,
    is_coherent,
    is_fuse,
    lock_kind,
    mount_of,
    recorded_lock,
)


@pytest.mark.parametrize(
    ("kind", "options", "lock"),
    [
        ("ext4", "rw,relatime", FLOCK),
        ("xfs", "rw", FLOCK),
        ("btrfs", "rw,subvol=/home", FLOCK),
        ("tmpfs", "rw,size=4g", FLOCK),
        ("overlay", "rw,lowerdir=/l", FLOCK),
        ("nfs", "rw,vers=3,hard", FLOCK_DATABASE),
        ("nfs", "rw,vers=3,nolock", LEASE),
        ("nfs", "rw,vers=3,local_lock=all", LEASE),
        ("nfs", "rw,vers=3,local_lock=flock", LEASE),
        ("nfs", "rw,vers=3,local_lock=posix", FLOCK_DATABASE),
        ("nfs4", "rw,vers=4.2,local_lock=none", FLOCK_DATABASE),
        ("lustre", "rw,flock,lazystatfs", FLOCK),
        ("lustre", "rw,localflock", LEASE),
        ("lustre", "rw", LEASE),
        ("gpfs", "rw", FLOCK),
        ("ceph", "rw,acl", FLOCK),
        ("fuse.ceph-fuse", "rw", FLOCK),
        ("fuse.glusterfs", "rw,max_read=131072", FLOCK),
        ("fuse.sshfs", "rw", LEASE),
        ("cifs", "rw,vers=3.1.1", LEASE),
        ("fuse.somethingnew", "rw", LEASE),
        ("", "", LEASE),
    ],
)
def test_the_lock_fits_the_file_system(kind, options, lock):
    """flock where it is one lock for all hosts, a lease where it isn't or nobody knows."""
    assert lock_kind(Mount.of(kind, options)) == lock


@pytest.mark.parametrize(
    ("text", "lock"),
    [
        ("tuneUseGlobalFileLocks = true\n", FLOCK),
        ("tuneUseGlobalFileLocks=false\n", LEASE),
        ("# tuneUseGlobalFileLocks = true\n", LEASE),
        ("", LEASE),
    ],
)
def test_beegfs_is_asked_for_its_configuration(text, lock):
    """Its locks are the client's own unless the configuration named in the mount says otherwise."""
    read = {"/etc/beegfs/scratch.conf": text}
    mount = Mount.of("beegfs", "rw,cfgFile=/etc/beegfs/scratch.conf,_netdev")
    assert lock_kind(mount, read.__getitem__) == lock


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *((kind, CACHED) for kind in ("ext4", "xfs", "tmpfs")),
        *((kind, DIRECT) for kind in ("nfs", "nfs4", "ceph", "fuse.ceph-fuse")),
        *((kind, APPENDING) for kind in ("fuse.glusterfs", "fuse.sshfs", "gpfs", "lustre", "")),
    ],
)
def test_a_database_is_used_as_its_file_system_wants_it(kind, way):
    """Past the page cache where that is known to lie."""
    assert access(Mount(kind)) == way


@pytest.mark.parametrize(
    ("mount", "wanted", "kind"),
    [
        (Mount("nfs4"), None, FLOCK_DATABASE),
        (Mount("nfs4"), FLOCK, FLOCK_DATABASE),
        (Mount("nfs4"), LEASE, LEASE),
        (Mount("nfs", {"nolock": ""}), None, LEASE),
        (Mount("nfs", {"nolock": ""}), FLOCK, FLOCK),
        (Mount("ext4"), FLOCK, FLOCK),
    ],
)
def test_a_lock_that_is_wanted_fences_where_it_can(mount, wanted, kind):
    """Who writes 'lock: flock' on NFS means the lock that guards what is written."""
    assert recorded_lock(mount, wanted) == kind


def test_only_local_file_systems_are_coherent():
    """Anything that another host may write to is read afresh."""
    assert is_coherent(Mount("ext4"))
    assert not any(is_coherent(Mount(kind)) for kind in ("nfs4", "fuse.glusterfs", "gpfs", ""))


def test_a_path_lies_on_the_innermost_mount_and_the_latest_of_two(monkeypatch, tmp_path):
    """/scratch2 isn't on /scratch, and a mount hides the one below it."""
    table = [("/", "ext4"), ("/scratch", "lustre"), ("/scratch/fast", "xfs"), ("/scratch", "nfs4")]
    parts = [psutil._ntuples.sdiskpart("dev", point, kind, "rw") for point, kind in table]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: parts)
    found = {path: mount_of(path).kind for path in ("/scratch2/x", "/scratch/x", "/scratch/fast")}
    assert found == {"/scratch2/x": "ext4", "/scratch/x": "nfs4", "/scratch/fast": "xfs"}


def test_a_mount_is_called_what_it_is_called(monkeypatch, tmp_path):
    """The kernel writes ``#`` as ``\\043``, which psutil leaves as it is."""
    parts = [psutil._ntuples.sdiskpart(r"mfs\043master:9421", rf"{tmp_path}/\043mfs", "fuse", "rw")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: parts)
    assert mount_of(f"{tmp_path}/#mfs/db.pkl") == Mount("fuse", {"rw": ""}, "mfs#master:9421")


@pytest.mark.parametrize(
    ("kind", "fuse"),
    [("fuse", True), ("fuse.sshfs", True), ("fuseblk", False), ("nfs4", False), ("lustre", False)],
)
def test_what_a_program_serves(kind, fuse):
    """MooseFS has no name of its own in the mount table; ``fuseblk`` is a disk of this host."""
    assert is_fuse(Mount(kind)) is fuse


def test_this_machines_mounts_can_be_read(tmp_path):
    """The real table, for a path that doesn't exist yet."""
    assert mount_of(str(tmp_path / "not" / "yet")).kind
