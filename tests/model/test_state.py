"""The rules of replay, one by one and against random histories."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.errors import NoConfigurationError
from orion_hpc.model import event as ev
from orion_hpc.model import wire
from orion_hpc.model.history import run_of
from orion_hpc.model.state import CATALOGUE, ExperimentState, State
from orion_hpc.model.trial_record import (
    BROKEN,
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    KILLED,
    LOST_WORKER,
    NEW,
    OUT_OF_MEMORY,
    PREEMPTED,
    RELEASABLE,
    RESERVED,
    SETTABLE,
    STATUSES,
    SUSPENDED,
    TIMED_OUT,
    USER_ERROR,
    WORKER_SUSPENDED,
    Results,
)

RESULTS = [{"name": "loss", "type": "objective", "value": 1.5}]
CAUSES = (
    USER_ERROR, PREEMPTED, TIMED_OUT, OUT_OF_MEMORY, KILLED, LOST_WORKER, CANCELLED,
    WORKER_SUSPENDED,
)  # fmt: skip


def experiment(max_trials: int | None = 3, max_broken: int = 2) -> ExperimentState:
    """Return an experiment without trials."""
    return ExperimentState(1, "e", 1, {}, 0.0, max_trials, max_broken)


def register(number: int, x: float | None = None) -> ev.RegisterTrial:
    """Return the registration of a point that only this number has."""
    return ev.RegisterTrial(number, {"x": float(number) if x is None else x}, 1.0)


def reserve(number: int, attempt: int = 1, worker: str = "w") -> ev.ReserveTrial:
    """Return a reservation."""
    return ev.ReserveTrial(number, attempt, worker, 2.0)


def complete(number: int, attempt: int = 1) -> ev.CompleteTrial:
    """Return a completion."""
    return ev.CompleteTrial(number, attempt, RESULTS, 3.0)


def release(
    number: int, attempt: int = 1, status: str = INTERRUPTED, cause: str = USER_ERROR
) -> ev.ReleaseTrial:
    """Return a release."""
    return ev.ReleaseTrial(number, attempt, status, cause, "why", 3.0)


def apply_all(state: ExperimentState, *events: ev.Event) -> list[bool]:
    """Apply events; return which were accepted."""
    return [state.apply(event) for event in events]


def in_status(status: str) -> ExperimentState:
    """Return an experiment whose trial 0 came to ``status`` in its first attempt."""
    state = experiment(max_trials=None)
    state.apply(register(0))
    if status != NEW:
        state.apply(reserve(0))
    if status == COMPLETED:
        state.apply(complete(0))
    elif status in RELEASABLE and status != NEW:
        state.apply(release(0, status=status))
    assert state.trials[0].status == status
    return state


def test_a_registration_must_bear_the_next_number():
    """Two workers that register the same number get one trial; a gap can't come about."""
    state = experiment()
    assert apply_all(state, register(0), register(0, 9.0), register(2)) == [True, False, False]
    assert [trial.params for trial in state.trials] == [{"x": 0.0}]


def test_no_point_is_registered_twice():
    """The same params under another number are refused, whatever became of the first."""
    state = experiment(max_broken=5)
    apply_all(state, register(0), reserve(0), release(0, status=BROKEN))
    assert not state.apply(register(1, 0.0))


@pytest.mark.parametrize("other", [1, True, "1", 1.5])
def test_points_that_only_python_takes_for_equal_are_different(other):
    """``1``, ``1.0`` and ``True`` compare equal, and are three choices all the same."""
    state = experiment()
    assert apply_all(
        state, ev.RegisterTrial(0, {"x": 1.0}, 0.0), ev.RegisterTrial(1, {"x": other}, 0.0)
    ) == [True, True]


def test_the_budget_counts_completed_and_live_trials_and_a_broken_one_frees_its_place():
    """With max_trials 3 a fourth is refused until one breaks: the budget is exact."""
    state = experiment(max_broken=9)
    assert apply_all(state, register(0), register(1), register(2), register(3)) == [
        True, True, True, False,
    ]  # fmt: skip
    apply_all(state, reserve(0), release(0, status=BROKEN))
    assert apply_all(state, register(3), register(4)) == [True, False]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("attempt", [0, 1, 2, 3])
