"""The file: creation, torn tails, damage, and files that aren't ours."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import stat
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from functools import partial

import pytest

from orion_hpc.errors import DamagedDatabase, StorageError, StorageUnusable
from orion_hpc.journal import framing, safe_pickle
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE
from orion_hpc.sharedfs import mounts
from orion_hpc.sharedfs.lock import DatabaseLock, lock_path
from tests.rigs.waiting import wait_until


@pytest.fixture(params=[mounts.CACHED, mounts.DIRECT, mounts.APPENDING])
def path(request, tmp_path, monkeypatch):
    """Return a path for a database, on a file system that is used in each of the three ways."""
    monkeypatch.setattr(mounts, "is_coherent", lambda mount: request.param == mounts.CACHED)
    if request.param == mounts.DIRECT:
        monkeypatch.setattr(mounts, "access", lambda mount: mounts.DIRECT)
        monkeypatch.setattr(mounts, "fences", lambda mount: True)
        # A local disk takes whole blocks alone that way.
        monkeypatch.setattr(os, "O_DIRECT", 0)
    return str(tmp_path / "db.pkl")


def create(path: str) -> PickledDB:
    """Return a new database with experiment 1 in it."""
    storage = PickledDB.create(path)
    configuration = {"max_trials": None, "max_broken": 2}
    storage.transact(CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, configuration, 0.0)])
    return storage


def register(storage: PickledDB, number: int) -> None:
    """Register a trial."""
    storage.transact(1, lambda state: [ev.RegisterTrial(number, {"x": float(number)}, 1.0)])


def count(storage: PickledDB) -> int:
    """Return how many trials the storage reads."""
    return len(storage.refresh().experiments[1].trials)


def test_the_database_is_private(path):
    """Results and paths of an experiment are its owner's business."""
    create(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_only_the_database_and_its_lock_remain(path):
    """Creation leaves no temporary file behind."""
    create(path)
    assert sorted(os.listdir(os.path.dirname(path))) == ["db.pkl", "db.pkl.lock"]


def test_missing_directories_are_made(tmp_path):
    """``storage: results/db.pkl`` works before anybody typed mkdir."""
    create(str(tmp_path / "a" / "b" / "db.pkl"))


def test_racing_creators_agree_on_one_file(tmp_path):
    """Of many processes that create at once all end up in the same database."""
    path = str(tmp_path / "db.pkl")
    code = (
        "import sys; from orion_hpc.journal.pickleddb import PickledDB; sys.stdin.readline(); "
        "print(PickledDB.create(sys.argv[1]).id)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(6)
    ]
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    ids = {process.communicate()[0] for process in processes}
    assert len(ids) == 1
    assert os.listdir(tmp_path) == ["db.pkl"]


def test_a_tail_torn_at_any_byte_is_sealed_and_the_next_append_stands(path):
    """A writer that died in its write costs its own transaction and nothing else."""
    storage = create(path)
    register(storage, 0)
    whole = os.path.getsize(path)
    register(storage, 1)
    storage.close()
    with open(path, "rb") as file:
        content = file.read()
    for cut in range(whole, len(content)):
        with open(path, "wb") as file:
            file.write(content[:cut])
        reader = PickledDB(path)
        assert count(reader) == 1
        register(reader, 1)
        register(reader, 2)
        assert count(reader) == 3
        assert count(PickledDB(path)) == 3
        with open(path, "rb") as file:
            assert file.read(cut) == content[:cut], "nothing is ever cut off or overwritten"


def test_a_reader_that_saw_the_torn_tail_goes_on_behind_the_seal(path):
    """A worker that stood before the torn bytes reads what came after them."""
    storage = create(path)
    waiting = PickledDB(path)
    with open(path, "ab") as file:
        file.write(framing.encode_frame(1, b"never whole")[:-3])
    assert count(waiting) == 0
    register(storage, 0)
    assert count(waiting) == 1


def test_damage_in_the_middle_is_reported_with_its_offset(path):
    """Good frames behind bad bytes are never skipped in silence."""
    storage = create(path)
    start = os.path.getsize(path)
    register(storage, 0)
    register(storage, 1)
    storage.close()
    with open(path, "r+b") as file:
        file.seek(start + 20)
        old = file.read(2)
        file.seek(start + 20)
        file.write(bytes(byte ^ 0xFF for byte in old))  # a checksum may have any value
    with pytest.raises(DamagedDatabase, match=f"damaged at offset {start}"):
        PickledDB(path).refresh()
    size = os.path.getsize(path)
    with pytest.raises(DamagedDatabase):
        register(PickledDB(path), 2)
    assert os.path.getsize(path) == size


def test_a_file_that_became_shorter_is_noticed(path):
    """Acknowledged frames that are gone are no reason to write others over their place."""
    storage = create(path)
    register(storage, 0)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - 5)
    with pytest.raises(DamagedDatabase, match="shorter than it was"):
        register(storage, 1)


