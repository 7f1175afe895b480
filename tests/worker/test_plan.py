"""What a worker decides to write, on states of every kind."""

from __future__ import annotations

from orion_hpc.algorithms.base import WAIT, Branch
from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.model import event as ev
from orion_hpc.model import wire
from orion_hpc.model.space import Space
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import (
    BROKEN,
    COMPLETED,
    INTERRUPTED,
    LOST_WORKER,
    NEW,
    OUT_OF_MEMORY,
    PREEMPTED,
    RESERVED,
    SUSPENDED,
    USER_ERROR,
    WORKER_SUSPENDED,
)
from orion_hpc.worker import plan
from orion_hpc.worker.task import Outcome

RESULTS = [{"name": "loss", "type": "objective", "value": 1.5}]


def experiment(*statuses: str, max_trials: int | None = 9) -> ExperimentState:
    """Return an experiment with a trial in each of these statuses, held by worker ``w<number>``."""
    state = ExperimentState(1, "e", 1, {}, 0.0, max_trials, 3)
    for number, status in enumerate(statuses):
        state.apply(ev.RegisterTrial(number, {"x": float(number)}, 0.0))
        if status == NEW:
            continue
        state.apply(ev.ReserveTrial(number, 1, f"w{number}", 0.0))
        if status == COMPLETED:
            state.apply(ev.CompleteTrial(number, 1, RESULTS, 1.0))
        elif status != RESERVED:
            state.apply(ev.ReleaseTrial(number, 1, status, PREEMPTED, "", 1.0))
    return state


def algorithm(prior: str = "uniform(0, 1)", cheap: bool = True):
    """Return random search on one dimension, said to be cheap or not."""
    made = make_algorithm({"random": {"seed": 1}}, Space.parse({"x": prior}))
    made.cheap = cheap
    return made


def reserve(state: ExperimentState, slots: int, **options) -> list[ev.Event]:
    """Return what worker ``me`` would write."""
    options.setdefault("algorithm", algorithm())
    return plan.reservations(state, seed=1, worker="me", slots=slots, now=5.0, **options)


def test_interrupted_trials_come_first_then_new_ones_then_fresh_points():
    """What was begun is finished before anything else is begun."""
    state = experiment(NEW, RESERVED, INTERRUPTED, SUSPENDED)
    events = reserve(state, 5)
    assert [(type(event).__name__, event.number) for event in events] == [
        ("ReserveTrial", 2),
        ("ReserveTrial", 3),
        ("ReserveTrial", 0),
        ("RegisterTrial", 4),
        ("RegisterTrial", 5),
    ]
    assert events[0].attempt == 2, "an attempt counts up"
    assert all(state.apply(event) for event in events), "alone, a worker wins them all"
    assert [trial.number for trial in plan.held(state, "me", {5})] == [2, 3, 0, 4]


def test_no_more_is_reserved_than_slots_or_room():
    """The budget's last places are not asked for twice."""
    assert len(reserve(experiment(COMPLETED, RESERVED, max_trials=3), 4)) == 1
    assert reserve(experiment(INTERRUPTED, INTERRUPTED), 1) == [ev.ReserveTrial(0, 2, "me", 5.0)]
    assert reserve(experiment(COMPLETED, max_trials=1), 4) == []


def test_points_depend_on_seed_and_number_alone():
    """Two workers that race for a number propose the same point: the loser loses nothing."""
    first = reserve(experiment(), 2)
    again = reserve(experiment(), 2)
    assert first == again
    assert first[0].params != first[1].params


def test_the_end_of_the_space_is_recorded_for_the_number_at_which_it_shows():
    """With one choice tried, there is no second trial; the journal says so."""
    state = ExperimentState(1, "e", 1, {}, 0.0, 9, 3)
    state.apply(ev.RegisterTrial(0, {"x": "only"}, 0.0))
    state.apply(ev.ReserveTrial(0, 1, "w", 0.0))
    assert reserve(state, 2, algorithm=algorithm("choices(['only'])")) == [ev.ExhaustSpace(1, 5.0)]


def test_a_model_based_algorithm_is_never_asked_under_the_lock():
    """Its point is registered under whatever number is next, if it is new by then; that it has none
    counts for the number it said so for, and without a word from it nothing is registered."""
    slow = algorithm(cheap=False)
    state = experiment(COMPLETED)
    assert plan.propose(state, slow, 1, "me", 1) is not None
    assert reserve(state, 1, algorithm=slow) == []
    proposal = plan.Proposal(1, {"x": 0.5})
    assert reserve(state, 1, algorithm=slow, proposal=proposal)[0].params == {"x": 0.5}
    late = plan.Proposal(0, {"x": 0.5})
    assert reserve(state, 1, algorithm=slow, proposal=late)[0].number == 1
    assert reserve(state, 1, algorithm=slow, proposal=plan.Proposal(0, {"x": 0.0})) == []
    assert reserve(state, 1, algorithm=slow, proposal=plan.Proposal(0, None)) == []
    assert reserve(state, 1, algorithm=slow, proposal=plan.Proposal(1, None)) == [
        ev.ExhaustSpace(1, 5.0)
    ]
    waiting = experiment(INTERRUPTED)
    assert plan.propose(waiting, slow, 1, "me", 1) is None, "an interrupted one needs no point"


class Learner:
    """Suggests what it is told to, and remembers what it was asked with."""

    learns = True

    def __init__(self, *suggestions, cheap: bool = True) -> None:
        self.cheap = cheap
        self._suggestions = list(suggestions)
        self.draws: list[float] = []

    def suggest(self, history, number, rng):
        """Return the next suggestion."""
        self.draws.append(rng.random())
        return self._suggestions.pop(0)


