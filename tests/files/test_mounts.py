"""Which lock fits which file system, and how a path's mount is found."""

from __future__ import annotations

import psutil
import pytest

from orion_hpc.files.mounts import FLOCK, LEASE, Mount, is_coherent, lock_kind, mount_of


@pytest.mark.parametrize(
    ("kind", "options", "lock"),
    [
        ("ext4", "rw,relatime", FLOCK),
        ("xfs", "rw", FLOCK),
        ("btrfs", "rw,subvol=/home", FLOCK),
        ("tmpfs", "rw,size=4g", FLOCK),
        ("overlay", "rw,lowerdir=/l", FLOCK),
        ("nfs", "rw,vers=3,hard", FLOCK),
        ("nfs", "rw,vers=3,nolock", LEASE),
        ("nfs", "rw,vers=3,local_lock=all", LEASE),
        ("nfs", "rw,vers=3,local_lock=flock", LEASE),
        ("nfs", "rw,vers=3,local_lock=posix", FLOCK),
        ("nfs4", "rw,vers=4.2,local_lock=none", FLOCK),
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


def test_this_machines_mounts_can_be_read(tmp_path):
    """The real table, for a path that doesn't exist yet."""
    assert mount_of(str(tmp_path / "not" / "yet")).kind
