"""What is put in where a part of the journal is lost: whatever became of the rest, it fits."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from orion_hpc.algorithms.base import draw_generator
from orion_hpc.algorithms.grid import GridSearch
from orion_hpc.algorithms.random import Random
from orion_hpc.journal import safe_pickle
from orion_hpc.maintenance.mending import UNKNOWN, Mender
from orion_hpc.model import event as ev
from orion_hpc.model import wire
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, ExperimentState, State
from orion_hpc.model.trial_record import (
    BROKEN,
    COMPLETED,
    INTERRUPTED,
    LOST_WORKER,
    NEW,
    RESERVED,
    SUSPENDED,
    USER_ERROR,
    TrialRecord,
)
from orion_hpc.worker import plan
from orion_hpc.worker.plan import Loss

SPACE = Space.parse({"x": "uniform(0, 1)", "y": "choices(['a', 'b', 'c'])"})
SEED = 3


def algorithms():
    """Return what searches the experiments, by their number."""
    return {1: Random(SPACE, seed=SEED), 2: GridSearch(SPACE, n_values=40)}


class Written(NamedTuple):
    """A transaction of the journal."""

    number: int
    writer: str
    counter: int
    events: list[ev.Event]

    @property
    def size(self) -> int:
        return len(safe_pickle.dumps(wire.encode_transaction(*self[1:])))


def results(number: int, attempt: int) -> list[dict[str, object]]:
    """Return what an attempt found."""
    return [{"name": "loss", "type": "objective", "value": number + attempt / 100}]


def derive():
    """Return what gives a trial's parameters as the algorithms do."""
    by_number = algorithms()

    def again(experiment: ExperimentState, number: int) -> dict[str, object] | None:
        algorithm = by_number[experiment.number]
        return algorithm.suggest(experiment, number, draw_generator(SEED, number))

    return again


class History:
    """Workers that go about two experiments at random, as the real ones do."""

    def __init__(self, seed: int, steps: int) -> None:
        self.rng = random.Random(seed)
        self.state = State()
        self.algorithms = algorithms()
        self.journal: list[Written] = []
        self.counters: dict[str, int] = {}
        self.running: dict[str, list[tuple[int, int]]] = {}
        for number in (1, 2):
            limits = {"max_trials": self.rng.randint(3, 30), "max_broken": 4}
            self.write(CATALOGUE, f"submit{number}", [ev.CreateExperiment(
                f"e{number}", 1, limits, 0.0)])  # fmt: skip
            launched = ev.LaunchJobs("local", ("1",), "/jobs", 1.0)
            self.write(number, f"submit{number}", [launched])
        for _ in range(steps):
            self.step()

    def write(self, number: int, writer: str, events: list[ev.Event]) -> None:
        counter = self.counters.get(writer, -1) + 1
        self.counters[writer] = counter
        self.journal.append(Written(number, writer, counter, events))
        self.state.apply(number, writer, counter, events)

    def registrations(self, number: int, start: int, end: int) -> int:
        """Return how many registrations of an experiment aren't lost."""
        whole = [*self.journal[:start], *self.journal[end:]]
        events = [event for one in whole if one.number == number for event in one.events]
        return sum(isinstance(event, ev.RegisterTrial) for event in events)

    def was_refused_later(self, number: int, trial: TrialRecord) -> bool:
        """Whether a reservation that came after the completed attempt was refused. It may be
        accepted when what spoke against it is lost, and then that attempt's result is late."""
        return any(
            isinstance(event, ev.ReserveTrial)
            and event.number == trial.number
            and event.attempt > trial.attempt
            for one in self.journal
            if one.number == number
            for event in one.events
        )

    def step(self) -> None:
        number = self.rng.choice((1, 2))
        experiment = self.state.experiments[number]
        chance = self.rng.random()
        free = [trial for trial in experiment.trials if trial.status != RESERVED]
        if chance < 0.06 and free:
            trial = self.rng.choice(free)
            to = self.rng.choice((NEW, INTERRUPTED, SUSPENDED, BROKEN))
            self.write(number, "user", [ev.SetStatus(trial.number, trial.attempt, to, 5.0)])
        elif chance < 0.10:
            limits = ev.ChangeLimits(self.rng.randint(3, 30), self.rng.randint(2, 8), 5.0)
            self.write(number, "user", [limits])
        elif chance < 0.12:
            event = self.rng.choice((ev.StopExperiment("x", 5.0), ev.ResumeExperiment(5.0)))
            self.write(number, "user", [event])
        elif experiment.stopped is not None and chance < 0.2:
            self.write(number, "user", [ev.ResumeExperiment(5.0)])
        else:
            self.work(number, f"{self.rng.choice('abc')}{number}")

    def work(self, number: int, worker: str) -> None:
        experiment = self.state.experiments[number]
        ends: list[ev.Event] = []
        for one in self.running.pop(worker, []):
            end = self.rng.choice((COMPLETED, COMPLETED, COMPLETED, INTERRUPTED, BROKEN))
            ends.append(
                ev.CompleteTrial(*one, results(*one), 4.0)
                if end == COMPLETED
                else ev.ReleaseTrial(*one, end, USER_ERROR, "", 4.0)
            )
        lost = Loss([f"{self.rng.choice('abc')}{number}"] if self.rng.random() < 0.1 else [])
        events = [
            *ends,
            *plan.losses(experiment, lost, 3, 4.0),
            *plan.reservations(experiment, self.algorithms[number], SEED, worker, 2, 4.0),
        ]
        if events:
            self.write(number, worker, events)
        self.running[worker] = [
            (trial.number, trial.attempt) for trial in plan.held(experiment, worker, ())
        ]


