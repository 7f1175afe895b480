"""Any interleaving of workers whose writes may be held up, under a lease that refuses none of them.

A write that was held up lands minutes later at the offset that its writer saw, over what others
appended and were told of. The pickle database runs on :class:`tests.rigs.lying_file.DirectFile`.
Whatever happens: once anybody has looked, all that a worker was told stands in the journal.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orion_hpc.algorithms.random import Random
from orion_hpc.errors import StorageError
from orion_hpc.journal import framing, pickleddb
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.journal.write_ahead import LastFrame
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, State
from orion_hpc.model.trial_record import COMPLETED, INTERRUPTED, LOST_WORKER, RESERVED, Params
from orion_hpc.sharedfs import layout
from orion_hpc.worker import plan
from tests import options
from tests.rigs.interleavings import explore
from tests.rigs.lying_file import DirectFile, Killed, Lease, Server

EXAMPLES = options.STATEFUL_EXAMPLES or 100
STEPS = 30
MAX_TRIALS = 12
ID = "0" * 32
ALGORITHM = Random(Space.parse({"x": "uniform(0, 1)"}), seed=7)

workers = st.integers(0, 9)
endings = st.sampled_from(["lands", "lands", "lands", "dies", "error"])


class Worker:
    """Reserves, runs and records as the real loop does."""

    def __init__(self, name: str, path: str, server: Server) -> None:
        self.name = name
        self.file = DirectFile(path, server)
        self.db = PickledDB(path, file=self.file)  # type: ignore[arg-type]
        self.db._writer.lock = Lease(server)  # type: ignore[assignment]
        self.db._writer.name = name  # the same in each run
        self.db.refresh()
        self.running: list[tuple[int, int, Params]] = []


class Cluster(RuleBasedStateMachine):
    """Workers that come and go, and writes that come late."""

    folder = ""

    @initialize()
    def make(self) -> None:
        self.folder = tempfile.mkdtemp(dir="/dev/shm")
        self.path = os.path.join(self.folder, "db.pkl")
        with LastFrame(layout.write_ahead_folder(self.path, ID)).created(group=False):
            header = {"lock": "lease", "id": ID, "write_ahead": True}
            self.server = Server(framing.encode_header(header))
        self.workers: dict[str, Worker] = {}
        self.dead: set[str] = set()
        self.told: dict[tuple[int, int], tuple[str, Params]] = {}
        self.count = 0
        first = self.new_worker()
        limits = {"max_trials": MAX_TRIALS, "max_broken": 1000}
        first.db.transact(CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, limits, 0.0)])
        for _ in range(3):
            self.new_worker()

    def new_worker(self) -> Worker:
        self.count += 1
        worker = Worker(f"w{self.count}", self.path, self.server)
        self.workers[worker.name] = worker
        return worker

    def pick(self, index: int) -> Worker:
        names = sorted(self.workers)
        return self.workers[names[index % len(names)]]

    # -- what may happen -------------------------------------------------------------------------

    @rule(index=workers, slots=st.integers(0, 3))
    def work(self, index: int, slots: int) -> None:
        """One transaction, and nothing is in its way."""
        self.turn(self.pick(index), slots)

    @rule(
        index=workers,
        then=endings,
        slots=st.integers(0, 3),
        between=st.lists(st.tuples(workers, endings, st.integers(0, 2)), min_size=1, max_size=4),
    )
    def hold_up(self, index: int, then: str, slots: int, between: list[Any]) -> None:
        """A write is held up, while others make their transactions."""
        worker = self.pick(index)

        def meanwhile() -> None:
            for other, its_end, its_slots in between:
                if (one := self.pick(other)) is not worker:
                    one.file.then = its_end
                    self.turn(one, its_slots)

        worker.file.held_up, worker.file.then = meanwhile, then
        self.turn(worker, slots)
        worker.file.held_up, worker.file.then = None, "lands"

    @precondition(lambda self: self.server.late)
    @rule(which=st.integers(0, 9))
    def land(self, which: int) -> None:
        """A write reaches the file whose writer was told of an error, or is dead."""
        late = self.server.late
        self.server.land(late.pop(which % len(late)))

    @rule(index=workers)
    def look(self, index: int) -> None:
        """A reader takes no lock."""
        self.pick(index).db.refresh()

    @rule(index=workers)
    def kill(self, index: int) -> None:
        """A worker dies between two transactions."""
        self.bury(self.pick(index))

    def bury(self, worker: Worker) -> None:
        self.dead.add(worker.name)
        del self.workers[worker.name]
        self.new_worker()

    def turn(self, worker: Worker, slots: int) -> None:
        if worker.name not in self.workers:
            return
        ends = worker.running

        def decide(state: State) -> list[ev.Event]:
            seen = state.experiments[1]
            return [
                *(
                    ev.CompleteTrial(number, attempt, results(number, attempt, worker.name), 1.0)
                    for number, attempt, params in ends
                    if self.may_end(seen, number, attempt, params, worker)
                ),
                *(
                    ev.ReleaseTrial(one.number, one.attempt, INTERRUPTED, LOST_WORKER, "", 1.0)
                    for one in seen.having(RESERVED)
                    if one.worker in self.dead
                ),
                *plan.reservations(seen, ALGORITHM, 7, worker.name, slots, 1.0),
            ]

        try:
            state = worker.db.transact(1, decide).experiments[1]
        except StorageError:
            return  # it will try again
        except Killed:
            self.bury(worker)
            return
        for number, attempt, params in ends:
            if not self.may_end(state, number, attempt, params, worker):
                continue
            if state.trials[number].status == COMPLETED:
                assert (number, attempt) not in self.told, "two were told of one result"
                self.told[number, attempt] = worker.name, params
        worker.running = [
            (one.number, one.attempt, one.params) for one in plan.held(state, worker.name, ())
        ]

    @staticmethod
    def may_end(state, number: int, attempt: int, params: Params, worker: Worker) -> bool:
        given = state.trials[number] if number < len(state.trials) else None
        if given is None or given.params != params:
            return False
        return plan.may_end(state, given, attempt, worker.name)

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_once_somebody_has_looked(self) -> None:
        """On a copy, lest the look itself puts everything right for those that follow."""
        if not self.folder:
            return
        server = Server(bytes(self.server.data))
        with tempfile.TemporaryDirectory(dir="/dev/shm") as copy:
            path = os.path.join(copy, "db.pkl")
            kept = f"{self.path}.files"
            if os.path.exists(kept):
                shutil.copytree(kept, f"{path}.files")
            looker = Worker("looker", path, server)
            looker.db.recover()
            reader = Worker("reader", path, server)
            for trials in (one.db.state.experiments[1].trials for one in (looker, reader)):
                for (number, attempt), (name, params) in self.told.items():
                    found = trials[number]
                    assert (found.status, found.attempt) == (COMPLETED, attempt), "a result is lost"
                    assert (found.results, found.params) == (
                        results(number, attempt, name),
                        params,
                    )

    def teardown(self) -> None:
        """In the end, without any more trouble, every trial completes."""
        if not self.folder:
            return
        try:
            while self.server.late:
                self.server.land(self.server.late.pop())
            last = self.new_worker()
            self.dead |= self.workers.keys() - {last.name}
            last.db.recover()
            for _ in range(3 * MAX_TRIALS):
                if last.db.refresh().experiments[1].is_done:
                    break
                self.turn(last, 3)
                self.nothing_is_lost_once_somebody_has_looked()
            assert last.db.refresh().experiments[1].is_done, "a trial is stuck"
        finally:
            shutil.rmtree(self.folder)


def results(number: int, attempt: int, worker: str) -> list[dict[str, Any]]:
    """Return what an attempt of this worker comes to; nobody else's comes to the same."""
    return [
        {"name": "o", "type": "objective", "value": number + attempt / 100},
        {"name": worker, "type": "statistic", "value": 1.0},
    ]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """What is waited for is the next look, which comes at once here."""
    monkeypatch.setattr(pickleddb.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(pickleddb, "_READ_BACK_TIMEOUT", {True: 0.01})


@pytest.mark.timeout(600 + EXAMPLES)  # making a failure smaller takes up to five minutes
def test_no_late_write_destroys_what_a_worker_was_told():
    """Nothing that was told is lost or doubled, and no trial is stuck."""
    explore(Cluster, EXAMPLES, STEPS)
