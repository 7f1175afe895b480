"""The wire form of events, old and new."""

from __future__ import annotations

import datetime
import json

import pytest

from orion_hpc.experiments.resources import resources
from orion_hpc.model import event as ev
from orion_hpc.model import wire
from orion_hpc.model.state import CATALOGUE, State

RESULTS = [{"name": "o", "type": "objective", "value": 1.0}]
EVENTS = [
    ev.CreateExperiment("e", 1, {"max_trials": 3, "max_broken": 2}, 1.0),
    ev.RegisterTrial(0, {"x": 1}, 1.0),
    ev.RegisterTrial(0, {"x": 1}, 1.0, "abc"),
    ev.ReserveTrial(0, 1, "w", None),
    ev.CompleteTrial(0, 1, [{"name": "o", "type": "objective", "value": 1.0}], None),
    ev.ReleaseTrial(0, 1, "broken", "user error", "why", None),
    ev.RegisterTrial(0, {"x": 1}, 1.0, worker="w"),
    ev.RegisterTrial(3, {"x": 1}, 1.0, worker="w", parent=2),
    ev.LearnTrials(
        "e-v1 in /db.pkl",
        0,
        (({"x": 1}, [{"name": "o", "type": "objective", "value": 1.0}]), ({"x": 2.5}, [])),
        1.0,
    ),
    ev.LearnTrials("e-v1 in /db.pkl", 3, (), 1.0, True),
    ev.CompleteTrial(0, 1, [{"name": "o", "type": "objective", "value": 1.0}], 2.0, (0.5, 1000)),
    ev.ReleaseTrial(0, 1, "broken", "user error", "why", 2.0, (3, 0)),
    ev.LeaveWorker("w", 1.0, 2.0, 5, 1, None, 60.0, 1000),
    ev.LeaveWorker("w", 1.0, 2.0, 5, 2, 1 << 30, None, 0),
    ev.ChangeLimits(None, 3, 1.0),
    ev.StopExperiment("why", 1.0),
    ev.ResumeExperiment(1.0),
    ev.ExhaustSpace(3, 1.0),
    ev.LaunchJobs("slurm", ("1", "2"), "/logs", 1.0),
    ev.LaunchJobs("slurm", ("1",), "/logs", 1.0, "0abc", "12ef", "/code"),
    ev.SetStatus(0, 1, "new", 1.0),
    ev.RemoveExperiment(1, 1.0),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back(event):
    """Of the same kind, with the same fields."""
    assert wire.decode(wire.encode(event)) == event
    assert type(wire.decode(wire.encode(event))) is type(event)


def test_a_registration_of_before_ids_is_read():
    """Four fields: code, number, params and time; its id is that of its parameters."""
    old = wire.decode((2, 0, {"x": 1}, 1.0))
    assert old == ev.RegisterTrial(0, {"x": 1}, 1.0, None, None)
    state = State()
    state.apply(CATALOGUE, "w", 0, EVENTS[:1])
    state.apply(1, "w", 0, [old])
    assert state.experiments[1].trials[0].id == "c80e73528d6b100719fd51cf23630dcd"


DEEP = [[]]
for _ in range(30):
    DEEP = [DEEP]

NASTY = (
    None, True, -1, 1 << 70, 1 << 2000, 0.5, float("nan"), float("inf"), -1.0, 1e300,
    "", "\ud800", b"x", (), (1,), [], [[]], {}, {1: 2}, {"\ud800": 1}, DEEP,
)  # fmt: skip
"""Values that some field or other must not have."""


def survives(event):
    """Replay an event that was accepted, and show what it left as ``status`` and a file would."""
    state = State()
    state.apply(CATALOGUE, "w", 0, EVENTS[:1])
    before = [ev.RegisterTrial(0, {"x": 1}, 1.0, worker="w")]
    state.apply(1, "w", 0, before)
    of_all = isinstance(event, ev.CreateExperiment | ev.RemoveExperiment)
    state.apply(CATALOGUE if of_all else 1, "w", 1, [event])
    for experiment in state.experiments.values():
        assert experiment.left >= 0
        json.dumps(resources(experiment), allow_nan=False)
        for trial in experiment.trials:
            json.dumps([trial.id, trial.params, trial.worker], allow_nan=False).encode()
            str([trial.objective, trial.cause, trial.message]).encode()
            datetime.datetime.fromtimestamp(trial.submit_time, datetime.timezone.utc)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_a_strange_value_in_any_field_is_refused_or_harmless(event):
    """Each field of each kind, with each of these values: nobody stumbles over it later."""
    whole = wire.encode(event)
    refused = 0
    for place in range(len(whole)):
        for value in NASTY:
            strange = (*whole[:place], value, *whole[place + 1 :])
            try:
                read = wire.decode(strange)
            except ValueError as error:
                refused += 1
                str(error).encode("ascii")
            else:
                survives(read)
    assert refused > len(NASTY)


@pytest.mark.parametrize(
    "value", [(), (99,), (2,), (2, 0), (2, 0, {}, 1.0, "a", "b", 1), ("x",), 5]
)
def test_what_is_no_event_is_refused(value):
    """Garbage with a right checksum can't become an event."""
    with pytest.raises(ValueError, match="looks like"):
        wire.decode(value)


@pytest.mark.parametrize(
    "value", [None, (), ("w", 0), ("w", 0, [(2,)]), ("w", -1, ()), (b"w", 0, ()), ("w", True, ())]
)
def test_what_is_no_transaction_is_refused(value):
    """Plain data that some other program wrote is told from ours."""
    with pytest.raises(ValueError, match="no transaction looks like"):
        wire.decode_transaction(value)


@pytest.mark.parametrize(
    ("name", "good"),
    [("e", True), ("a.b-c_1", True), ("größe", True), ("", False), ("../x", True), ("a/b", True),
     (".x", True), ("-x", True), ("lr=0.1 a", True), ("x" * 1000, True), ("x" * 1001, False),
     ("a\nb", False), ("a\n", False), ("a\x9b", False), ("a\ud800", False)],
)  # fmt: skip
def test_a_name_is_any_text_of_one_line(name, good):
    """Where it becomes a part of a path, `layout.safe_name` sees that it leads nowhere else."""
    assert wire.valid_name(name) == good


@pytest.mark.parametrize(
    "usage",
    [
        (),
        (1.0,),
        (1.0, 2.0),
        (True, 1),
        (-1.0, 1),
        (1.0, -1),
        (float("nan"), 1),
        (1.0, 1, 1),
        [1, 1],
    ],
)
def test_a_strange_usage_is_refused(usage):
    results = [{"name": "o", "type": "objective", "value": 1.0}]
    for event in (
        ev.CompleteTrial(0, 1, results, 2.0, usage),
        ev.ReleaseTrial(0, 1, "broken", "user error", "why", 2.0, usage),
    ):
        with pytest.raises(ValueError, match="looks like"):
            wire.decode(wire.encode(event))


@pytest.mark.parametrize("kind", ["objective", "constraint"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0], 1 << 2000])
def test_what_replay_compares_is_one_finite_number(kind, value):
    """No writer of ours lets anything else pass, and the best trial is found by it."""
    results = [
        {"name": "o", "type": "objective", "value": 1.0},
        {"name": "x", "type": kind, "value": value},
    ]
    with pytest.raises(ValueError, match="looks like"):
        wire.decode(wire.encode(ev.CompleteTrial(0, 1, results, 2.0)))