def mend(journal, start: int, end: int, derive_=None) -> tuple[Mender, State]:
    """Mend the journal with the transactions from ``start`` to ``end`` lost; return the state that
    a reader of the outcome gets, too."""
    made = {}
    makers = {}
    for one in [*journal[:start], *journal[end:]]:
        if one.number == CATALOGUE:
            makers[one.writer] = one.writer, one.counter
        elif one.writer in makers:
            made[makers.pop(one.writer)] = one.number
    samples: dict[int, list[ev.RegisterTrial]] = {}
    for one in [*journal[:start], *journal[end:]]:
        registered = [event for event in one.events if isinstance(event, ev.RegisterTrial)]
        samples.setdefault(one.number, []).extend(registered)
    mender = Mender("mender", made, samples, derive_ or derive())
    reader = State()

    def read(transactions) -> None:
        for number, writer, counter, events in transactions:
            payload = safe_pickle.dumps(wire.encode_transaction(writer, counter, events))
            reader.apply(number, *wire.decode_transaction(safe_pickle.loads(payload)))

    for one in journal[:start]:
        assert mender.take(*one) == [], "put in where nothing is lost"
        read([one])
    mender.lose(sum(one.size + 16 for one in journal[start:end]))
    for one in journal[end:]:
        read([*mender.take(*one), one])
    read(mender.finish())
    return mender, reader


def told(state: State) -> dict[str, object]:
    """Return all that is told of experiments."""
    return {
        one.title: (one.trials, one.max_trials, one.max_broken, one.stopped, one.exhausted)
        for one in state.experiments.values()
    }


@pytest.mark.parametrize("seed", range(150))
def test_what_is_whole_survives_the_loss_of_any_part(seed):
    """Every result that stands, and whose transaction isn't lost, is there with its parameters; and
    the file replays to what the mender says, by the ordinary rules."""
    history = History(seed, steps=80)
    rng = random.Random(seed)
    start = rng.randrange(4, len(history.journal))
    end = min(len(history.journal), start + rng.choice((1, 1, 2, 5, 20)))
    mender, reader = mend(history.journal, start, end)
    assert told(reader) == told(mender.state)
    lost = [event for one in history.journal[start:end] for event in one.events]
    for number, before in history.state.experiments.items():
        after = reader.experiments[number]
        if not history.registrations(number, start, end):
            continue  # then nothing shows that the algorithm gives what it gave
        assert mender.mends.unknown.get(number) is None
        for old in before.trials:
            result = ev.CompleteTrial(old.number, old.attempt, old.results or [], 4.0)
            stands = old.status == COMPLETED and result not in lost
            if old.number >= len(after.trials):
                assert not stands, old
                continue
            new = after.trials[old.number]
            assert new.params == old.params
            assert not (new.status == RESERVED and new.worker == UNKNOWN), "held by nobody"
            if stands and not history.was_refused_later(number, old):
                assert (new.status, new.results) == (COMPLETED, old.results), old
                assert new.attempt == old.attempt


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_put_in_where_nothing_is_lost(seed):
    """A whole journal is left as it is, whatever races it tells of."""
    history = History(seed, steps=80)
    mender, reader = mend(history.journal, 0, 0)
    assert mender.mends.again == mender.mends.attempts == {}
    assert told(reader) == told(history.state)


