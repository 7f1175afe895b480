"""Any interleaving of many workers, over a file system that lies and with a lock that doesn't hold.

The pickle database runs on :mod:`tests.rigs.lying_file`; a plain dictionary that follows the rules
of replay in its own words is the model. After every step all that the workers were told is compared
with it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orion_hpc.algorithms.random import Random
from orion_hpc.errors import StorageError
from orion_hpc.journal import framing, pickleddb, safe_pickle
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model import wire
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, State
from orion_hpc.model.trial_record import BROKEN, COMPLETED, INTERRUPTED, LOST_WORKER, RESERVED
from orion_hpc.worker import plan
from tests import options
from tests.rigs.interleavings import explore
from tests.rigs.lying_file import Fault, Killed, Lie, LyingFile, NoLock, Server

EXAMPLES = options.STATEFUL_EXAMPLES or 300
STEPS = 40
ALGORITHM = Random(Space.parse({"x": "uniform(0, 1)"}), seed=7)

fractions = st.floats(0.0, 1.0)
lies = st.lists(st.builds(Lie, fractions, fractions, fractions), max_size=3)
faults = st.none() | st.builds(Fault, fractions, st.sampled_from(["dies", "error", "short"]))
outcomes = st.sampled_from([COMPLETED, COMPLETED, INTERRUPTED, BROKEN])


class Model:
    """The experiment as a dictionary, by the rules in other words."""

    def __init__(self, max_trials: int) -> None:
        self.max_trials = max_trials
        self.trials: dict[int, dict[str, Any]] = {}
        self.counts: dict[str, int] = {}

    def count(self, status: str) -> int:
        return sum(trial["status"] == status for trial in self.trials.values())

    def take(self, writer: str, counter: int, events: list[ev.Event]) -> None:
        """Follow one transaction."""
        if counter <= self.counts.get(writer, -1):
            return
        self.counts[writer] = counter
        for event in events:
            getattr(self, type(event).__name__)(event)

    def RegisterTrial(self, event: ev.RegisterTrial) -> None:  # noqa: N802
        live = len(self.trials) - self.count(COMPLETED) - self.count(BROKEN)
        same = any(trial["params"] == event.params for trial in self.trials.values())
        room = self.count(COMPLETED) + live < self.max_trials
        if event.number == len(self.trials) and not same and room:
            self.trials[event.number] = {
                "params": event.params, "status": "new", "attempt": 0, "worker": None,
                "results": None,
            }  # fmt: skip
            if event.worker is not None:
                self.ReserveTrial(ev.ReserveTrial(event.number, 1, event.worker, event.time))

    def ReserveTrial(self, event: ev.ReserveTrial) -> None:  # noqa: N802
        trial = self.trials.get(event.number)
        running = self.count(COMPLETED) + self.count(RESERVED)
        free = trial is not None and trial["status"] in ("new", INTERRUPTED)
        if free and running < self.max_trials and event.attempt == trial["attempt"] + 1:
            trial.update(status=RESERVED, attempt=event.attempt, worker=event.worker)

    def CompleteTrial(self, event: ev.CompleteTrial) -> None:  # noqa: N802
        trial = self.trials.get(event.number)
        open_ = trial is not None and trial["status"] in (RESERVED, INTERRUPTED)
        if open_ and event.attempt == trial["attempt"] > 0:
            trial.update(status=COMPLETED, results=event.results)

    def ReleaseTrial(self, event: ev.ReleaseTrial) -> None:  # noqa: N802
        trial = self.trials.get(event.number)
        if trial and trial["status"] == RESERVED and event.attempt == trial["attempt"]:
            trial.update(status=event.status)

    def ChangeLimits(self, event: ev.ChangeLimits) -> None:  # noqa: N802
        assert event.max_trials is not None
        self.max_trials = event.max_trials


class Worker:
    """Reserves, runs and records as the real loop does."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.file = LyingFile(f"/nowhere/{name}.pkl", server)
        self.db = PickledDB(self.file.path, file=self.file)  # type: ignore[arg-type]
        self.db._writer.lock = NoLock()  # type: ignore[assignment]
        self.db._writer.name = name  # the same in each run
        self.db.refresh()  # a job begins when it has found its experiment
        self.running: dict[int, int] = {}
        self.unrecorded: dict[tuple[int, int], str] = {}