def test_a_removed_or_replaced_file_is_noticed(path):
    """A worker doesn't go on to write into a file that nobody can find."""
    storage = create(path)
    register(storage, 0)
    os.rename(path, path + ".old")
    with pytest.raises(StorageError, match=r"was removed|there is no database"):
        register(storage, 1)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"name: x\n", "isn't a database"),
        (pickle.dumps({"experiments": []}), "isn't a database"),
        (framing.encode_header({"lock": "flock", "id": "x"})[:20], "isn't a whole database"),
        (framing.encode_header({"other": 1}), "isn't a database"),
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path, content, told):
    """Whatever stands there by mistake, nothing is written into it."""
    path = tmp_path / "db.pkl"
    path.write_bytes(content)
    with pytest.raises(StorageUnusable, match=told) as caught:
        PickledDB.create(str(path))
    assert caught.value.exit_code == 2
    assert path.read_bytes() == content


def test_a_database_of_a_newer_version_says_so(tmp_path):
    """The user learns that an upgrade helps."""
    path = tmp_path / "db.pkl"
    header = bytearray(framing.encode_header({"lock": "flock", "id": "x"}))
    header[8:10] = (99).to_bytes(2, "little")
    path.write_bytes(header)
    with pytest.raises(StorageUnusable, match="newer version") as caught:
        PickledDB(str(path))
    assert "Install that version" in caught.value.hint


def test_a_directory_a_fifo_or_nothing_is_refused(tmp_path):
    """What can't be a database doesn't block or confuse."""
    os.mkfifo(tmp_path / "fifo")
    for name, told in (("fifo", "isn't a file"), ("none", "no database at"), ("", "isn't a file")):
        with pytest.raises(StorageError, match=told):
            PickledDB(str(tmp_path / name))


def test_a_hostile_payload_runs_nothing_and_is_named(path):
    """A frame with a right checksum and a pickle that calls something stops the reader."""
    storage = create(path)
    start = os.path.getsize(path)
    bomb = b"\x80\x05cos\nsystem\n(S'touch /tmp/never'\ntR."
    with open(path, "ab") as file:
        file.write(framing.encode_frame(1, bomb))
    with pytest.raises(DamagedDatabase, match=f"at offset {start}.*the instruction b'c'"):
        storage.refresh()


@pytest.mark.parametrize(
    "transaction", [None, (), ("w", 0), ("w", 0, [(2,)]), ("w", 0, [(99, 1)]), ("w", None, [])]
)
def test_plain_data_that_is_no_transaction_is_named(path, transaction):
    """Garbage that some program wrote is an error with an offset, not a traceback."""
    storage = create(path)
    with open(path, "ab") as file:
        file.write(framing.encode_frame(1, safe_pickle.dumps(transaction)))
    with pytest.raises(DamagedDatabase, match="what no version of orion-hpc writes"):
        storage.refresh()


def test_a_full_disk_is_a_sentence_and_nothing_is_lost(small_disk):
    """ENOSPC in the middle of the append: what was acknowledged stays, and later all goes on."""
    path = str(small_disk / "db.pkl")
    storage = create(path)
    register(storage, 0)
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    with pytest.raises(StorageError, match="No space left on device") as caught:
        deque(map(partial(register, storage), range(1, 200)))
    assert "Free some space" in caught.value.hint
    kept = count(PickledDB(path))
    assert kept >= 1
    filler.unlink()
    register(storage, kept)
    assert count(PickledDB(path)) == kept + 1
    storage.close()


