"""What is told of asked and used, on histories whose sums are known."""

from __future__ import annotations

import pytest

from orion_hpc.experiments.resources import resource_lines, resources
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, INTERRUPTED, LOST_WORKER, PREEMPTED, USER_ERROR

RESULTS = [{"name": "loss", "type": "objective", "value": 1.5}]
GIB = 1024**3


def history(
    cpus: int = 5, memory: int | None = 8 * GIB, limit: float | None = 36_000.0, cpu: float = 3600.0
) -> ExperimentState:
    """Two hours of worker ``a``, of which one was a trial's; and a lost worker's half hour."""
    state = ExperimentState(1, "e", 1, {}, 0.0, 9, 9)
    events = [
        ev.RegisterTrial(0, {"x": 0}, 0.0, worker="a"),
        ev.CompleteTrial(0, 1, RESULTS, 3600.0, (cpu, GIB)),
        ev.RegisterTrial(1, {"x": 1}, 3600.0, worker="a"),
        ev.ReleaseTrial(1, 1, BROKEN, USER_ERROR, "", 4320.0),
        ev.RegisterTrial(2, {"x": 2}, 4320.0, worker="a"),
        ev.ReleaseTrial(2, 1, INTERRUPTED, PREEMPTED, "", 5040.0),
        ev.RegisterTrial(3, {"x": 3}, 0.0, worker="gone"),
        ev.ReleaseTrial(3, 1, INTERRUPTED, LOST_WORKER, "", 1800.0),
        ev.LeaveWorker("a", 0.0, 7200.0, cpus, 1, memory, limit, 100 * 1024**2),
    ]
    for event in events:
        assert state.apply(event)
    return state


def test_core_hours():
    """Each attempt has the CPUs of its slot; what no attempt had was idle."""
    found = resources(history())
    assert found["core_hours"] == pytest.approx(
        {"completed": 5.0, "broken": 1.0, "interrupted": 1.0, "lost worker": 2.5, "idle": 3.0}
    )
    assert found["workers"] == {"left": 1, "lost": 1}


def test_asked_and_used():
    found = resources(history())
    assert found["asked"] == {"cpus": 5, "n_workers": 1, "memory": 8 * GIB, "time": 36_000.0}
    assert found["used"] == {
        "cpus": 1.0, "memory": GIB + 100 * 1024**2, "trial_memory": GIB, "time": 7200.0,
    }  # fmt: skip


def test_advice():
    """Only what the figures say, and nothing of what was well used."""
    state = history()
    assert [text.partition(":")[0] for text in resources(state)["advice"]] == [
        "--cpus-per-task 2", "--mem 1536M",
    ]  # fmt: skip
    state.apply(ev.ChangeLimits(1, 9, 1.0))
    assert state.is_done
    assert resources(state)["advice"][-1].startswith("--time 150: no worker took longer than 2 h")
    fitting = history(cpus=1, memory=int(1.4 * GIB), limit=9000.0)
    assert resources(fitting)["advice"] == []
    tight = history(cpus=1, memory=int(1.2 * GIB), limit=None)
    (told,) = resources(tight)["advice"]
    assert told.startswith("--mem 1536M: a worker and its trials used 1,124 MiB at most, of 1,229")


def test_a_few_seconds_advise_no_cpus():
    state = ExperimentState(1, "e", 1, {}, 0.0, 9, 9)
    state.apply(ev.RegisterTrial(0, {"x": 0}, 0.0, worker="a"))
    state.apply(ev.CompleteTrial(0, 1, RESULTS, 2.0, (0.1, 0)))
    state.apply(ev.LeaveWorker("a", 0.0, 2.0, 5, 1, None, None, 0))
    assert resources(state)["advice"] == []


def test_an_experiment_of_which_nothing_is_known():
    state = ExperimentState(1, "e", 1, {}, 0.0, 9, 9)
    found = resources(state)
    assert found["asked"] is None
    assert sum(found["core_hours"].values()) == 0
    assert resource_lines("e-v1", found)[1].split() == ["CPUs", "of", "a", "worker:", "unknown"]


def test_what_a_person_is_told():
    lines = resource_lines("e-v1", resources(history()))
    assert lines[:5] == [
        "e-v1: resources",
        "  CPUs of a worker:    1 of 5 requested",
        "  memory of a worker:  1,124 MiB of 8,192 MiB requested",
        "  time of a worker:    2 h of 10 h requested",
        "  core-hours:          12.5: completed 5 (40%), broken 1 (8%), interrupted 1 (8%), "
        "lost worker 2.5 (20%), idle 3 (24%)",
    ]
    assert lines[5] == "  Of 1 worker, running or lost, only the trials are counted."
    assert lines[6].startswith("  Next time: --cpus-per-task 2: trials kept 1.0 of 5 CPUs busy")