def test_reserving_takes_a_waiting_trial_and_the_next_attempt(status, attempt):
    """The table's row on reserving, for every status and attempt."""
    state = in_status(status)
    wanted = state.trials[0].attempt + 1
    accepted = state.apply(reserve(0, attempt, "other"))
    assert accepted == (status in (NEW, INTERRUPTED, SUSPENDED) and attempt == wanted)
    if accepted:
        trial = state.trials[0]
        assert (trial.status, trial.attempt, trial.worker) == (RESERVED, attempt, "other")
        assert trial.cause is None
        assert trial.end_time is None


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_completing_needs_the_latest_attempt(status, attempt):
    """A late result counts while nobody else has started the trial, and only then."""
    state = in_status(status)
    latest = state.trials[0].attempt
    accepted = state.apply(complete(0, attempt))
    assert accepted == (status in (RESERVED, INTERRUPTED) and attempt == latest and latest > 0)


def test_a_late_result_loses_against_a_newer_attempt():
    """The worker that was given up and comes back can't touch what its successor holds."""
    state = in_status(INTERRUPTED)
    state.apply(reserve(0, 2, "successor"))
    assert apply_all(state, complete(0, 1), release(0, 1)) == [False, False]
    assert state.trials[0].worker == "successor"
    assert state.apply(complete(0, 2))


def test_a_released_new_trial_has_no_result_to_come():
    """A trial that was never reserved can't be completed, though attempt 0 is its latest."""
    state = experiment()
    state.apply(register(0))
    assert not state.apply(complete(0, 0))


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("to", [*STATUSES, "nonsense"])
@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_setting_takes_a_trial_that_nobody_holds(status, to, attempt):
    """The table's row on setting, for every status, goal and attempt."""
    state = in_status(status)
    latest = state.trials[0].attempt
    accepted = state.apply(put(0, attempt, to))
    assert accepted == (status not in (RESERVED, to) and to in SETTABLE and attempt == latest)
    if accepted:
        trial = state.trials[0]
        assert (trial.status, trial.attempt, trial.results) == (to, latest, None)
        assert (trial.worker, trial.start_time, trial.end_time) == (None, None, None)
        assert (trial.cause is None) == (to != BROKEN)


@pytest.mark.parametrize("status", [COMPLETED, BROKEN, INTERRUPTED, SUSPENDED])
@pytest.mark.parametrize("to", sorted(SETTABLE))
def test_no_late_result_of_an_attempt_before_is_taken_by_a_trial_that_was_set(status, to):
    """What a user wants to be run again isn't brought back; its next attempt counts as ever."""
    state = in_status(status)
    if status == to:
        state.apply(put(0, 1, NEW))
    state.apply(put(0, 1, to))
    assert apply_all(state, complete(0), release(0)) == [False, False]
    assert apply_all(state, reserve(0, 2), complete(0, 2)) == [to != BROKEN] * 2


def test_a_set_trial_that_is_interrupted_again_takes_late_results_again():
    """The fence is gone with the next reservation."""
    state = in_status(COMPLETED)
    apply_all(state, put(0, 1, INTERRUPTED), reserve(0, 2), release(0, 2))
    assert apply_all(state, complete(0, 1), complete(0, 2)) == [False, True]


def test_a_set_trial_has_its_losses_forgiven():
    """Otherwise one that was broken by its losses would break at the next."""
    state = in_status(RESERVED)
    state.apply(release(0, cause=LOST_WORKER))
    assert state.trials[0].losses == 1
    state.apply(put(0, 1, BROKEN))
    state.apply(put(0, 1, NEW))
    assert state.trials[0].losses == 0


def test_a_broken_trial_comes_back_only_where_the_budget_has_room():
    """Its place was given to another, unless there is still one; also in a broken experiment."""
    state = experiment(max_trials=2, max_broken=1)
    apply_all(state, register(0), register(1), reserve(0), release(0, status=BROKEN))
    assert not state.is_open
    assert state.apply(put(0, 1, NEW))
    assert state.is_open
    apply_all(state, reserve(0, 2), release(0, 2, status=BROKEN), ev.ChangeLimits(2, 5, 1.0))
    assert state.apply(register(2))
    assert not state.apply(put(0, 2, NEW))
    state.apply(ev.ChangeLimits(3, 5, 1.0))
    assert state.apply(put(0, 2, NEW))
    assert state.count(COMPLETED) + state.live == 3


