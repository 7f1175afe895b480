"""What ``status`` tells, as data and as rows."""

from __future__ import annotations

import json

import pytest

from orion_hpc.experiments.summary import (
    STATUS_COLUMNS,
    experiment_summary,
    status_notes,
    status_rows,
)
from orion_hpc.journal.heartbeat import Sign
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState
from orion_hpc.slurm.tasks import Tasks

TRACEBACK = "Traceback (most recent call last):"


def experiment() -> ExperimentState:
    """Return an experiment with one completed, one running and one broken trial."""
    state = ExperimentState(1, "e", 2, {}, 0.0, 5, 3)
    for number in range(3):
        state.apply(ev.RegisterTrial(number, {"x": number}, 0.0))
        state.apply(ev.ReserveTrial(number, 1, f"h:{number}:abcdef.1", 0.0))
    results = [{"name": "loss", "type": "objective", "value": 0.123456789}]
    state.apply(ev.CompleteTrial(0, 1, results, 1.0))
    state.apply(ev.ReleaseTrial(2, 1, "broken", "user error", f"ValueError: no\n{TRACEBACK}", 1.0))
    state.apply(ev.LaunchJobs("slurm", ("77",), "/logs", 1.0))
    return state


def sign(name: str, age: float) -> Sign:
    """Return a worker's sign."""
    return Sign(name, age, 0.0, 60.0, {"host": "h", "job": "77_0.0"})


def test_a_summary_is_whole_and_fit_for_json():
    """Counts, best, living workers with their jobs, launched jobs, and what broke."""
    alive = "h:1:abcdef.1"
    summary = experiment_summary(
        experiment(), {alive: sign(alive, 3.04), "h:9:abcdef.1": sign("h:9:abcdef.1", 500)}
    )
    assert json.loads(json.dumps(summary)) == {
        "name": "e",
        "version": 2,
        "state": "running",
        "reason": None,
        "exhausted": None,
        "learned": {},
        "half_learned": [],
        "max_trials": 5,
        "max_broken": 3,
        "trials": {
            "new": 0, "reserved": 1, "suspended": 0, "completed": 1, "interrupted": 0, "broken": 1,
        },
        "best": {
            "number": 0, "id": experiment().trials[0].id, "objective": 0.123456789,
            "params": {"x": 0}, "objectives": [0.123456789], "feasible": True,
        },
        "objectives": 1,
        "front": None,
        "incomparable": 0,
        "workers": [{"id": alive, "host": "h", "job": "77_0.0", "age": 3.0}],
        "suspended": [],
        "silent": [],
        "jobs": [
            {"launcher": "slurm", "ids": ["77"], "folder": "/logs", "time": 1.0,
             "commit": None, "digest": None, "snapshot": None}
        ],
        "broken": [
            {"number": 2, "cause": "user error", "message": f"ValueError: no\n{TRACEBACK}"}
        ],
        "reasons": [
            {"cause": "user error", "message": f"ValueError: no\n{TRACEBACK}", "count": 1,
             "trials": [2]}
        ],
        "queue": None,
        "failed_starts": None,
    }  # fmt: skip


def test_a_row_shows_it_at_a_glance():
    """One line for each experiment, under its headings."""
    alive = "h:1:abcdef.1"
    rows = status_rows([experiment_summary(experiment(), {alive: sign(alive, 3)})])
    assert dict(zip(STATUS_COLUMNS, rows[0], strict=True)) == {
        "experiment": "e v2",
        "state": "running",
        "completed": "1/5",
        "running": "1",
        "waiting": "0",
        "broken": "1",
        "best": "0.123457",
        "workers": "1",
    }


def test_an_infeasible_best_trial_is_called_so():
    """In the table and in words, as long as there is no feasible one."""
    state = experiment()
    state.trials[0].results.append({"name": "c", "type": "constraint", "value": 2.0})
    summary = experiment_summary(state, {})
    assert status_rows([summary])[0][STATUS_COLUMNS.index("best")] == "0.123457 (infeasible)"
    assert status_notes([summary])[-1] == (
        "e v2: best is trial 0, but infeasible: no trial satisfies every constraint: x=0"
    )


def test_several_objectives_show_how_large_the_front_is():
    """Beside the best trial, which is that by the first objective."""
    state = experiment()
    state.trials[0].results.append({"name": "time", "type": "objective", "value": 2.0})
    results = [{"name": name, "type": "objective", "value": 1.0} for name in ("loss", "time")]
    state.apply(ev.CompleteTrial(1, 1, results, 1.0))
    assert status_notes([experiment_summary(state, {})])[-2:] == [
        "e v2: 2 objectives, 2 trials on the Pareto front.",
        "e v2: best by the first objective is trial 0: x=0",
    ]