WRITER = """
import sys
from orion_hpc.model import event as ev
from orion_hpc.journal.pickleddb import PickledDB
storage = PickledDB(sys.argv[1])
storage.refresh()
print("ready", flush=True)
sys.stdin.readline()
while True:
    def plan(state):
        trials = state.experiments[1].trials
        if len(trials) >= 200:
            return []
        n = len(trials)
        return [ev.RegisterTrial(n, {"x": n}, 1.0), ev.ReserveTrial(n, 1, sys.argv[2], 1.0)]
    state = storage.transact(1, plan).experiments[1]
    if len(state.trials) >= 200:
        break
"""


def test_processes_that_write_at_once_lose_and_double_nothing(tmp_path):
    """Real processes on a real file: every number is held by exactly one of them."""
    path = str(tmp_path / "db.pkl")
    storage = create(path)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, f"w{index}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for index in range(4)
    ]
    for one in writers:
        assert one.stdout.readline() == b"ready\n"
    for one in writers:
        one.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    trials = storage.refresh().experiments[1].trials
    assert [trial.number for trial in trials] == list(range(200))
    assert {trial.attempt for trial in trials} == {1}
    assert len({trial.worker for trial in trials}) > 1


def test_a_damaged_length_is_no_torn_write(path):
    """One bit makes a good frame claim to be longer: what stands behind it was acknowledged, so
    neither a reader nor the next writer passes over it."""
    storage = create(path)
    start = os.path.getsize(path)
    for number in range(4):
        register(storage, number)
    storage.close()
    with open(path, "r+b") as file:
        file.seek(start + 9)
        file.write(b"\x01")
    with pytest.raises(DamagedDatabase, match=f"damaged at offset {start}"):
        PickledDB(path).refresh()
    size = os.path.getsize(path)
    with pytest.raises(DamagedDatabase):
        register(PickledDB(path), 4)
    assert os.path.getsize(path) == size


def test_a_worker_that_waits_for_the_lock_reads_on(path):
    """Under the lock everybody would wait until it has replayed what they wrote meanwhile."""
    storage = create(path)
    begin = os.path.getsize(path)
    copy = os.path.join(os.path.dirname(path), "copy.pkl")
    shutil.copy(path, copy)
    writer = PickledDB(copy)
    for number in range(3):
        register(writer, number)
    with open(copy, "rb") as file:
        written = file.read()[begin:]
    lock = DatabaseLock(lock_path(path, storage.lock), storage.lock, 5)
    waiting = threading.Thread(target=register, args=(storage, 3))
    with lock.held():
        waiting.start()
        with open(path, "ab") as file:
            file.write(written)
        # Elsewhere than on a coherent file system the last one isn't believed before its sync.
        sure = 3 if storage._file.coherent or storage._file.direct else 2
        wait_until(lambda: len(storage.state.experiments[1].trials) == sure, 20, "it to read on")
    waiting.join(20)
    assert not waiting.is_alive()
    assert count(storage) == 4


def test_a_short_read_is_not_the_end_of_the_file(path, monkeypatch):
    """Where the writer names the offset, it would write over what it hasn't read."""
    first, second = create(path), PickledDB(path)
    second.refresh()
    known, read = os.path.getsize(path), os.pread
    register(first, 0)
    cut = []

    def pread(fd, count, start):
        data = read(fd, count, start)
        if not cut and start <= known < start + len(data):
            cut.append(True)
            data = data[: known - start]
        return data

    monkeypatch.setattr(os, "pread", pread)
    register(second, 1)
    assert cut
    monkeypatch.setattr(os, "pread", read)
    assert count(first) == count(second) == count(PickledDB(path)) == 2


def test_forks_are_writers_of_their_own(path):
    """A database that was open at the fork can be written by both, and neither's word is lost."""
    storage = create(path)
    register(storage, 0)
    ready, go = multiprocessing.Event(), multiprocessing.Event()

    def child() -> None:
        ready.set()
        go.wait(20)
        register(storage, 1)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert ready.wait(20)
    go.set()
    process.join(20)
    assert process.exitcode == 0
    register(storage, 2)
    assert count(storage) == 3
    assert count(PickledDB(path)) == 3
