"""Learning from another experiment: how much of it, from which one, and what happens later."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orion_hpc.client import build_experiment
from orion_hpc.errors import ConfigurationError, NoConfigurationError
from orion_hpc.experiments import batches
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState

SPACE = {"x": "uniform(0, 1, precision=None)"}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def source(path: str, count: int, *more: dict[str, object]) -> PickledDB:
    """Make an experiment ``old`` with completed trials, whose results have ``more``, too."""
    build_experiment("old", space=SPACE, storage=path)
    database = PickledDB(path)
    step = 1 if more else 100
    for first in range(0, count, step):
        events: list[ev.Event] = []
        for number in range(first, min(count, first + step)):
            results = [{"name": "o", "type": "objective", "value": float(number)}, *more]
            events.append(ev.RegisterTrial(number, {"x": number / count}, 1.0, worker="w"))
            events.append(ev.CompleteTrial(number, 1, results, 2.0))
        database.transact(1, lambda state, events=events: events)
    return database


def new(storage: str = "new.pkl", name: str = "new", **given) -> ExperimentState:
    """Build an experiment; return it as a new reader finds it."""
    given.setdefault("warm_start", {"name": "old", "storage": "old.pkl"})
    client = build_experiment(name, space=SPACE, storage=storage, **given)
    found = PickledDB(storage).refresh().find(name, client.version)
    assert found is not None
    return found


def test_many_trials_are_learned(tmp_path):
    """In several transactions, since no reader takes one of so many; all of them, in order."""
    source("old.pkl", 2500)
    state = new()
    assert [trial.objective for trial in state.learned] == [*map(float, range(2500))]
    assert [trial.number for trial in state.learned[:2]] == [-1, -2]
    ((parts, count),) = state.sources.values()
    assert (count, state.half_learned) == (2500, set())
    assert parts > 2


def test_statistics_are_left_behind():
    """A learning curve of each trial would make a transaction that can't be written."""
    source("old.pkl", 40, {"name": "curve", "type": "statistic", "value": [0.5] * 20_000})
    assert [len(trial.results or ()) for trial in new().learned] == [1] * 40
    assert Path("new.pkl").stat().st_size < 100_000


def test_what_was_cut_short_goes_on(monkeypatch):
    """A crash between two transactions: it is known as half, the next build writes the rest."""
    source("old.pkl", 10)
    monkeypatch.setattr(batches, "MOST", 4)
    transact = PickledDB.transact

    def crashing(self, number, plan):
        state = transact(self, number, plan)
        if number and state.experiments[number].half_learned:
            raise KeyboardInterrupt
        return state

    with monkeypatch.context() as patch:
        patch.setattr(PickledDB, "transact", crashing)
        with pytest.raises(KeyboardInterrupt):
            new()
    half = PickledDB("new.pkl").refresh().experiments[1]
    assert (len(half.learned), len(half.half_learned)) == (4, 1)
    whole = new()
    assert [trial.objective for trial in whole.learned] == [*map(float, range(10))]
    assert not whole.half_learned


def test_the_source_is_needed_once():
    """It may be removed, or go on: what was learned stands."""
    database = source("old.pkl", 3)
    assert len(new().learned) == 3
    results = [{"name": "o", "type": "objective", "value": 1.0}]
    more = [
        ev.RegisterTrial(3, {"x": 0.99}, 1.0, worker="w"),
        ev.CompleteTrial(3, 1, results, 2.0),
    ]
    database.transact(1, lambda state: more)
    assert len(new().learned) == 3
    os.unlink("old.pkl")
    assert len(new().learned) == 3


def test_a_database_that_was_moved_learns_nothing_twice():
    """From an experiment of its own, whose path is another one now."""
    source("old.pkl", 3)
    assert len(new("old.pkl", warm_start="old").learned) == 3
    os.rename("old.pkl", "moved.pkl")
    assert len(new("moved.pkl", warm_start="old").learned) == 3


def test_another_source_is_learned_from_too():
    """A later build that names another one adds it."""
    source("old.pkl", 3)
    source("other.pkl", 2)
    new()
    state = new(warm_start={"name": "old", "storage": "other.pkl"})
    assert sorted(count for _, count in state.sources.values()) == [2, 3]
    assert [trial.number for trial in state.learned] == [-1, -2, -3, -4, -5]


def test_a_version_learns_from_the_one_before():
    """Without a version, of its own name the highest of the others; the same again is no error."""
    source("old.pkl", 3)
    for _ in range(2):
        state = new("old.pkl", "old", version=2, warm_start="old")
        assert [source.split(" in ")[0] for source in state.sources] == ["old-v1"]


@pytest.mark.parametrize(
    "given",
    [{"warm_start": "old"}, {"version": 2, "warm_start": {"name": "old", "version": 2}}],
)
def test_an_experiment_does_not_learn_from_itself(given):
    """Its trials are history already; the next step is told."""
    source("old.pkl", 3)
    before = Path("old.pkl").read_bytes()
    with pytest.raises(ConfigurationError, match="which is this experiment itself") as caught:
        new("old.pkl", "old", **given)
    assert "create the next version: version: " in caught.value.hint
    assert Path("old.pkl").read_bytes() == before


def test_one_in_memory_learns_from_a_file():
    """Of the same name, too: they aren't the same experiment."""
    source("old.pkl", 3)
    for name in ("old", "new"):
        client = build_experiment(
            name, space=SPACE, debug=True, warm_start={"name": "old", "storage": "old.pkl"}
        )
        assert len(client._state.learned) == 3


def test_a_source_that_is_not_there_leaves_no_database():
    """It is looked for before anything is made."""
    with pytest.raises(NoConfigurationError, match=r"'old' in .*old.pkl, which doesn't exist"):
        new()
    with pytest.raises(NoConfigurationError, match="'old', which isn't in ephemeraldb"):
        build_experiment("e", space=SPACE, debug=True, warm_start="old")
    assert os.listdir() == []