def test_a_completed_trial_that_is_set_makes_the_next_best_one_the_best():
    """Its result is gone from everything that is told; ties go to the first, as always."""
    state = experiment(max_trials=4)
    for number, value in enumerate((2.0, 1.0, 2.0)):
        apply_all(state, register(number), reserve(number))
        results = [{"name": "loss", "type": "objective", "value": value}]
        state.apply(ev.CompleteTrial(number, 1, results, 3.0))
    state.apply(put(1, 1, NEW))
    assert state.best is state.trials[0]
    state.apply(put(0, 1, BROKEN))
    apply_all(state, register(3), reserve(3))
    state.apply(complete(3))
    assert state.best is state.trials[3]
    apply_all(state, put(3, 1, NEW), put(2, 1, NEW))
    assert state.best is None
    assert not state.is_done


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("to", [*STATUSES, "nonsense"])
def test_releasing_needs_a_reservation_and_a_status_to_release_to(status, to):
    """Only the holder's trial goes back, and only to what a release may lead to."""
    state = in_status(status)
    accepted = state.apply(release(0, 1, to))
    assert accepted == (status == RESERVED and to in RELEASABLE)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_trial_is_blamed_for_what_may_be_its_fault(cause):
    """A preempted trial isn't suspected of killing its workers."""
    state = in_status(RESERVED)
    state.apply(release(0, cause=cause))
    assert state.trials[0].losses == (cause in (LOST_WORKER, OUT_OF_MEMORY))
    assert (state.trials[0].cause, state.trials[0].message) == (cause, "why")


def test_max_broken_closes_the_experiment_and_a_higher_one_opens_it():
    """Once max_broken trials broke nobody registers or reserves; what runs may still end."""
    state = experiment(max_trials=9, max_broken=1)
    apply_all(state, register(0), register(1), register(2), reserve(0), reserve(1))
    state.apply(release(0, status=BROKEN))
    assert state.is_broken
    assert apply_all(state, reserve(2), register(3), complete(1)) == [False, False, True]
    state.apply(ev.ChangeLimits(9, 2, 4.0))
    assert apply_all(state, reserve(2), register(3)) == [True, True]


def test_a_stopped_experiment_reserves_nothing_until_it_is_resumed():
    """Stop and resume are seen by every worker in the same place of the log."""
    state = experiment()
    apply_all(state, register(0), ev.StopExperiment("enough", 2.0))
    assert apply_all(state, reserve(0), register(1)) == [False, False]
    state.apply(ev.ResumeExperiment(3.0))
    assert apply_all(state, reserve(0), register(1)) == [True, True]


def test_an_exhausted_space_is_done_when_its_last_trial_is():
    """Without a budget the experiment ends where the algorithm has no more points."""
    state = experiment(max_trials=None)
    apply_all(state, register(0), reserve(0))
    assert not state.apply(ev.ExhaustSpace(0, 1.0)), "somebody registered in between"
    assert state.apply(ev.ExhaustSpace(1, 1.0))
    assert not state.apply(register(1))
    assert not state.is_done
    state.apply(complete(0))
    assert state.is_done


def test_the_best_trial_is_the_first_with_the_smallest_objective():
    """Ties go to whoever was first, so that every reader names the same trial."""
    state = experiment()
    for number, value in enumerate((2.0, 1.0, 1.0)):
        apply_all(state, register(number), reserve(number))
        results = [{"name": "loss", "type": "objective", "value": value}]
        state.apply(ev.CompleteTrial(number, 1, results, 3.0))
    assert state.best is state.trials[1]


def told(*objectives: float, constraints: tuple[float, ...] = ()) -> Results:
    """Return results with these values."""
    return [
        {"name": f"{kind}{place}", "type": kind, "value": value}
        for kind, values in (("objective", objectives), ("constraint", constraints))
        for place, value in enumerate(values)
    ]


