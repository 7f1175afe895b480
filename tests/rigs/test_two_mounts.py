"""The rigs of shared file systems leave nothing behind, whatever happens to them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.rigs.glusterfs import GlusterFS
from tests.rigs.sshfs import Sshfs
from tests.rigs.supervisor import mount_points
from tests.rigs.two_mounts import MountError, Shared, TwoMounts
from tests.rigs.waiting import wait_until

pytestmark = pytest.mark.sharedfs

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from tests.rigs.cephfs import CephFS
from tests.rigs.glusterfs import GlusterFS
from tests.rigs.sshfs import Sshfs
with {"cephfs": CephFS, "glusterfs": GlusterFS, "sshfs": Sshfs}[sys.argv[1]]() as two:
    print(two.directory, flush=True)
    sys.stdin.read()
"""


def left_of(directory: Path) -> list[str]:
    """What there is of a rig: processes whose command line names its directory, mounts, itself."""
    found = [str(point) for point in mount_points(directory)]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(f"{directory}/" in word for word in process.cmdline()):
                found.append(" ".join(process.cmdline()))
    return [*found, str(directory)] if directory.exists() else found


@pytest.mark.parametrize("kind", ["glusterfs", "sshfs", "cephfs"])
def test_nothing_outlives_killed_tests(request, kind):
    """When the tests' process gets SIGKILL, the daemons, the mounts and the directory go too."""
    request.getfixturevalue(f"{kind}_mounts")  # or be skipped
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as tests:  # fmt: skip
        assert tests.stdout is not None
        directory = Path(tests.stdout.readline().strip())
        assert len(left_of(directory)) >= 5, "two mounts, two clients, the directory"
        tests.send_signal(signal.SIGKILL)
    wait_until(lambda: left_of(directory) == [], 20, f"nothing to be left of {directory}")


def test_a_start_that_fails_halfway_leaves_nothing(sshfs_mounts: TwoMounts):
    """The first mount is taken away again, and what went wrong with the second is told."""
    directories = []

    class Half(Sshfs):
        def _mount_command(self, mount: Path) -> tuple[str, ...]:
            directories.append(self._path(""))
            done = super()._mount_command(mount)
            return done if mount.name == "mount1" else ("sh", "-c", "echo no such host >&2")

    with pytest.raises(MountError, match="no such host"):
        Half().start()
    assert left_of(directories[0]) == []


def test_two_at_once_do_not_meet(glusterfs: Shared):
    """A second GlusterFS has files of its own, and its end is none of the first one's business."""
    with GlusterFS() as other:
        folder = other.folder()
        (folder.first / "theirs").touch()
        (glusterfs.first / "ours").touch()
        wait_until(lambda: (folder.second / "theirs").exists(), 10, "the file on the other mount")
        assert not (folder.second / "ours").exists()
    (glusterfs.first / "later").touch()
    wait_until(lambda: (glusterfs.second / "later").exists(), 10, "the first one's file to be seen")
    assert not (glusterfs.second / "theirs").exists()
