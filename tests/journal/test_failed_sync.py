"""A sync that fails after others of the writer's host have read the frame in their common cache.

What they read never gets into the file. They go on all the same, without a restart, on
:class:`tests.rigs.lying_file.LyingFile`: the file systems that are read through the page cache.
"""

from __future__ import annotations

import pytest

from orion_hpc.errors import StorageError
from orion_hpc.journal import framing, pickleddb
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE
from tests.rigs.lying_file import LyingFile, NoLock, Server


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is the next look, which comes at once here."""
    monkeypatch.setattr(pickleddb.time, "sleep", lambda seconds: None)


def connect(server: Server) -> tuple[PickledDB, LyingFile]:
    """Return a worker's database, and its file."""
    file = LyingFile("/nowhere/db.pkl", server)
    db = PickledDB(file.path, file=file)  # type: ignore[arg-type]
    db._writer.lock = NoLock()  # type: ignore[assignment]
    return db, file


def launch(db: PickledDB, name: str) -> None:
    """Record something."""
    db.transact(1, lambda state: [ev.LaunchJobs("local", (name,), "/logs", 1.0)])


def launched(db: PickledDB) -> list[str]:
    """Return what is recorded."""
    return [job.job_ids[0] for job in db.refresh().experiments[1].jobs]


@pytest.mark.parametrize("torn", [b"", framing.MARK + b"c half a frame"])
def test_readers_go_on_after_a_sync_that_failed(torn: bytes) -> None:
    """Also if a seal went with the frame, since it stood behind a torn write; and the writer's next
    frame is read in its place."""
    server = Server(framing.encode_header({"lock": "flock", "id": "0" * 32}))
    (writer, file), (reader, _) = connect(server), connect(server)
    limits = {"max_trials": 1, "max_broken": 3}
    writer.transact(CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, limits, 0.0)])
    launch(writer, "first")
    server.data += torn
    seen: list[str] = []
    file.vanishes = lambda: seen.extend(launched(reader))
    with pytest.raises(StorageError, match="full"):
        launch(writer, "gone")
    assert seen == ["first", "gone"]
    assert launched(reader) == ["first"]
    launch(writer, "second")
    assert launched(reader) == launched(writer) == ["first", "second"]
    launch(reader, "third")
    assert launched(writer) == ["first", "second", "third"]