@pytest.mark.parametrize("seed", range(60))
def test_without_the_algorithm_results_survive_and_the_rest_is_broken(seed):
    """A trial whose parameters are lost is never given to a worker."""
    history = History(seed, steps=80)
    rng = random.Random(seed)
    start = rng.randrange(4, len(history.journal))
    mender, reader = mend(history.journal, start, start + 3, lambda experiment, number: None)
    assert told(reader) == told(mender.state)
    lost = [event for one in history.journal[start : start + 3] for event in one.events]
    for number, before in history.state.experiments.items():
        after = reader.experiments[number]
        for one in mender.mends.unknown.get(number, ()):
            trial = after.trials[one]
            assert trial.params == {}
            assert trial.status in (COMPLETED, BROKEN)
        for old, new in zip(before.trials, after.trials, strict=False):
            result = ev.CompleteTrial(old.number, old.attempt, old.results or [], 4.0)
            stands = old.status == COMPLETED and result not in lost
            if stands and not history.was_refused_later(number, old):
                assert (new.status, new.results) == (COMPLETED, old.results)


def journal_of(*transactions) -> list[Written]:
    """Return transactions of writers of their own: (experiment, event, …)."""
    return [
        Written(number, f"w{index}", 0, list(events))
        for index, (number, *events) in enumerate(transactions)
    ]


def create(name: str, max_trials: int | None = 9, max_broken: int = 2) -> ev.CreateExperiment:
    """Return a creation."""
    limits = {"max_trials": max_trials, "max_broken": max_broken}
    return ev.CreateExperiment(name, 1, limits, 1.0)


def register(number: int, x: float = 0.5, worker: str | None = "w") -> ev.RegisterTrial:
    """Return a registration."""
    return ev.RegisterTrial(number, {"x": number + x}, 2.0, worker=worker)


def unknown(experiment: ExperimentState, number: int) -> None:
    """An algorithm that can't tell."""


def test_what_breaks_through_the_damage_does_not_close_the_experiment():
    """It wasn't the user's function that broke; max_broken is raised by as many."""
    journal = journal_of(
        (CATALOGUE, create("e")), (1, register(0)),
        (1, register(1), register(2), register(3)), (1, register(4)),
    )  # fmt: skip
    mender, reader = mend(journal, 2, 3, unknown)
    experiment = reader.experiments[1]
    assert [trial.status for trial in experiment.trials] == [RESERVED, *[BROKEN] * 3, RESERVED]
    assert experiment.is_open
    assert mender.mends.raised == {1: (2, 5)}
    assert (experiment.max_trials, experiment.max_broken) == (9, 5)


def test_parameters_are_not_taken_from_an_algorithm_that_gave_others_before():
    """A surviving result must not be given the parameters of another point."""
    journal = journal_of(
        (CATALOGUE, create("e")), (1, register(0)), (1, register(1)), (1, register(2)),
        (1, ev.CompleteTrial(1, 1, results(1, 1), 3.0)),
    )  # fmt: skip
    _, reader = mend(journal, 2, 3, lambda experiment, number: {"x": number + 0.25})
    trials = reader.experiments[1].trials
    assert [trial.params for trial in trials] == [{"x": 0.5}, {}, {"x": 2.5}]
    assert trials[1].results == results(1, 1)


def test_a_registration_that_was_refused_for_a_lost_limit_is_used_when_it_turns_out_to_count():
    """The budget was raised in the lost part; its successor shows that the trial was accepted."""
    journal = journal_of(
        (CATALOGUE, create("e", max_trials=1)), (1, register(0)),
        (1, ev.ChangeLimits(5, 2, 3.0)), (1, register(1)), (1, register(2)),
        (1, ev.CompleteTrial(1, 1, results(1, 1), 3.0)),
        (1, ev.CompleteTrial(2, 1, results(2, 1), 3.0)),
    )  # fmt: skip
    _, reader = mend(journal, 2, 3, unknown)
    trials = reader.experiments[1].trials
    assert [trial.params["x"] for trial in trials] == [0.5, 1.5, 2.5]
    assert [trial.status for trial in trials] == [RESERVED, COMPLETED, COMPLETED]


