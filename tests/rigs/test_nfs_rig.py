"""The rig of NFS does what it says, leaves nothing behind, and its audit finds what is wrong."""

from __future__ import annotations

import contextlib
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.rigs.nfs import audit, workers
from tests.rigs.nfs.guest import GuestError
from tests.rigs.nfs.rig import NfsRig
from tests.rigs.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from tests.rigs.nfs.rig import NfsRig
with NfsRig() as rig:
    print(rig.directory, flush=True)
    sys.stdin.read()
"""


def left_of(directory: Path) -> list[str]:
    """What there is of a rig: processes whose command line names its directory, and itself."""
    found = [str(directory)] if directory.exists() else []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(f"{directory}/" in word for word in process.cmdline()):
                found.append(" ".join(process.cmdline())[:100])
    return found


@pytest.mark.nfs
def test_nothing_outlives_killed_tests(nfs_rig):
    """When the tests' process gets SIGKILL, the guests, the switch and the directory go too; and
    another rig, which runs beside it, isn't touched."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as tests:  # fmt: skip
        assert tests.stdout is not None
        directory = Path(tests.stdout.readline().strip())
        assert len(left_of(directory)) >= 5, "three guests, the switch, the directory"
        tests.send_signal(signal.SIGKILL)
    wait_until(lambda: left_of(directory) == [], 20, f"nothing to be left of {directory}")
    assert [guest.run("hostname").strip() for guest in nfs_rig.clients] == ["c1", "c2"]


@pytest.mark.nfs
def test_a_start_that_fails_halfway_leaves_nothing(nfs_rig, monkeypatch):
    """What went wrong in the guest is told, with the end of its console."""
    directories = []

    class Half(NfsRig):
        def _start(self, directory: Path) -> None:
            directories.append(directory)
            super()._start(directory)

    monkeypatch.setattr(sys, "executable", "/no/such/python")
    monkeypatch.setattr("tests.rigs.supervisor.sys.executable", sys._base_executable)
    with pytest.raises(GuestError):
        Half().start()
    assert left_of(directories[0]) == []


@pytest.mark.nfs
@pytest.mark.parametrize("version", ["3", "4.2"])
def test_a_client_is_cut_off_in_a_write_and_no_earlier(nfs_rig, version):
    """It still reads; the write that cuts it off doesn't reach the server until it is mended."""
    client, switch, shared = nfs_rig.c1, nfs_rig.switch, nfs_rig.folder(version)
    nfs_rig.server.run(f"echo before > {shared.served}/file")
    switch.cut(client.number, at_write=True)
    try:
        assert client.run(f"ls {shared.path}; cat {shared.path}/file") == "file\nbefore\n"
        assert not switch.is_cut(client.number)
        writing = client.start(f"echo after >> {shared.path}/file")
        wait_until(lambda: switch.is_cut(client.number), 30, "the write")
        assert nfs_rig.server.run(f"cat {shared.served}/file") == "before\n"
    finally:
        switch.mend(client.number)
    writing.wait(120)
    assert nfs_rig.server.run(f"cat {shared.served}/file") == "before\nafter\n"


@pytest.mark.nfs
def test_frames_are_delayed(nfs_rig):
    """A round trip takes twice the delay, and no longer when there is none any more."""

    program = (
        "import socket, time; begun = time.monotonic(); "
        "socket.create_connection(('server', 2049)); print(time.monotonic() - begun)"
    )

    def round_trip() -> float:
        return float(nfs_rig.c1.run(f'{sys.executable} -c "{program}"'))

    round_trip()  # which finds out the Ethernet address
    nfs_rig.switch.delay(0.1)
    try:
        assert 0.2 <= round_trip() < 0.4
    finally:
        nfs_rig.switch.delay(0.0)
    assert round_trip() < 0.2


def notes_of(journal: Path) -> list[audit.Note]:
    """What was noted beside a database."""
    return audit.Notebook(journal.parent).notes()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A database in which a worker's result was recorded; the worker's notes are beside it."""
    path = tmp_path / "db.pkl"
    workers.make(str(path))
    workers.once(str(tmp_path), str(path))
    return path


def test_the_audit_finds_nothing_where_nothing_is_wrong(journal):
    """What a worker was told is in the file and in what a reader makes of it."""
    assert audit.problems(notes_of(journal), journal, limit=1) == []


def test_the_audit_finds_a_lost_result(journal):
    """Zeros over the frame of an acknowledged result, as NFS leaves them, with another's behind."""
    before = journal.stat().st_size
    (first,) = audit.having(notes_of(journal), "observing")
    workers.once(str(journal.parent), str(journal))
    data = bytearray(journal.read_bytes())
    assert len(data) > before
    value = struct.pack(">d", first.value)
    at = data.index(value)
    data[at : at + 8] = bytes(8)
    journal.write_bytes(data)
    found = "\n".join(audit.problems(notes_of(journal), journal, limit=2))
    assert "its value isn't in the file" in found
    assert "can't read the file" in found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": 0.5}, ["isn't in the file", "another value than acknowledged", "2 times"]),
        ({"trial": "0" * 32}, ["isn't completed"]),
        ({"what": "reserved"}, ["was given to 2"]),
        ({"what": "trouble", "told": "StorageError: no"}, ["1 times a worker was told: Storage"]),
    ],
)
def test_the_audit_finds_what_differs(journal, change, told):
    """A result that another replaced, one that nobody recorded, one attempt for two, a trouble."""
    notes = notes_of(journal)
    (acknowledged,) = audit.having(notes, "acknowledged")
    found = "\n".join(audit.problems([*notes, replace(acknowledged, **change)], journal))
    for text in told:
        assert text in found


def test_the_audit_counts_what_is_completed(journal):
    """One too few is as wrong as one too many."""
    (found,) = audit.problems(notes_of(journal), journal, limit=2)
    assert found == "2 trials were to complete; there are {'completed': 1}"
    (found,) = audit.problems(notes_of(journal), journal, limit=0)
    assert found.startswith("0 trials were to complete")