def completed(*results: Results) -> ExperimentState:
    """Return an experiment whose trials ended with these results, in this order."""
    state = experiment(max_trials=None)
    for number, one in enumerate(results):
        apply_all(state, register(number), reserve(number))
        assert state.apply(ev.CompleteTrial(number, 1, one, 3.0))
    return state


def test_with_a_fidelity_the_best_is_one_that_got_the_most():
    """After three epochs another loss is reached than after one, so they aren't compared."""
    space = {"x": "uniform(0, 1)", "epochs": "fidelity(1, 9, base=3)"}
    state = ExperimentState(1, "e", 1, {"space": space}, 0.0, None, 3)
    trials = [(1, 0.1), (3, 0.5), (3, 0.4), (9, 0.9), (3, 0.3), (9, 0.8), (9, 0.85)]
    best = []
    for number, (epochs, loss) in enumerate(trials):
        event = ev.RegisterTrial(number, {"x": number / 10, "epochs": epochs}, 0.0)
        apply_all(state, event, reserve(number))
        assert state.apply(ev.CompleteTrial(number, 1, told(loss), 3.0))
        best.append(state.best.number)
    assert best == [0, 1, 2, 3, 3, 5, 5]
    assert [one.number for one in state.finalists()] == [3, 5, 6]
    for number in (5, 6, 3):
        state.apply(put(number, 1, BROKEN))
    assert state.best.number == 4
    assert [one.number for one in state.finalists()] == [1, 2, 4]


def test_the_finalists_are_the_best_ones_rivals():
    """A feasible trial is the best though others got more: it isn't judged by those."""
    state = ExperimentState(1, "e", 1, {"space": {"epochs": "fidelity(1, 9)"}}, 0.0, None, 3)
    for number, (epochs, broken) in enumerate([(1, 0.0), (3, -1.0), (3, 2.0), (9, 1.0)]):
        event = ev.RegisterTrial(number, {"x": number, "epochs": epochs}, 0.0)
        apply_all(state, event, reserve(number))
        state.apply(ev.CompleteTrial(number, 1, told(0.5, constraints=(broken,)), 3.0))
    assert state.best.number == 1
    assert [one.number for one in state.finalists()] == [1, 2]


def test_a_space_that_comes_later_brings_its_fidelity():
    """An experiment that was imported without one."""
    state = State()
    old = {"max_trials": None, "max_broken": 3}
    new = {**old, "space": {"epochs": "fidelity(1, 9)"}, "function": "a:b"}
    for count, configuration in enumerate((old, new)):
        creation = ev.CreateExperiment("e", 1, configuration, 0.0)
        assert state.apply(CATALOGUE, "a", count, [creation]) == [True]
    trials = state.experiments[1]
    for number, (epochs, loss) in enumerate([(1, 0.1), (9, 0.2)]):
        trials.apply(ev.RegisterTrial(number, {"epochs": epochs}, 0.0))
        apply_all(trials, reserve(number))
        trials.apply(ev.CompleteTrial(number, 1, told(loss), 3.0))
    assert trials.best.number == 1


def test_a_feasible_trial_is_better_than_any_that_is_not():
    """In whatever order they come; a constraint of exactly 0 is kept."""
    kept, broken = told(5.0, constraints=(0.0, -1.0)), told(1.0, constraints=(-9.0, 0.1))
    assert completed(broken, kept).best.number == 1
    assert completed(kept, broken).best.number == 0
    assert completed(broken, kept, told(4.0)).best.number == 2, "none told is none broken"


def test_while_no_trial_is_feasible_the_nearest_to_it_is_the_best():
    """By what it breaks, added up; what it keeps doesn't make up for that. Then the objective."""
    state = completed(
        told(1.0, constraints=(3.0, 0.0)), told(2.0, constraints=(1.0, 1.0)),
        told(9.0, constraints=(2.5, -9.0)), told(1.5, constraints=(2.0, -1.0)),
    )  # fmt: skip
    assert state.best.number == 3
    assert not state.best.feasible