class Cluster(RuleBasedStateMachine):
    """Workers that come and go."""

    @initialize(max_trials=st.integers(1, 12), locked=st.booleans())
    def make(self, max_trials: int, locked: bool = False) -> None:
        # Whether the lock excludes others, as it should; syncs may fail only then.
        self.locked = locked
        self.server = Server(framing.encode_header({"lock": "flock", "id": "0" * 32}))
        self.budget = max_trials
        self.lowest_budget_since: dict[int, int] = {}
        self.model = Model(max_trials)
        self.read_to = self.server.header
        self.workers: dict[str, Worker] = {}
        self.dead: set[str] = set()
        self.given: dict[tuple[int, int], str] = {}
        self.told: dict[tuple[int, int], str] = {}
        self.count = 0
        first = self.new_worker()
        configuration = {"max_trials": max_trials, "max_broken": 1000}
        first.db.transact(
            CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, configuration, 0.0)]
        )
        for _ in range(3):
            self.new_worker()

    def new_worker(self) -> Worker:
        self.count += 1
        worker = Worker(f"w{self.count}", self.server)
        self.workers[worker.name] = worker
        return worker

    def pick(self, index: int) -> Worker:
        names = sorted(self.workers)
        return self.workers[names[index % len(names)]]

    # -- what may happen -------------------------------------------------------------------------

    @rule(
        index=st.integers(0, 9),
        outcome=outcomes,
        lies=lies,
        fault=faults,
        sync_fails=st.booleans(),
        slots=st.integers(0, 3),
        between=st.lists(st.tuples(st.integers(0, 9), outcomes, lies, faults), max_size=2),
    )
    def work(self, index, outcome, lies, fault, sync_fails, slots, between) -> None:
        """One transaction, while others make theirs between its look and its append."""
        worker = self.pick(index)
        if self.locked:
            between = []

        def meanwhile() -> None:
            for other, its_outcome, its_lies, its_fault in between:
                if self.pick(other) is not worker:
                    self.turn(self.pick(other), its_outcome, its_lies, its_fault, False, 1)

        self.turn(worker, outcome, lies, fault, sync_fails, slots, meanwhile)

    def turn(self, worker, outcome, lies, fault, sync_fails, slots, meanwhile=lambda: None) -> None:
        for number, attempt in list(worker.running.items()):
            worker.unrecorded[number, attempt] = outcome
            del worker.running[number]
        worker.file.lies, worker.file.fault = list(lies), fault
        worker.file.sync_fails = sync_fails

        def decide(state: State) -> list[ev.Event]:
            meanwhile()
            seen = state.experiments[1]
            ends = [
                ev.CompleteTrial(*one, self.results(*one), 1.0)
                if end == COMPLETED
                else ev.ReleaseTrial(*one, end, "cancelled", "", 1.0)
                for one, end in worker.unrecorded.items()
            ]
            lost = [
                ev.ReleaseTrial(trial.number, trial.attempt, INTERRUPTED, LOST_WORKER, "", 1.0)
                for trial in seen.having(RESERVED)
                if trial.worker in self.dead
            ]
            fresh = plan.reservations(seen, ALGORITHM, 7, worker.name, slots, 1.0)
            return [*ends, *lost, *fresh]

        try:
            state = worker.db.transact(1, decide).experiments[1]
        except StorageError:
            return  # it will try again: what ended stays with it
        except Killed:
            self.bury(worker)
            return
        for (number, attempt), end in worker.unrecorded.items():
            trial = state.trials[number]
            if trial.attempt == attempt and trial.status == end:
                self.told[number, attempt] = end
        worker.unrecorded.clear()
        for trial in plan.held(state, worker.name, worker.running):
            one = (trial.number, trial.attempt)
            assert self.given.setdefault(one, worker.name) == worker.name, f"{one} given twice"
            worker.running[trial.number] = trial.attempt

    @rule(index=st.integers(0, 9), lies=lies)
    def look(self, index, lies) -> None:
        """A reader, who takes no lock, is never told of a future or a past that isn't."""
        worker = self.pick(index)
        worker.file.lies = list(lies)
        worker.db.refresh()

    @precondition(lambda self: self.locked)
    @rule(
        index=st.integers(0, 9),
        outcome=outcomes,
        slots=st.integers(0, 3),
        readers=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    )
    def sync_fails_after_others_read(self, index, outcome, slots, readers) -> None:
        """What they read was in the cache of their host alone, and never gets into the file."""
        worker = self.pick(index)

        def read() -> None:
            for reader in readers:
                if (other := self.pick(reader)) is not worker:
                    other.file.lies = []
                    other.db.refresh()

        worker.file.vanishes = read
        self.turn(worker, outcome, [], None, False, slots)
        worker.file.vanishes = None

    @precondition(lambda self: len(self.workers) > 1)
    @rule(index=st.integers(0, 9))
    def kill(self, index) -> None:
        """A worker dies between two transactions."""
        self.bury(self.pick(index))

    @rule(index=st.integers(0, 9))
    def presume_lost(self, index) -> None:
        """A worker that lives is taken for dead, and goes on without knowing."""
        self.dead.add(self.pick(index).name)

    @rule(index=st.integers(0, 9), max_trials=st.integers(1, 14))
    def change_the_budget(self, index, max_trials) -> None:
        """Up or down, while trials run."""
        worker = self.pick(index)
        worker.file.lies, worker.file.fault, worker.file.sync_fails = [], None, False
        worker.db.transact(1, lambda state: [ev.ChangeLimits(max_trials, 1000, 1.0)])
        self.budget = max_trials

    def bury(self, worker: Worker) -> None:
        self.dead.add(worker.name)
        del self.workers[worker.name]
        self.new_worker()

    def results(self, number: int, attempt: int) -> list[dict[str, Any]]:
        return [{"name": "o", "type": "objective", "value": number + attempt / 100}]

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def the_journal_is_what_the_model_says(self) -> None:
        """A reader who sees the truth and the dictionary agree on every trial."""
        if not hasattr(self, "server"):
            return
        reader = LyingFile("/nowhere/reader.pkl", self.server)
        db = PickledDB(reader.path, file=reader)  # type: ignore[arg-type]
        trials = db.refresh().experiments[1].trials
        for frame in framing.frames(bytes(self.server.data[self.read_to :]), self.read_to):
            self.read_to = frame.end
            if frame.experiment == 1:
                self.model.take(*wire.decode_transaction(safe_pickle.loads(frame.payload)))
        found = {
            trial.number: {
                "params": trial.params, "status": trial.status, "attempt": trial.attempt,
                "worker": trial.worker, "results": trial.results,
            }
            for trial in trials
        }  # fmt: skip
        assert found == self.model.trials
        for (number, attempt), end in self.told.items():
            trial = trials[number]
            if end == COMPLETED:
                assert (trial.status, trial.attempt) == (COMPLETED, attempt), "a result was lost"
                assert trial.results == self.results(number, attempt)
            else:
                assert trial.attempt > attempt or trial.status in (end, COMPLETED)

    @invariant()
    def the_budget_holds(self) -> None:
        """Never do more trials run and complete than the largest budget that was ever allowed."""
        if hasattr(self, "server"):
            self.most = max(getattr(self, "most", 0), self.budget)
            assert self.model.count(COMPLETED) + self.model.count(RESERVED) <= self.most

    def teardown(self) -> None:
        """In the end, without any more trouble, every trial that the budget allows completes."""
        if not hasattr(self, "server"):
            return
        last = self.new_worker()
        self.dead |= self.workers.keys() - {last.name}
        for _ in range(60):
            if last.db.refresh().experiments[1].is_done:
                break
            self.turn(last, COMPLETED, [], None, False, 3)
            self.the_journal_is_what_the_model_says()
        assert last.db.refresh().experiments[1].is_done, "a trial is stuck"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """What is waited for is the next look, which comes at once here."""
    monkeypatch.setattr(pickleddb.time, "sleep", lambda seconds: None)


