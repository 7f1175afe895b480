"""Reading trials: by replay, without the lock, while others write."""

from __future__ import annotations

import os

import pytest

from orion_hpc.client import get_experiment
from orion_hpc.client.trials import (
    fetch_trials,
    fetch_trials_by_status,
    get_trial,
    pareto_front,
    to_pandas,
)
from orion_hpc.errors import ConfigurationError, NoConfigurationError, StorageUnusable
from orion_hpc.experiments.lookup import read_experiments
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import BROKEN, COMPLETED, RESERVED, USER_ERROR
from orion_hpc.sharedfs.flock import Flock
from tests.rigs.database import create, result, work


@pytest.fixture
def path(tmp_path):
    """A database with e-v1 (4 completed, one broken, one reserved), e-v2 and f-v1 (empty)."""
    path = tmp_path / "db.pkl"
    storage = create(path)
    work(storage, 4)
    failure = ev.ReleaseTrial(3, 1, BROKEN, USER_ERROR, "why\nreally", 6.0)
    storage.transact(1, lambda state: [failure])
    work(storage, 2)
    create(path, "e", 2)
    create(path, "f")
    return path


def test_all_trials_of_an_experiment_are_fetched_by_number(path):
    """Of the version that is asked for, else of the highest; an experiment may have none."""
    trials = fetch_trials(path, "e", 1)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4, 5]
    assert [trial.status for trial in trials] == [
        COMPLETED, COMPLETED, COMPLETED, BROKEN, COMPLETED, RESERVED,
    ]  # fmt: skip
    assert [one.to_dict() for one in trials[4].results] == result(4)
    assert trials[4].objective.value == 4.5
    assert (trials[3].cause, trials[3].message) == (USER_ERROR, "why\nreally")
    assert trials[5].working_dir == f"{path}.files/e-v1/trials/5"
    assert not os.path.exists(trials[5].working_dir), "it is somebody else's to make"
    assert fetch_trials(path, "e") == []
    assert fetch_trials(str(path), "f") == []


def test_the_lock_is_not_taken_and_nothing_is_written(path):
    """A reader disturbs nobody, and sees all that is in the journal while another holds the
    lock."""
    lock = Flock(f"{path}.lock", 0o600)
    before = sorted(os.listdir(path.parent)), path.read_bytes()
    assert lock.try_acquire()
    try:
        assert len(fetch_trials(path, "e", 1)) == 6
    finally:
        lock.release()
    assert (sorted(os.listdir(path.parent)), path.read_bytes()) == before


def test_trials_are_fetched_by_status(path):
    """In the order of their numbers; a misspelt status is told."""
    found = fetch_trials_by_status("completed", path, "e", 1)
    assert [trial.number for trial in found] == [0, 1, 2, 4]
    assert fetch_trials_by_status("suspended", path, "e", 1) == []
    for number in (2, 0):  # which come to their new status in another order
        change = ev.SetStatus(number, 1, "suspended", 7.0)
        PickledDB(str(path)).transact(1, lambda state, change=change: [change])
    found = fetch_trials_by_status("suspended", path, "e", 1)
    assert [trial.number for trial in found] == [0, 2]
    with pytest.raises(ConfigurationError, match=r"no status 'compleet' \(did you mean complete"):
        fetch_trials_by_status("compleet", path, "e", 1)


def test_the_front_of_several_objectives(tmp_path):
    """What none other is better than in all; of one objective, the best."""
    storage = create(tmp_path / "db.pkl")
    for number, values in enumerate([(1, 5), (2, 2), (3, 3)]):
        results = [{"name": f"o{n}", "type": "objective", "value": v} for n, v in enumerate(values)]
        for event in (
            ev.RegisterTrial(number, {"x": number / 10, "kind": "a"}, 1.0, worker="w"),
            ev.CompleteTrial(number, 1, results, 2.0),
        ):
            storage.transact(1, lambda state, event=event: [event])
    found = pareto_front(tmp_path / "db.pkl")
    assert [[one.value for one in trial.objectives] for trial in found] == [[1, 5], [2, 2]]
    assert get_experiment("e", storage=tmp_path / "db.pkl").pareto_front() == found