def test_the_first_of_several_objectives_makes_the_best():
    """Which is what code for one objective goes by."""
    state = completed(told(2.0, 1.0), told(1.0, 9.0), told(1.0, 0.0))
    assert (state.best.number, state.objectives) == (1, 2)


def test_another_number_of_objectives_is_compared_with_none():
    """Results of another function count as completed, but don't become the best."""
    state = completed(told(2.0, 1.0), told(0.0), told(1.5, 7.0), told(0.5, 0.0, 0.0))
    assert (state.best.number, state.objectives, state.count(COMPLETED)) == (2, 2, 4)
    assert [one.number for one in state.comparable()] == [0, 2]


def test_the_first_trial_that_is_set_by_hand_no_longer_tells_how_many_objectives_there_are():
    """The next one in the log's order does, for every reader alike."""
    state = completed(told(2.0, 1.0), told(0.0), told(1.5, 7.0), told(-1.0))
    state.apply(put(0, 1, BROKEN))
    assert state.objectives == 1
    assert (state.best.number, [one.number for one in state.comparable()]) == (3, [1, 3])
    apply_all(state, put(1, 1, BROKEN), put(2, 1, BROKEN), put(3, 1, BROKEN))
    assert (state.best, state.objectives, state.comparable()) == (None, 0, [])


values = st.sampled_from([-1.0, 0.0, 1.0, 2.0])
outcomes = st.builds(
    lambda objectives, constraints: told(*objectives, constraints=tuple(constraints)),
    st.lists(values, min_size=1, max_size=2), st.lists(values, max_size=2),
)  # fmt: skip


@given(st.lists(st.tuples(outcomes, st.integers(0, 9), st.booleans()), max_size=12))
def test_the_best_trial_is_the_same_however_it_was_come_by(history):
    """One by one, and with results taken back in between: as if all were looked at at the end."""
    state = experiment(max_trials=None, max_broken=100)
    for number, (results, other, look) in enumerate(history):
        apply_all(state, register(number), reserve(number))
        state.apply(ev.CompleteTrial(number, 1, results, 3.0))
        if other < number:
            state.apply(put(other, 1, BROKEN))
        if look:
            assert state.best is None or state.best.status == COMPLETED
    left = state.comparable()
    assert state.best is min(left, key=lambda one: (one.violation, one.objective), default=None)
    if left:
        assert left[0] is state.having(COMPLETED)[0]
        assert state.best.feasible or not any(one.feasible for one in left)


def put(number: int, attempt: int, status: str) -> ev.SetStatus:
    """Return a change of status by hand."""
    return ev.SetStatus(number, attempt, status, 4.0)


@pytest.mark.parametrize("number", [-1, 5])
def test_events_of_trials_that_are_not_there_are_no_ops(number):
    """A negative number must not reach the last trial by Python's indexing."""
    state = in_status(RESERVED)
    late = [reserve(number), complete(number), release(number), put(number, 1, NEW)]
    assert apply_all(state, *late) == [False] * 4


def create(name: str, version: int = 1) -> ev.CreateExperiment:
    """Return a creation."""
    return ev.CreateExperiment(name, version, {"max_trials": 3, "max_broken": 2}, 0.0)


def test_the_first_creation_of_a_name_and_version_stands():
    """Two submitters at once make one experiment."""
    state = State()
    assert state.apply(CATALOGUE, "a", 0, [create("e"), create("e", 2)]) == [True, True]
    assert state.apply(CATALOGUE, "b", 0, [create("e")]) == [False]
    assert [one.title for one in state.experiments.values()] == ["e-v1", "e-v2"]
    found = state.find("e")
    assert found is not None
    assert found.version == 2


def test_a_repeated_transaction_is_ignored():
    """A writer that was told "failed" though it wasn't may append again: nothing happens twice."""
    state = State()
    state.apply(CATALOGUE, "w", 0, [create("e")])
    assert state.apply(1, "w", 1, [register(0)]) == [True]
    assert state.apply(1, "w", 1, [register(1)]) == [False]
    assert state.apply(1, "w", 2, [register(1)]) == [True]


