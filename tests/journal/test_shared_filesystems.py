"""The database on real file systems of several nodes: two mounts of each of `KINDS`.

Each mount has caches of its own, and each worker the host name of its node. Figures are printed
(`-rP` shows them); none is asserted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from orion_hpc.algorithms.random import Random
from orion_hpc.journal.database_file import DatabaseFile
from orion_hpc.journal.heartbeat import Heartbeat, Watch, signs
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE
from orion_hpc.sharedfs import mounts
from orion_hpc.sharedfs.mounts import FLOCK, LEASE
from orion_hpc.worker import plan
from tests.rigs.crew import Crew
from tests.rigs.two_mounts import Shared
from tests.rigs.waiting import wait_until

pytestmark = [pytest.mark.sharedfs, pytest.mark.timeout(600)]

SHORT_LEASE = 5.0
SOMEBODY = "elsewhere:1:abcdef.1"
KINDS = {"glusterfs": FLOCK, "sshfs": LEASE, "cephfs": FLOCK}


ORDERLY = ("glusterfs", "sshfs")
"""Where an append without a lock lands at the end all the same. On CephFS it doesn't: the client
asks for the end first, and then writes there."""


@pytest.fixture(params=list(KINDS))
def shared(request: pytest.FixtureRequest) -> Shared:
    """A fresh directory on each of the file systems."""
    found: Shared = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def make_crew(tmp_path: Path) -> Iterator[Callable[[Shared, int], Crew]]:
    """Return what makes a crew for so many trials; nobody of it outlives the test."""
    with ExitStack() as stack:
        yield lambda shared, trials: stack.enter_context(Crew(shared, tmp_path, trials))


@pytest.mark.parametrize("filesystem", list(KINDS))
def test_eight_workers_on_two_nodes(request, filesystem, make_crew):
    """2,000 trials complete, none lost, none given to two, and no 2,001st begins.

    Every worker's own state is the journal's in the end.
    """
    shared = request.getfixturevalue(filesystem)
    crew = make_crew(shared, 2000)
    kinds = {mounts.lock_kind(mounts.mount_of(str(place))) for place in shared[:2]}
    assert kinds == {crew.lock} == {KINDS[filesystem]}
    for index in range(8):
        crew.hire(index % 2)
    crew.wait_for_end(400)
    crew.check()


@pytest.mark.parametrize("shared", ORDERLY, indirect=True)
def test_without_a_lock_the_log_decides(shared, make_crew):
    """Replay alone keeps two workers from one trial, and their appends don't harm each other."""
    crew = make_crew(shared, 600)
    for index in range(8):
        crew.hire(index % 2, locked=False)
    crew.wait_for_end(300)
    crew.check()


@pytest.mark.parametrize("fault", ["die before", "die within"])
def test_a_holder_that_is_killed_in_its_append(shared, make_crew, fault):
    """Workers of the other node, who can't know that it is dead, go on after the lease.

    What it was told is kept, what it began is given to another, its half frame harms nobody.
    """
    crew = make_crew(shared, 60)
    victim = crew.hire(0, fault=fault, at=5, lease=SHORT_LEASE)
    victim.wait_for_end(60)
    assert [note.number for note in victim.notes("acknowledged")] == [0, 1, 2]
    crew.bury(victim)
    others = [crew.hire(1, lease=SHORT_LEASE) for _ in range(2)]
    crew.wait_for_end(120)
    crew.check()
    again = [note for other in others for note in other.notes("acknowledged") if note.number == 3]
    assert [note.attempt for note in again] == [2]


def _stopped_in_its_append(crew: Crew) -> None:
    """Have the first worker stand still with the lease in hand, and two others go on after it."""
    stopped = crew.hire(0, fault="stop before", at=5, lease=SHORT_LEASE)
    stopped.wait_until_stopped(60)
    assert stopped.notes("given")[-1].number == 3
    for _ in range(2):
        crew.hire(1, lease=SHORT_LEASE)


def test_a_stopped_holder_of_a_lease_writes_late(sshfs, make_crew):
    """The others go on; the late write, in the midst of theirs, is replayed for what it is."""
    crew = make_crew(sshfs, 400)
    _stopped_in_its_append(crew)
    stopped, *others = crew.members

    def acknowledged() -> int:  # by either: a lease isn't fair, and one of them may do nearly all
        return sum(len(other.notes("acknowledged")) for other in others)

    wait_until(lambda: acknowledged() > 20, 90, "the others to go on")
    assert stopped.process.poll() is None
    stopped.process.send_signal(signal.SIGCONT)
    crew.wait_for_end(120)
    crew.check()
    assert (3, 1) in {note[1:3] for note in stopped.notes("acknowledged")}, "nobody had taken it"