def test_no_more_is_put_in_than_what_is_lost_can_have_held():
    """A number of somebody's making doesn't fill the disk."""
    journal = journal_of(
        (CATALOGUE, create("e")), (1, register(0)), (1, register(1)), (1, register(10**9)),
        (1, ev.CompleteTrial(0, 10**9, results(1, 1), 3.0)),
        (10**6, register(0)), (1, ev.ExhaustSpace(10**8, 3.0)),
    )  # fmt: skip
    mender, reader = mend(journal, 2, 3, unknown)
    assert len(reader.experiments) == 1
    assert len(reader.experiments[1].trials) == 1
    assert mender.mends.unknown == {}


def test_a_lost_creation_does_not_mix_experiments_up():
    """The next one made keeps its number, and what was said of the lost one stays apart."""
    journal = [
        Written(CATALOGUE, "a", 0, [create("e")]),
        Written(1, "a", 1, [register(0)]),
        Written(CATALOGUE, "b", 0, [create("lost")]),
        Written(2, "b", 1, [register(0, 0.7)]),
        Written(CATALOGUE, "c", 0, [create("f")]),
        Written(3, "c", 1, [register(0, 0.9)]),
        Written(2, "b", 2, [ev.CompleteTrial(0, 1, results(0, 1), 3.0)]),
    ]
    for end in (3, 4):
        mender, reader = mend(journal, 2, end, unknown)
        titles = {number: one.title for number, one in reader.experiments.items()}
        assert titles == {1: "e-v1", 2: "lost-2-v1", 3: "f-v1"}
        assert reader.experiments[3].trials[0].params == {"x": 0.9}
        assert reader.experiments[2].trials[0].results == results(0, 1)
        assert reader.experiments[2].is_bare, "no worker runs it"
        assert mender.mends.experiments == [2]


def test_a_lost_removal_is_told_by_the_creation_behind_it():
    """The new experiment of the same name has the number that its trials speak of."""
    journal = [
        Written(CATALOGUE, "a", 0, [create("e")]),
        Written(1, "a", 1, [register(0)]),
        Written(CATALOGUE, "b", 0, [ev.RemoveExperiment(1, 2.0)]),
        Written(CATALOGUE, "c", 0, [create("e")]),
        Written(2, "c", 1, [register(0, 0.9)]),
    ]
    _, reader = mend(journal, 2, 3, unknown)
    assert list(reader.experiments) == [2]
    assert reader.experiments[2].trials[0].params == {"x": 0.9}


def test_an_import_goes_on_behind_a_lost_part():
    """Its trials can't be told by any algorithm; those that aren't lost are as they were."""
    trials = [
        [
            ev.RegisterTrial(number, {"x": number}, 1.0, f"id{number}"),
            ev.ReserveTrial(number, 1, "theirs", None),
            ev.CompleteTrial(number, 1, results(number, 1), None),
        ]
        for number in range(6)
    ]
    journal = journal_of(
        (CATALOGUE, create("e", None)), (1, *trials[0], *trials[1]), (1, *trials[2], *trials[3]),
        (1, *trials[4], *trials[5]),
    )  # fmt: skip
    mender, reader = mend(journal, 2, 3)
    found = reader.experiments[1].trials
    assert [trial.status for trial in found] == [
        COMPLETED, COMPLETED, BROKEN, BROKEN, COMPLETED, COMPLETED,
    ]  # fmt: skip
    assert [trial.id for trial in found[4:]] == ["id4", "id5"]
    assert mender.mends.unknown == {1: [2, 3]}


def test_a_worker_that_was_lost_in_the_damage_leaves_its_trial_to_be_taken():
    """An end that nobody can tell isn't made up."""
    journal = journal_of(
        (CATALOGUE, create("e")), (1, register(0)),
        (1, ev.ReleaseTrial(0, 1, INTERRUPTED, LOST_WORKER, "", 3.0)),
        (1, ev.ReserveTrial(0, 2, "b", 4.0)),
    )  # fmt: skip
    _, reader = mend(journal, 2, 3, unknown)
    assert (reader.experiments[1].trials[0].status, reader.experiments[1].trials[0].worker) == (
        RESERVED,
        "b",
    )
    _, reader = mend(journal, 2, 4, unknown)
    assert reader.experiments[1].trials[0].worker == "w"