def test_events_of_an_unknown_experiment_or_in_the_wrong_place_are_refused():
    """A creation counts in the catalogue only, a trial's event nowhere but in its experiment."""
    state = State()
    state.apply(CATALOGUE, "w", 0, [create("e")])
    assert state.apply(7, "w", 0, [register(0)]) == [False]
    assert state.apply(CATALOGUE, "w", 1, [register(0)]) == [False]
    assert state.apply(1, "w", 0, [create("f"), ev.RemoveExperiment(1, 1.0)]) == [False, False]
    assert state.apply(CATALOGUE, "w", 2, [ev.RemoveExperiment(2, 1.0)]) == [False]


def test_a_removed_experiment_frees_its_name_and_never_its_number():
    """What late workers write of it reaches neither it nor its successor."""
    state = State(follows=lambda experiment: experiment.name == "e")
    remove = ev.RemoveExperiment(1, 1.0)
    made = [create("e"), create("f"), remove, remove, create("e")]
    assert state.apply(CATALOGUE, "a", 0, made) == [True, True, True, False, True]
    assert {number: one.title for number, one in state.experiments.items()} == {
        2: "f-v1",
        3: "e-v1",
    }
    assert state.apply(1, "late", 0, [register(0)]) == [False]
    assert state.seen(1, "late") == 0
    assert 1 in state.followed
    assert state.experiments[3].trials == []


def test_who_asks_for_a_removed_experiment_is_told():
    """A worker that is still at work gets a sentence."""
    state = State()
    state.apply(CATALOGUE, "a", 0, [create("e"), ev.RemoveExperiment(1, 1.0)])
    with pytest.raises(NoConfigurationError, match="the experiment e-v1 was removed"):
        state.experiments[1]
    with pytest.raises(KeyError):
        state.experiments[2]


numbers = st.integers(-1, 6)
attempts = st.integers(0, 4)
usages = st.sampled_from([None, (0.5, 1000)])
points = st.fixed_dictionaries({"x": st.integers(0, 5)})
events = st.one_of(
    st.builds(ev.RegisterTrial, numbers, points, st.just(1.0)),
    st.builds(ev.ReserveTrial, numbers, attempts, st.sampled_from("abc"), st.just(1.0)),
    st.builds(ev.CompleteTrial, numbers, attempts, st.just(RESULTS), st.just(1.0), usages),
    st.builds(
        ev.ReleaseTrial, numbers, attempts, st.sampled_from(STATUSES), st.sampled_from(CAUSES),
        st.just(""), st.just(1.0), usages,
    ),
    st.builds(ev.StopExperiment, st.just("x"), st.just(1.0)),
    st.builds(ev.ResumeExperiment, st.just(1.0)),
    st.builds(ev.SetStatus, numbers, attempts, st.sampled_from(STATUSES), st.just(1.0)),
)  # fmt: skip


@given(st.lists(events, max_size=60), st.integers(1, 4), st.integers(1, 3))
def test_no_history_breaks_the_promises(history, max_trials, max_broken):
    """Whatever is in the log: the budget holds, points are unique, what completed stays so unless
    it is set by hand, and then no result of that attempt comes back."""
    state = experiment(max_trials, max_broken)
    completed: dict[int, int] = {}
    undone: set[tuple[int, int]] = set()
    for event in history:
        before = {trial.number: (trial.status, trial.attempt) for trial in state.trials}
        accepted = state.apply(event)
        after = {trial.number: (trial.status, trial.attempt) for trial in state.trials}
        assert accepted or before == after, "an event that loses is a no-op"
        assert state.count(COMPLETED) + state.live <= max_trials
        assert len({repr(trial.params) for trial in state.trials}) == len(state.trials)
        assert [trial.number for trial in state.trials] == list(range(len(state.trials)))
        if accepted and isinstance(event, ev.SetStatus):
            completed.pop(event.number, None)
            undone.add((event.number, event.attempt))
        for number, attempt in completed.items():
            assert after[number] == (COMPLETED, attempt)
        for trial in state.trials:
            if trial.status == COMPLETED:
                assert (trial.number, trial.attempt) not in undone
                completed[trial.number] = trial.attempt
            assert trial.number in state.by_status[trial.status]
        assert sum(state.count(status) for status in STATUSES) == len(state.trials)
        assert (state.best is None) == (not completed)
        assert sorted(state.completions) == sorted(state.by_status[COMPLETED])
        assert {one.number for one in state.pending()} == {
            one.number for one in state.trials if one.live
        }


