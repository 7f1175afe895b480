"""What is to be done about errors beside a database, by the mount where that decides."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import psutil
import pytest

from orion_hpc.errors import StorageError, StorageUnusable
from orion_hpc.journal import creation
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.hints import hint, hint_by_mount
from orion_hpc.sharedfs.mounts import Mount
from tests.rigs.cephfs import CephFS
from tests.rigs.command import orion_hpc, project
from tests.rigs.two_mounts import TwoMounts
from tests.rigs.waiting import wait_until

RO, RW = Mount.of("nfs4", "ro,vers=4.2"), Mount.of("nfs4", "rw,vers=4.2")


@pytest.mark.parametrize(
    ("number", "mount", "says"),
    [
        (errno.EROFS, RO, "mounted read-only on this host"),
        (errno.EROFS, RW, "read-only at its server"),
        (errno.ESHUTDOWN, Mount("fuse.ceph-fuse", {}, "ceph-fuse"), "ceph-fuse (fuse.ceph-fuse)"),
        (errno.ENOTCONN, Mount(""), "this file system is dead"),
        (errno.EIO, Mount.of("nfs", "rw,soft"), "mounted 'soft'"),
        (errno.ETIMEDOUT, Mount.of("nfs4", "rw,softerr"), "mounted 'soft'"),
    ],
)
def test_the_mount_decides(number: int, mount: Mount, says: str) -> None:
    """A read-only export isn't told as this host's fault, and a dead mount not as the user's."""
    assert says in hint_by_mount(number, mount)


@pytest.mark.parametrize("number", [errno.ESHUTDOWN, errno.ENOTCONN])
def test_nothing_harmful_is_advised_on_a_dead_mount(number: int) -> None:
    """Neither to remove a file nor to begin anew: all is well but this host's mount."""
    told = hint_by_mount(number, Mount("fuse.mfs", {}, "mfs#here:9421"))
    assert "mounted it anew" in told
    assert "sound" in told
    assert not any(word in told.lower() for word in ("remove", "start anew", "another place"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, None])
def test_what_the_mount_doesnt_decide(number: int | None, tmp_path: Path) -> None:
    """The caller's word, where it has one, and something to do in any case."""
    assert hint(number, str(tmp_path), "Do this.") == "Do this."
    assert hint(number, str(tmp_path)).endswith(".")


@pytest.mark.parametrize("number", [errno.ESHUTDOWN, errno.ENOTCONN])
def test_a_database_that_cant_be_looked_for_isnt_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    """Else a new one would be made where one is."""

    def refuse(path: str) -> os.stat_result:
        raise OSError(number, os.strerror(number), path)

    assert not creation.is_there(str(tmp_path / "db.pkl"))
    assert not creation.is_there(str(tmp_path / "no" / "db.pkl"))
    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(StorageError) as caught:
        creation.is_there(str(tmp_path / "db.pkl"))
    assert not isinstance(caught.value, StorageUnusable)
    assert "mounted it anew" in caught.value.hint
    assert "mounted it anew" in layout.place_hint(number, str(tmp_path))
    assert "another place" in layout.place_hint(errno.EACCES, str(tmp_path))


@pytest.mark.sharedfs
def test_a_mount_whose_client_has_died(sshfs_mounts: TwoMounts, tmp_path: Path) -> None:
    """A real one, of which each call says "not connected": `submit` says that it is to be
    mounted anew, and makes no database."""
    del sshfs_mounts  # there is sshfs here, or the test is skipped
    served, mount = tmp_path / "served", tmp_path / "mount"
    served.mkdir()
    mount.mkdir()
    config = project(tmp_path / "project")
    command = f"ssh_command=/bin/sh {tmp_path}/connect"
    (tmp_path / "connect").write_text("exec /usr/lib/openssh/sftp-server\n")
    with subprocess.Popen(["sshfs", "-f", "-o", command, f"nowhere:{served}", mount]) as client:
        try:
            wait_until(lambda: os.path.ismount(mount), 30, "the mount")
            submit = ("submit", "--storage", mount / "db.pkl", "--executor", "local", config)
            client.kill()
            client.wait()
            wait_until(lambda: _error(mount) == errno.ENOTCONN, 30, "the mount to be dead")
            done = orion_hpc(*submit)
            assert done.returncode == 1
            assert "Traceback" not in done.stderr
            assert "mounted it anew" in done.stderr, done.stderr
        finally:
            client.kill()
            subprocess.run(["umount", "-l", mount], check=True)
    assert list(served.iterdir()) == []


@pytest.mark.sharedfs
def test_a_client_of_cephfs_that_was_shut_out(cephfs_mounts: TwoMounts, tmp_path: Path) -> None:
    """Its mount says "shutdown" for ever; commands say that it is to be mounted anew, on the other
    host all goes on, and no other database is made."""
    del cephfs_mounts  # there is CephFS here, or the test is skipped; this one is spoilt
    config = project(tmp_path / "project")
    with CephFS() as two:
        shared = two.folder()
        words = ("submit", "--executor", "local", config, "--storage")
        assert orion_hpc(*words, shared.second / "db.pkl").returncode == 0
        two.evict(two.mounts[1])
        wait_until(lambda: _error(shared.second / "db.pkl") == errno.ESHUTDOWN, 60, "the eviction")
        done = orion_hpc(*words, shared.second / "db.pkl")
        assert done.returncode == 1
        assert "mounted it anew" in done.stderr, done.stderr
        assert orion_hpc(*words, shared.first / "db.pkl").returncode == 0


def _error(path: Path) -> int | None:
    try:
        path.stat()
    except OSError as error:
        return error.errno
    return None


def test_the_real_table_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies on a mount that is read-only here is told so."""
    parts = [psutil._ntuples.sdiskpart("nas:/x", str(tmp_path), "nfs4", "ro,vers=4.2")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: parts)
    assert "read-only on this host" in hint(errno.EROFS, str(tmp_path / "db.pkl"))
