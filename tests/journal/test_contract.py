"""One contract for every storage: the file's and the one in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orion_hpc.journal.base import Storage
from orion_hpc.journal.memory import MemoryStorage, SharedJournal
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE


@pytest.fixture(params=["pickleddb", "memory"])
def connect(request, tmp_path) -> Callable[..., Storage]:
    """Return a function that opens the same database once more, as another worker would."""
    if request.param == "memory":
        journal = SharedJournal()
        return lambda **options: MemoryStorage(journal, **options)
    path = str(tmp_path / "db.pkl")
    return lambda **options: PickledDB.create(path, **options)


def create(storage: Storage, name: str = "e") -> None:
    """Create an experiment."""
    configuration = {"max_trials": 3, "max_broken": 2}
    storage.transact(CATALOGUE, lambda state: [ev.CreateExperiment(name, 1, configuration, 0.0)])


def register(storage: Storage, number: int, experiment: int = 1) -> None:
    """Register a trial."""
    storage.transact(
        experiment, lambda state: [ev.RegisterTrial(number, {"x": float(number)}, 1.0)]
    )


def test_a_transaction_shows_in_the_writers_state_and_in_every_readers(connect):
    """On return the events are replayed here; elsewhere after a refresh."""
    one, other = connect(), connect()
    create(one)
    register(one, 0)
    assert len(one.state.experiments[1].trials) == 1
    assert other.state.experiments == {}
    assert other.refresh().experiments[1].trials == one.state.experiments[1].trials


def test_the_plan_sees_what_others_wrote_just_before(connect):
    """A plan decides on the end of the journal, not on what its worker last read."""
    one, other = connect(), connect()
    create(one)
    register(one, 0)
    seen = []

    def plan(state):
        seen.append(len(state.experiments[1].trials))
        return [ev.ReserveTrial(0, 1, "other", 2.0)]

    other.transact(1, plan)
    assert seen == [1]
    assert one.refresh().experiments[1].trials[0].worker == "other"


def test_an_event_that_loses_changes_nothing_for_anybody(connect):
    """Of two reservations of one attempt the first in the journal stands, for both workers."""
    one, other = connect(), connect()
    create(one)
    register(one, 0)
    for storage, worker in ((one, "a"), (other, "b")):
        storage.transact(1, lambda state, worker=worker: [ev.ReserveTrial(0, 1, worker, 2.0)])
    workers = {storage.refresh().experiments[1].trials[0].worker for storage in (one, other)}
    assert workers == {"a"}


def test_a_plan_that_wants_nothing_writes_nothing(connect):
    """Looking costs no append."""
    storage = connect()
    create(storage)
    before = storage.position()
    storage.transact(1, lambda state: [])
    assert storage.position() == before


def test_a_plan_that_fails_writes_nothing_and_leaves_the_storage_usable(connect):
    """An algorithm's error in the transaction must not hold the lock or half a frame."""
    one, other = connect(), connect()
    create(one)
    before = one.position()

    def plan(state):
        raise RuntimeError("no idea")

    with pytest.raises(RuntimeError, match="no idea"):
        one.transact(1, plan)
    assert one.position() == before
    register(other, 0)
    register(one, 1)
    assert len(one.state.experiments[1].trials) == 2


def test_what_is_not_plain_data_is_refused_and_nothing_is_written(connect):
    """A numpy value or a class of the user's can't poison the journal for the others."""
    storage = connect()
    create(storage)
    before = storage.position()
    with pytest.raises(TypeError, match="not plain data"):
        storage.transact(1, lambda state: [ev.RegisterTrial(0, {"x": object()}, 1.0)])
    assert storage.position() == before
    register(storage, 0)
    assert len(storage.state.experiments[1].trials) == 1


def test_the_position_grows_with_each_append(connect):
    """Idle workers see that something happened without reading it."""
    one, other = connect(), connect()
    create(one)
    before = other.position()
    register(one, 0)
    assert other.position() > before


def test_only_followed_experiments_are_replayed(connect):
    """A worker isn't slowed down by other experiments in the same database."""
    one = connect()
    create(one, "e")
    create(one, "f")
    register(one, 0, experiment=1)
    register(one, 0, experiment=2)
    reader = connect(follows=lambda experiment: experiment.name == "f")
    experiments = reader.refresh().experiments
    assert [len(experiments[number].trials) for number in (1, 2)] == [0, 1]


def test_a_closed_storage_can_be_used_again(connect):
    """close() lets go of files and of nothing else."""
    storage = connect()
    create(storage)
    storage.close()
    register(storage, 0)
    storage.close()
    assert len(storage.refresh().experiments[1].trials) == 1


def test_nobody_shares_mutable_values(connect):
    """What a writer changes after the transaction isn't what readers see."""
    storage = connect()
    create(storage)
    params = {"x": [1.0]}
    storage.transact(1, lambda state: [ev.RegisterTrial(0, params, 1.0)])
    params["x"].append(2.0)
    assert storage.state.experiments[1].trials[0].params == {"x": [1.0]}