@given(st.lists(events, max_size=40))
def test_replay_of_the_wire_form_gives_the_same_state(history):
    """What is read from the journal makes the state that its writer saw."""
    # Numbers below the first are refused before they get there.
    history = [
        one
        for one in history
        if getattr(one, "number", 0) >= 0 < getattr(one, "attempt", 1)
        and (getattr(one, "parent", None) is None or 0 <= one.parent < one.number)
    ]
    one, other = experiment(), experiment()
    assert apply_all(one, *history) == apply_all(
        other, *(wire.decode(wire.encode(event)) for event in history)
    )
    assert one == other


def imported(trials: int = 2) -> State:
    """Return a state with an experiment that was imported and has nothing to run."""
    state = State()
    configuration = {
        "max_trials": 3,
        "max_broken": 2,
        "function": None,
        "command": None,
        "space": {"x": "uniform(0, 1)"},
        "algorithm": {"random": {"seed": 7}},
        "imported": {"trials": trials},
    }
    state.apply(CATALOGUE, "w", 0, [ev.CreateExperiment("e", 1, configuration, 1.0)])
    return state


def test_an_imported_trial_keeps_its_id():
    """Any other is called by its parameters."""
    state = experiment()
    assert apply_all(state, ev.RegisterTrial(0, {"x": 0.5}, 1.0, "theirs"), register(1)) == [
        True,
        True,
    ]
    assert state.trials[0].id == "theirs"
    assert len(state.trials[1].id) == 32
    assert state.trials[1].imported_id is None


def test_imported_trials_are_told_apart_by_their_ids():
    """Two may be at one point; none of ours may be at the point of one of them."""
    state = experiment(max_trials=9)
    assert apply_all(
        state,
        ev.RegisterTrial(0, {"x": 0.5}, 1.0, "a"),
        ev.RegisterTrial(1, {"x": 0.5}, 1.0, "b"),
        ev.RegisterTrial(2, {"x": 0.7}, 1.0, "b"),
        ev.RegisterTrial(2, {"x": 0.5}, 1.0),
    ) == [True, True, False, False]


def test_an_imported_experiment_learns_once_what_it_runs():
    """It keeps its space, its algorithm and its origin; the second to come is refused."""
    state = imported(0)
    assert state.experiments[1].is_bare
    wanted = {
        "max_trials": 5,
        "max_broken": 2,
        "function": "a:b",
        "space": {"y": "uniform(0, 1)"},
        "algorithm": {"random": {"seed": 8}},
    }
    first = ev.CreateExperiment("e", 1, wanted, 2.0)
    second = ev.CreateExperiment("e", 1, {**wanted, "function": "c:d"}, 3.0)
    assert state.apply(CATALOGUE, "v", 0, [first, second]) == [True, False]
    found = state.experiments[1]
    assert not found.is_bare
    assert found.configuration["function"] == "a:b"
    assert found.configuration["algorithm"] == {"random": {"seed": 7}}
    assert found.configuration["space"] == {"x": "uniform(0, 1)"}
    assert found.configuration["imported"] == {"trials": 0}
    assert (found.create_time, found.max_trials) == (1.0, 3)
    assert len(state.experiments) == 1


def test_a_second_import_of_an_experiment_changes_nothing():
    """It tells nothing to run either."""
    state = imported()
    again = ev.CreateExperiment("e", 1, {**state.experiments[1].configuration}, 2.0)
    assert state.apply(CATALOGUE, "v", 0, [again]) == [False]


def running(function: str, **changes: Any) -> ev.CreateExperiment:
    """Return the creation of an experiment with something to run."""
    configuration = {
        "max_trials": 3,
        "max_broken": 2,
        "max_attempts": 3,
        "working_dir": None,
        "function": function,
        "command": None,
        "kwargs": {},
        "trial_arg": None,
        "path": "/old",
        "space": {"x": "uniform(0, 1)"},
        "algorithm": {"random": {"seed": 7}},
        **changes,
    }
    return ev.CreateExperiment("e", 1, configuration, 1.0)


