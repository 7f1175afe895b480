"""Setting trials by hand: what is set, what is refused, and what workers make of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orion_hpc.client.trials import fetch_trials
from orion_hpc.errors import ConfigurationError, NoConfigurationError
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.maintenance import status_change
from orion_hpc.maintenance.status_change import set_status
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import (
    BROKEN,
    COMPLETED,
    INTERRUPTED,
    NEW,
    RESERVED,
    USER_ERROR,
)
from orion_hpc.sharedfs import process_identity
from tests.rigs.database import create, result, work


@pytest.fixture
def path(tmp_path):
    """A database: trials 0 to 2 completed, 3 and 4 broken, 5 held by this process."""
    path = tmp_path / "db.pkl"
    storage = create(path)
    work(storage, 4)
    for number in (3, 4):
        failure = ev.ReleaseTrial(number, 1, BROKEN, USER_ERROR, "why", 6.0)
        storage.transact(1, lambda state, failure=failure: [failure])
        work(storage, 1, worker="w" if number == 3 else str(process_identity.own()))
    storage.close()
    return path


def statuses(path) -> list[str]:
    """Return the trials' statuses."""
    return [trial.status for trial in fetch_trials(path)]


BEFORE = [COMPLETED, COMPLETED, COMPLETED, BROKEN, BROKEN, RESERVED]


def refused(path, told: str, *given, **more) -> str:
    """Set, expect a refusal that changes nothing, and return its hint."""
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=told) as caught:
        set_status(str(path), *given, **more)
    assert path.read_bytes() == before
    return caught.value.hint


def test_trials_are_set_by_number_and_by_id(path):
    """Once each, however they are called."""
    trials = fetch_trials(path)
    done = set_status(str(path), NEW, trials=["3", trials[3].id, trials[1].id[:10]])
    assert done.numbers == [1, 3]
    assert statuses(path) == [COMPLETED, NEW, COMPLETED, NEW, BROKEN, RESERVED]


def test_trials_are_set_by_status(path):
    """All of them, in the state as it is then."""
    done = set_status(str(path), INTERRUPTED, "e", 1, status=BROKEN)
    assert (done.numbers, done.unchanged, done.missed) == ([3, 4], 0, [])
    assert statuses(path) == [*BEFORE[:3], INTERRUPTED, INTERRUPTED, RESERVED]
    assert set_status(str(path), INTERRUPTED, status=BROKEN).numbers == []


def test_what_has_the_status_already_is_counted_and_left_alone(path):
    """No event is written for it."""
    before = path.read_bytes()
    done = set_status(str(path), BROKEN, trials=["3", "4"])
    assert (done.numbers, done.unchanged) == ([], 2)
    assert path.read_bytes() == before


def test_workers_run_a_set_trial_again_and_the_budget_stays_exact(path):
    """Completed ones too: the old result is gone from all counts, the new one takes its place."""
    set_status(str(path), NEW, trials=["0", "3"])
    experiment = work(PickledDB(str(path)), 20, worker="another")
    assert experiment.count(COMPLETED) == 7, "one place is held by another worker"
    assert [trial.status for trial in experiment.trials[:4]] == [COMPLETED] * 4
    assert (experiment.trials[0].attempt, experiment.trials[0].results) == (2, result(0))
    experiment = work(PickledDB(str(path)), 1, worker=str(process_identity.own()))
    assert experiment.count(COMPLETED) == 8
    assert experiment.is_done


def test_a_reserved_trial_is_left_to_its_worker(path):
    """All or nothing, and it is told who holds it."""
    hint = refused(path, f"trial 5 of e-v1 is reserved by {process_identity.own()}", NEW,
                   trials=["3", "5"])  # fmt: skip
    assert "Stop the worker" in hint
    refused(path, "trial 5 of e-v1", BROKEN, status=RESERVED)


def test_a_trial_whose_worker_is_gone_can_be_set(path):
    """It is taken from it first, as any worker would do."""
    who = subprocess.run(
        [sys.executable, "-c", "from orion_hpc.sharedfs.process_identity import own; print(own())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    work(PickledDB(str(path)), 1, worker=who)
    assert statuses(path)[6] == RESERVED
    set_status(str(path), BROKEN, trials=["6"])
    assert statuses(path)[6] == BROKEN


@pytest.mark.parametrize("to", [COMPLETED, RESERVED])
def test_nothing_is_set_to_what_only_a_worker_brings_about(path, to):
    """A result can't be made up."""
    assert "broken, interrupted, new, suspended" in refused(path, "only a worker", to, trials=["3"])


def test_wrong_words_are_told(path):
    """Statuses, trials, experiments; and which trials must be said in one way."""
    refused(path, r"no status 'brokn' \(did you mean broken", "brokn", trials=["1"])
    refused(path, r"no status 'newer'", NEW, status="newer")
    refused(path, "no trial '99'", NEW, trials=["1", "99"])
    refused(path, "which trials", NEW)
    refused(path, "which trials", NEW, trials=["1"], status=BROKEN)
    with pytest.raises(NoConfigurationError):
        set_status(str(path), NEW, "nobody", trials=["1"])


def test_broken_trials_do_not_come_back_beyond_the_budget(path):
    """Others have taken their places; what would be too much is told, and nothing is done."""
    storage = PickledDB(str(path))
    storage.transact(1, lambda state: [ev.ChangeLimits(5, 9, 7.0)])
    refused(path, "there would be 6 in e-v1, and max_trials is 5", NEW, status=BROKEN)
    assert set_status(str(path), NEW, trials=["4"]).numbers == [4]


def test_many_trials_take_more_than_one_transaction(path, monkeypatch):
    """A transaction has a largest size."""
    monkeypatch.setattr(status_change, "_MOST_AT_ONCE", 2)
    done = set_status(str(path), INTERRUPTED, status=COMPLETED)
    assert done.numbers == [0, 1, 2]
    assert set_status(str(path), BROKEN, trials=["0", "1", "2", "3"]).numbers == [0, 1, 2]
    assert statuses(path) == [BROKEN] * 5 + [RESERVED]


SETTER = """
import sys
from orion_hpc.maintenance.status_change import set_status
path, to = sys.argv[1:]
for _ in range(20):
    set_status(path, to, trials=["0", "1", "2"])
"""


def test_two_who_set_the_same_trials_at_once_make_one_history(path):
    """Real processes: no error, and in the end all trials are as one of them said."""
    goals = (NEW, BROKEN)
    setters = [subprocess.Popen([sys.executable, "-c", SETTER, str(path), to]) for to in goals]
    assert [setter.wait(60) for setter in setters] == [0, 0]
    assert set(statuses(path)[:3]) < {NEW, BROKEN}