def test_what_was_learned_before_parts_told_of_more_is_whole():
    """Four fields: source, part, trials and time; no further part is waited for."""
    old = wire.decode((14, "e-v1 in /db.pkl", 0, (({"x": 1}, ()),), 1.0))
    assert old == ev.LearnTrials("e-v1 in /db.pkl", 0, (({"x": 1}, []),), 1.0, False)
    state = State()
    state.apply(CATALOGUE, "w", 0, EVENTS[:1])
    assert state.apply(1, "w", 0, [old]) == [True]
    assert state.experiments[1].half_learned == set()


@pytest.mark.parametrize(
    "trials",
    [
        (({"x": 1}, ()),) * 1001,
        ({"x": 1},),
        (({"x": float("nan")}, ()),),
        (({"x": 1}, [("o", "objective", 1.0)]),),
        (({"x": 1}, (("o", "objective", float("inf")),)),),
        (({1: 1}, ()),),
        (({"x": 1}, (), ()),),
    ],
)
def test_strange_trials_are_not_learned(trials):
    """Too many, or what no trial of ours has: an algorithm would stumble over it."""
    with pytest.raises(ValueError, match="no LearnTrials looks like"):
        wire.decode((14, "e-v1 in /db.pkl", 0, trials, 1.0, False))


def test_ends_of_before_usages_are_read():
    """Five fields of a completion, six of a release, with the code before them."""
    complete = wire.decode((4, 0, 1, (("o", "objective", 1.0),), 2.0))
    assert complete == EVENTS[4]._replace(time=2.0)
    assert wire.decode((5, 0, 1, "broken", "user error", "why", None)) == EVENTS[5]
    assert wire.decode((10, "slurm", ("1",), "/logs", 1.0)) == ev.LaunchJobs(
        "slurm", ("1",), "/logs", 1.0
    )