@pytest.mark.timeout(600 + EXAMPLES)  # making a failure smaller takes up to five minutes
def test_any_interleaving_over_a_file_system_that_lies():
    """Nothing that was told is lost or doubled, no trial is stuck, the budget holds."""
    explore(Cluster, EXAMPLES, STEPS)


def test_a_seal_that_vanished_lets_nobody_pass():
    """Torn bytes in the middle are sealed at the end of the file; others of the host read beyond
    them, and the sync of that seal fails. What they record then must be read by all."""
    cluster = Cluster()
    cluster.make(max_trials=3)
    short = Fault(0.0, "short")
    torn = [(0, COMPLETED, [Lie(0.5, 0.9, 0.5)], short), (0, INTERRUPTED, [], Fault(0.7, "dies"))]
    between = [
        (0, BROKEN, [], Fault(0.16, "dies")),
        (1, INTERRUPTED, [Lie(0.49, 0.94, 0.89)], Fault(0.64, "short")),
    ]
    cluster.turn(cluster.pick(1), BROKEN, [], None, False, 1)
    cluster.work(2, COMPLETED, [], None, True, 1, torn)
    cluster.work(7, COMPLETED, [], Fault(0.98, "dies"), False, 2, between)
    cluster.sync_fails_after_others_read(1, COMPLETED, 1, [8, 2])
    cluster.the_journal_is_what_the_model_says()
    cluster.work(4, COMPLETED, [], None, False, 1, [])
    assert cluster.told, "nothing was recorded"
    cluster.the_journal_is_what_the_model_says()
