"""A process that only reads a file has it open for as long as it is wanted, and no longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from orion_hpc.doctor.open_reader import ReaderProcess
from tests.rigs.waiting import wait_until

PROGRAM = """
import sys
from orion_hpc.doctor.open_reader import ReaderProcess
reading = ReaderProcess(sys.argv[1])
assert reading.start()
print(reading._process.pid, flush=True)
sys.stdin.read()
"""


def readers(path: Path) -> list[psutil.Process]:
    """Return the children of this process that have the file open."""
    found = psutil.Process().children(recursive=True)
    return [one for one in found if any(file.path == str(path) for file in one.open_files())]


def test_it_has_the_file_open_and_reads_it_again(tmp_path: Path) -> None:
    """By one descriptor all the time, without a writer's rights."""
    path = tmp_path / "file"
    path.write_bytes(b"a")
    with ReaderProcess(str(path)) as reading:
        (reader,) = readers(path)
        (file,) = reader.open_files()
        assert file.mode == "r"

        def reads() -> int:
            return reader.io_counters().read_count

        seen = reads()
        wait_until(lambda: reads() > seen + 2, 10, "the file to be read again")
        assert [one.fd for one in reader.open_files()] == [file.fd]
        assert reading.start(), "it runs already"
        assert readers(path) == [reader]
    assert not reader.is_running()


def test_a_file_that_comes_later_is_read_then(tmp_path: Path) -> None:
    """A client may remember for a while that it wasn't there."""
    path = tmp_path / "file"
    with subprocess.Popen(["sh", "-c", f"sleep 0.3; echo a > {path}"]) as maker:
        with ReaderProcess(str(path)):
            assert readers(path)
        maker.wait()


def test_it_ends_with_its_owner(tmp_path: Path) -> None:
    """Also where that is killed."""
    path = tmp_path / "file"
    path.write_bytes(b"a")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        reader = psutil.Process(int(owner.stdout.readline()))
        assert reader.is_running()
        owner.kill()
    wait_until(lambda: not reader.is_running(), 10, "the reader to end")