def test_a_second_creation_changes_what_runs():
    """Everything else stays as it was: the limits, the directories, the trials."""
    state = State()
    state.apply(CATALOGUE, "w", 0, [running("a:b")])
    state.apply(1, "w", 0, [register(0)])
    new = {"command": ["c"], "kwargs": {}, "path": "/new"}
    before = run_of(running("a:b").configuration)
    more = {"max_trials": 9, "max_attempts": 1, "working_dir": "/w", "replaces": before}
    again = running("", **new, **more)._replace(time=9.0)
    assert state.apply(CATALOGUE, "v", 0, [again]) == [True]
    found = state.experiments[1]
    assert found.configuration == {**running("").configuration, **new}
    assert (found.create_time, found.max_trials, len(found.trials)) == (1.0, 3, 1)
    assert len(state.experiments) == 1
    assert state.apply(CATALOGUE, "v", 1, [again]) == [False], "nothing changes any more"


@pytest.mark.parametrize("replaces", [None, "x:y"])
def test_who_lost_a_race_changes_nothing(replaces):
    """To create the experiment with the same seed, or to change it from what it isn't any more; so
    a second creation of an earlier version, which names nothing, is refused as it was then."""
    state = State()
    state.apply(CATALOGUE, "w", 0, [running("a:b")])
    more = {} if replaces is None else {"replaces": run_of(running(replaces).configuration)}
    assert state.apply(CATALOGUE, "v", 0, [running("c:d", **more)]) == [False]
    assert state.experiments[1].configuration == running("a:b").configuration


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": {"random": {"seed": 8}}},
        {"algorithm": {"gridsearch": {"n_values": 100}}},
        {"space": {"x": "uniform(0, 2)"}},
        {"function": None},
    ],
)
def test_a_second_creation_changes_nothing_that_was_searched(changes):
    """Two processes that create one experiment at once have drawn two seeds: the first wins."""
    state = State()
    state.apply(CATALOGUE, "w", 0, [running("a:b")])
    replaces = run_of(running("a:b").configuration)
    again = running(**{"function": "c:d", "replaces": replaces, **changes})
    assert state.apply(CATALOGUE, "v", 0, [again]) == [False]
    assert state.experiments[1].configuration == running("a:b").configuration


def test_what_an_import_lacks_is_known():
    """Until all trials that were announced are there."""
    state = imported(2)
    assert state.experiments[1].to_import == 2
    state.apply(1, "w", 0, [register(0), register(1)])
    assert state.experiments[1].to_import == 0
    assert experiment().to_import == 0


def test_what_attempts_took_is_added_up():
    """By worker and by how they ended; an attempt that loses counts for nothing."""
    state = experiment(max_trials=9)
    for number in range(4):
        apply_all(state, ev.RegisterTrial(number, {"x": number}, 1.0, worker="a"))
    assert state.apply(ev.CompleteTrial(0, 1, RESULTS, 11.0, (8.0, 500)))
    assert not state.apply(ev.CompleteTrial(0, 1, RESULTS, 99.0, (8.0, 5000)))
    assert state.apply(ev.ReleaseTrial(1, 1, BROKEN, USER_ERROR, "", 3.0, (1.0, 700)))
    assert state.apply(ev.ReleaseTrial(2, 1, INTERRUPTED, PREEMPTED, "", 5.0, (1.0, 600)))
    assert state.apply(ev.ReleaseTrial(3, 1, INTERRUPTED, LOST_WORKER, "", 8.0))
    assert state.apply(ev.ReserveTrial(3, 2, "b", 10.0))
    assert state.apply(ev.CompleteTrial(3, 2, RESULTS, 9.0))  # a clock was set
    assert state.spent == {"a": [10.0, 2.0, 4.0, 7.0], "b": [0.0] * 4}
    assert (state.used.cpu, state.used.wall, state.used.peak) == (10.0, 16.0, 700)
    left = ev.LeaveWorker("a", 0.0, 20.0, 5, 1, None, 3600.0, 100)
    assert state.apply(left)
    assert state.departures == [left]