def test_notes_name_what_broke_and_who_is_silent():
    """The user learns the reason and the next step without opening a log."""
    notes = status_notes([experiment_summary(experiment(), {})])
    assert notes == [
        "e v2: trial 2 broke (user error): ValueError: no",
        "e v2: worker h:1:abcdef.1 holds a trial and gives no sign of life.",
        "e v2: best is trial 0: x=0",
    ]


def test_notes_say_how_to_go_on_after_too_many_broken_trials():
    """A stopped experiment tells what to type."""
    state = experiment()
    state.apply(ev.ChangeLimits(5, 1, 2.0))
    assert any("--max-broken 4" in note for note in status_notes([experiment_summary(state, {})]))


def test_a_reason_of_megabytes_is_cut():
    """Whoever broke a trial chose its length."""
    state = experiment()
    state.trials[2].message = "no" * 100_000
    (note, *_) = status_notes([experiment_summary(state, {})])
    assert note.endswith("nono…")
    assert len(note) < 600


def test_a_stopped_experiment_says_how_it_goes_on():
    state = experiment()
    state.apply(ev.StopExperiment("cancelled", 1.0))
    summary = experiment_summary(state, {})
    assert (summary["state"], summary["reason"]) == ("stopped", "cancelled")
    assert "e v2: stopped: cancelled. 'orion-hpc resume CONFIG' continues it." in status_notes(
        [summary]
    )


@pytest.mark.parametrize(
    ("tasks", "note"),
    [
        (
            [("PENDING", 4, "Priority"), ("RUNNING", 2, "None")],
            "4 tasks wait in Slurm's queue (Priority).",
        ),
        ([("PENDING", 1, "None")], "1 task waits in Slurm's queue."),
        (
            [("PENDING", 3, "Priority"), ("PENDING", 1, "BeginTime")],
            "4 tasks wait in Slurm's queue (BeginTime 1, Priority 3).",
        ),
        ([("CANCELLED", 4, "None")], "no worker is running and no task is in the queue;"),
    ],
)
def test_why_nothing_goes_on(tasks, note):
    """Slurm's own reason, or that nothing is there to go on."""
    found = [Tasks("77", (range(count),), state, 0, reason) for state, count, reason in tasks]
    waiting = ExperimentState(1, "e", 1, {}, 0.0, 5, 3)
    (told,) = status_notes([experiment_summary(waiting, {}, found)])
    assert told.startswith(f"e v1: {note}")


@pytest.mark.parametrize(
    ("prior", "told"),
    [
        ("randint(0, 2)", "every point of the space was tried"),
        ("uniform(0, 1)", "the algorithm has no further point"),
        ("unheard_of(1)", "the algorithm has no further point"),
        (None, "the algorithm has no further point"),
    ],
)
def test_an_end_before_max_trials_is_explained(prior: str | None, told: str) -> None:
    """A small space, or an algorithm whose rounds are over; fidelities aside."""
    space = {"x": prior, "epochs": "fidelity(1, 9)"}
    state = ExperimentState(1, "e", 1, {"space": space} if prior else {}, 0.0, 9, 3)
    results = [{"name": "loss", "type": "objective", "value": 1.0}]
    for number, (x, epochs) in enumerate(((0, 1), (0, 9), (1, 1))):
        assert state.apply(ev.RegisterTrial(number, {"x": x, "epochs": epochs}, 0.0, worker="w"))
        assert state.apply(ev.CompleteTrial(number, 1, results, 1.0))
    assert state.apply(ev.ExhaustSpace(3, 1.0))
    summary = experiment_summary(state, {})
    assert (summary["state"], summary["exhausted"]) == ("done", told)
    assert f"e v1: {told}." in status_notes([summary])


def test_suspended_workers_are_called_so():
    """Those that were silent for long, too; none of them is at work, and they don't count as
    silent."""
    first, second = "h:1:abcdef.1", "h:7:abcdef.1"
    signs = {first: sign(first, 500), second: sign(second, 3)}
    summary = experiment_summary(experiment(), signs, None, {first, "h:8:abcdef.1"})
    assert [one["id"] for one in summary["workers"]] == [first, second]
    assert (summary["suspended"], summary["silent"]) == ([first], [])
    assert summary["state"] == "running"
    assert dict(zip(STATUS_COLUMNS, status_rows([summary])[0], strict=True))["workers"] == (
        "2 (1 suspended)"
    )
    assert (
        f"e v2: worker {first} is suspended: its processes are stopped until it is resumed."
        in status_notes([summary])
    )
    summary = experiment_summary(experiment(), signs, [], {first, second})
    assert summary["state"] == "waiting"
    notes = status_notes([summary])
    assert (
        "e v2: 2 workers are suspended: their processes are stopped until they are resumed."
        in notes
    )
    assert not any("no worker is running" in note for note in notes)