def test_a_stopped_holder_of_a_lease_comes_too_late(sshfs, make_crew):
    """Its trial was given to another, who completed it: its own result overrides nothing."""
    crew = make_crew(sshfs, 60)
    _stopped_in_its_append(crew)
    stopped, *others = crew.members
    crew.bury(stopped)
    for other in others:
        other.wait_for_end(120)
    stopped.process.send_signal(signal.SIGCONT)
    crew.wait_for_end(60)
    crew.check(refused=1)
    assert [note[1:3] for note in stopped.notes("refused")] == [(3, 1)]


def test_a_holder_that_was_stopped_before_its_append_writes_nothing(sshfs, make_crew):
    """It notices that its lease ran out, takes a new one, and decides anew on what it finds."""
    crew = make_crew(sshfs, 60)
    stopped = crew.hire(0, fault="stop in plan", at=5, lease=SHORT_LEASE)
    stopped.wait_until_stopped(60)
    other = crew.hire(1, lease=SHORT_LEASE)
    wait_until(lambda: len(other.notes("acknowledged")) > 5, 90, "the other to go on")
    stopped.process.send_signal(signal.SIGCONT)
    crew.wait_for_end(120)
    crew.check()


@pytest.mark.parametrize("shared", ORDERLY, indirect=True)
def test_appends_of_two_nodes_at_once_stay_whole(shared):
    """Each is written in one piece, though it crosses pages and there is no lock."""
    size = 5000
    paths = [str(place / "file") for place in shared[:2]]
    open(paths[0], "wb").close()

    def append(node: int) -> None:
        file = DatabaseFile.at(paths[node])
        for index in range(200):
            file.open(writable=True)
            file.append(bytes([node * 100 + index % 100]) * size, len(file.read(0)))
            file.done()

    threads = [Thread(target=append, args=(node,)) for node in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = (shared.served / "file").read_bytes()
    assert len(written) == 400 * size
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    mixed = [index for index, piece in enumerate(pieces) if piece != piece[:1] * size]
    assert not mixed, f"number {mixed[0]} of {len(pieces)} begins with {pieces[mixed[0]][:40]!r}"


def test_a_reader_on_the_other_node_catches_up(shared):
    """A state that is kept follows what is written elsewhere: nothing is skipped, nothing is
    taken for damage, and what is seen once stays."""
    here, there = (str(place / "db.pkl") for place in shared[:2])
    storage = PickledDB.create(here)
    limits = {"max_trials": None, "max_broken": 2}
    storage.transact(CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, limits, 0.0)])
    reader = PickledDB(there)
    wait_until(lambda: 1 in reader.refresh().experiments, 30, "the experiment to be seen")
    algorithm = Random(Space.parse({"x": "uniform(0, 1)"}), seed=1)
    seen = 0
    for count in (1, 2, 30, 1, 100):
        for _ in range(count):
            storage.transact(
                1, lambda state: plan.reservations(state.experiments[1], algorithm, 1, "w", 1, 1.0)
            )
            now = len(reader.refresh().experiments[1].trials)
            assert now >= seen, "what was seen is gone"
            seen = now
        written = storage.state.experiments[1].trials
        wait_until(
            lambda written=written: reader.refresh().experiments[1].trials == written,
            30,
            f"{len(written)} trials to be seen; {len(reader.state.experiments[1].trials)} are",
        )


def test_a_sign_of_life_is_fresh_on_the_other_node(shared):
    """Caches make it look old by less than the interval of its touches, so nobody is robbed."""
    heartbeat = Heartbeat(str(shared.first / "workers"), SOMEBODY, 60.0, {"host": "node1"})
    folder = str(shared.second / "workers")
    watch = Watch(folder, 60.0)
    heartbeat.start()
    try:
        wait_until(lambda: SOMEBODY in signs(folder), 60, "the sign to be seen")
        first = signs(folder)[SOMEBODY]
        # The server of sshfs tells whole seconds.
        assert -2.0 < first.age < 60.0, f"{first}"

        def fresh() -> bool:
            heartbeat.touch()
            assert watch.lost([SOMEBODY]) == set()
            return signs(folder)[SOMEBODY].touched > first.touched

        wait_until(fresh, 60, "a touch to be seen")
        assert signs(folder)[SOMEBODY].about == {"host": "node1"}
    finally:
        heartbeat.stop()
    wait_until(lambda: signs(folder) == {}, 60, "the sign's end to be seen")