def test_a_trial_is_got_by_number_or_id(path):
    """Also by the beginning of its id."""
    wanted = fetch_trials(path, "e", 1)[2]
    for asked in (2, "2", wanted.id, wanted.id[:8]):
        assert get_trial(asked, path, "e", 1) == wanted
    for asked in (6, "6", -1, "", wanted.id[:2], wanted.id + "0", "٣"):
        with pytest.raises(ConfigurationError, match=r"no trial .* in e-v1"):
            get_trial(asked, path, "e", 1)


def test_an_id_that_two_begin_with_is_refused(tmp_path):
    """Which of them isn't guessed; a whole id always names one."""
    storage = create(tmp_path / "db.pkl")
    for number, name in enumerate(("abcd1", "abcd2", "abcd")):
        event = ev.RegisterTrial(number, {"x": 0.5}, 1.0, name)
        storage.transact(1, lambda state, event=event: [event])
    assert get_trial("abcd", tmp_path / "db.pkl").number == 2
    event = ev.RegisterTrial(3, {"x": 0.5}, 1.0, "abcdef")
    storage.transact(1, lambda state: [event])
    assert get_trial("abcde", tmp_path / "db.pkl").number == 3
    event = ev.RegisterTrial(4, {"x": 0.5}, 1.0, "abcdeg")
    storage.transact(1, lambda state: [event])
    with pytest.raises(ConfigurationError, match=r"2 trials of e-v1 have .* begins with 'abcde'"):
        get_trial("abcde", tmp_path / "db.pkl")


def test_what_is_not_there_is_named_with_what_is(path):
    """Names, versions, a file."""
    with pytest.raises(NoConfigurationError, match=r"'g' in .*db.pkl") as caught:
        fetch_trials(path, "g")
    assert caught.value.hint == "There are: e, f."
    with pytest.raises(NoConfigurationError, match="'e' version 3") as caught:
        fetch_trials(path, "e", 3)
    assert caught.value.hint == "There are: e-v1, e-v2."
    with pytest.raises(NoConfigurationError, match=r"several experiments in .*: e, f") as caught:
        fetch_trials(path)
    assert "--name" in caught.value.hint
    with pytest.raises(StorageUnusable, match="no database at"):
        fetch_trials(path.parent / "none.pkl")


def test_one_name_needs_not_be_said(tmp_path):
    """A database with one experiment is the usual one; one without any is told."""
    storage = create(tmp_path / "db.pkl")
    work(storage, 1)
    assert len(fetch_trials(tmp_path / "db.pkl")) == 1
    storage.transact(0, lambda state: [ev.RemoveExperiment(1, 1.0)])
    with pytest.raises(NoConfigurationError, match="there is no experiment in"):
        fetch_trials(tmp_path / "db.pkl")
    assert read_experiments(tmp_path / "db.pkl") == []


def test_a_data_frame_has_orions_columns(path):
    """One row a trial; times as Oríon's, in UTC without saying so."""
    frame = to_pandas(path, "e", 1)
    assert list(frame.columns) == [
        "id", "experiment_id", "status", "suggested", "reserved", "completed", "objective", "kind",
        "x", "experiment", "version", "number", "attempt", "submit_time", "start_time", "end_time",
        "worker", "cause", "message", "parent",
    ]  # fmt: skip
    trials = fetch_trials(path, "e", 1)
    assert list(frame["id"]) == [trial.id for trial in trials]
    assert set(frame["experiment_id"]) == {"e-v1"}
    assert list(frame["status"]) == [trial.status for trial in trials]
    assert frame["objective"].tolist()[:3] == [0.5, 1.5, 2.5]
    assert frame["objective"].isna().tolist() == [False, False, False, True, False, True]
    assert str(frame["suggested"].dtype).startswith("datetime64[")
    assert frame["suggested"][0].tzinfo is None
    assert frame["completed"].isna().tolist() == [False] * 5 + [True]
    assert frame["suggested"][0].isoformat() == "1970-01-01T00:00:04"
    assert list(frame["x"]) == [trial.params["x"] for trial in trials]
    assert list(frame["kind"]) == [trial.params["kind"] for trial in trials]


def test_a_data_frame_of_no_trials_has_the_columns_too(path):
    """A script that plots it doesn't fall over a new experiment."""
    frame = to_pandas(path, "f")
    assert len(frame) == 0
    assert list(frame.columns)[:3] == ["id", "experiment_id", "status"]


def test_all_versions_can_be_in_one_data_frame(path):
    """As Oríon's with_evc_tree."""
    assert len(to_pandas(path, "e")) == 0
    assert len(to_pandas(path, "e", with_evc_tree=True)) == 6