def test_an_algorithm_that_learns_suggests_one_trial_at_a_time():
    """The next suggestion is to know of it; with its parent it is registered."""
    learner = Learner({"x": 0.3}, Branch({"x": 0.4}, 0))
    assert reserve(experiment(COMPLETED), 3, algorithm=learner) == [
        ev.RegisterTrial(1, {"x": 0.3}, 5.0, worker="me")
    ]
    assert reserve(experiment(COMPLETED), 3, algorithm=learner) == [
        ev.RegisterTrial(1, {"x": 0.4}, 5.0, worker="me", parent=0)
    ]


def test_where_there_is_nothing_before_a_trial_ends_the_lock_is_left_alone():
    """What waits is reserved all the same."""
    proposal = plan.propose(experiment(RESERVED), Learner(WAIT), 1, "me", 1)
    assert plan.must_wait(experiment(RESERVED), proposal)
    assert not plan.must_wait(experiment(RESERVED, INTERRUPTED), proposal)
    assert reserve(experiment(RESERVED), 1, algorithm=Learner(WAIT)) == []


def test_workers_that_propose_beside_the_lock_draw_apart():
    """But one that is alone draws what follows from the seed, whatever it is called."""
    slow = Learner(*[{"x": 0.1}] * 6, cheap=False)
    for state in (experiment(COMPLETED), experiment(RESERVED)):
        for worker in ("w0", "me", "you"):
            plan.propose(state, slow, 1, worker, 1)
    alone, together = slow.draws[:3], slow.draws[3:]
    assert len(set(alone)) == 1
    assert together[0] == alone[0], "all that runs is its own"
    assert len(set(together)) == 3


def test_a_reservation_that_lost_holds_nothing():
    """What the worker runs is what the state says, whatever it wrote."""
    state = experiment(INTERRUPTED, NEW)
    events = reserve(state, 2)
    state.apply(ev.ReserveTrial(0, 2, "faster", 4.0))
    for event in events:
        state.apply(event)
    assert [trial.number for trial in plan.held(state, "me", ())] == [1]


def test_lost_workers_trials_are_interrupted_until_they_were_lost_too_often():
    """The trial that takes its worker with it every time ends as broken."""
    state = experiment(RESERVED, RESERVED)
    (first,) = plan.losses(state, plan.Loss({"w0"}), 2, 3.0)
    assert (first.number, first.status, first.cause) == (0, INTERRUPTED, LOST_WORKER)
    assert state.apply(first)
    state.apply(ev.ReserveTrial(0, 2, "w5", 4.0))
    (second,) = plan.losses(state, plan.Loss({"w5"}), 2, 5.0)
    assert (second.attempt, second.status) == (2, BROKEN)
    assert "loss number 2" in second.message
    assert state.apply(second)
    assert plan.losses(state, plan.Loss({"w0", "w5"}), 2, 6.0) == []


def test_a_trial_isnt_blamed_for_what_slurm_did():
    """Preempted with its job ever so often it stays one to be run; for memory, it is counted."""
    state = experiment(RESERVED)
    for attempt in range(1, 6):
        if attempt > 1:
            assert state.apply(ev.ReserveTrial(0, attempt, "w0", 4.0))
        (event,) = plan.losses(state, plan.Loss({"w0"}, causes={"w0": PREEMPTED}), 2, 3.0)
        assert (event.attempt, event.status, event.cause) == (attempt, INTERRUPTED, PREEMPTED)
        assert state.apply(event)
    for attempt, status in ((6, INTERRUPTED), (7, BROKEN)):
        state.apply(ev.ReserveTrial(0, attempt, "w", 5.0))
        (event,) = plan.losses(state, plan.Loss({"w"}, causes={"w": OUT_OF_MEMORY}), 2, 6.0)
        assert (event.status, event.cause) == (status, OUT_OF_MEMORY)
        assert state.apply(event)


def test_an_end_is_recorded_as_what_it_was():
    """Results, a broken trial with its traceback, an interruption with its cause."""
    trial = experiment(RESERVED).trials[0]
    done = plan.ending(trial, 1, Outcome(COMPLETED, RESULTS), 2.0)
    assert done == ev.CompleteTrial(0, 1, RESULTS, 2.0)
    broken = Outcome(BROKEN, cause=USER_ERROR, message="ValueError: no", detail="Traceback …")
    assert plan.ending(trial, 1, broken, 2.0) == ev.ReleaseTrial(
        0, 1, BROKEN, USER_ERROR, "ValueError: no\nTraceback …", 2.0
    )


def test_nothing_is_looked_for_where_nothing_can_be():
    """An idle worker doesn't take the lock to find that out."""
    assert not plan.something_to_reserve(experiment(RESERVED, COMPLETED, max_trials=2))
    assert plan.something_to_reserve(experiment(INTERRUPTED, COMPLETED, max_trials=2))
    assert plan.something_to_reserve(experiment(BROKEN, COMPLETED, max_trials=2))


def test_a_suspension_is_never_the_trials_fault():
    """However often its worker is suspended, and whatever came before."""
    state = experiment(RESERVED)
    for attempt in range(1, 6):
        if attempt > 1:
            assert state.apply(ev.ReserveTrial(0, attempt, "w0", 4.0))
        loss = plan.Loss({"w0"}, causes={"w0": WORKER_SUSPENDED})
        (event,) = plan.losses(state, loss, 1, 3.0)
        assert (event.status, event.cause) == (INTERRUPTED, WORKER_SUSPENDED)
        assert event.message == "worker w0 is suspended"
        assert wire.decode(wire.encode(event)) == event
        assert state.apply(event)
    assert state.trials[0].losses == 0
    assert state.apply(ev.CompleteTrial(0, 5, RESULTS, 9.0)), "nobody has begun it since"
