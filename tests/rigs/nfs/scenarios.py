"""What befalls workers on NFS, and whether all that they were told is so afterwards.

Each scenario is played on several versions at once, since most of its time is waiting: for a lease
to lapse, for a server to boot. It returns by version what was wrong; nothing if nothing was.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from tests import options
from tests.rigs.nfs.crew import Crew
from tests.rigs.nfs.guest import Guest
from tests.rigs.nfs.inside import POINTS
from tests.rigs.nfs.rig import LEASE, NfsRig
from tests.rigs.waiting import wait_until

SECONDS = options.NFS_SECONDS
"""How long each storm lasts at least."""

PROCESSES = 4 if SECONDS else 2
"""That work on each client. Except in a long run, their starts take longer than their work."""

_PAUSE = 0.1 if SECONDS else 0.4
"""Seconds of a trial where it doesn't matter how many there are: there are so many waits then that
the processors would be busy with little else."""

DAY = 86400.0

_A_SECOND = {"3-nolock": 2}
"""Trials that are completed in about a second where all versions are played; of the others 15."""

_PATIENCE = 240.0 + 4 * SECONDS
_TROUBLE = ("StorageError:",)
"""What may be told while the server can't do what it is asked. Damage isn't among it."""

Versions = Sequence[str]
Problems = dict[str, list[str]]


def open_readers(rig: NfsRig, versions: Versions) -> Problems:
    """A writer on a client has read the journal, and readers there have it open as it was; the
    other client appends, then that writer."""
    crews = [Crew(rig, version) for version in versions]
    for crew in crews:
        crew.hire_late(rig.c2)
    for crew in crews:
        crew.await_notes("held", rig.c2)
        for how in ("ours", "any"):
            crew.keep_open(rig.c2, how)
    for crew in crews:
        crew.await_notes("opened", rig.c2, 3)
    for job in [crew.append(rig.c1) for crew in crews]:
        job.wait(_PATIENCE)
    for crew in crews:
        crew.go_on()
    for crew in crews:
        crew.await_notes("acknowledged", rig.c2)
    for crew in crews:
        crew.stop()
    for crew in crews:
        crew.await_end(_PATIENCE)
    return {crew.version: crew.problems(limit=2) + _wrong_lock(crew) for crew in crews}


def plain_running(rig: NfsRig, versions: Versions) -> Problems:
    """Nothing befalls them; they work until all is done."""
    return _to_the_end(_crews(rig, versions, limited=1.0))


def killed(rig: NfsRig, versions: Versions) -> Problems:
    """Workers get SIGKILL, at any moment, and are replaced: one of a client whenever that has
    recorded some results since, for a start in a guest costs as much as a hundred trials."""
    crews = _crews(rig, versions, limited=0.2, heartbeat=2.0)
    _progress(crews, rig.clients, count=PROCESSES)
    # Those first that have the fewest trials, before they are done.
    shortest = sorted(crews, key=lambda crew: crew.max_trials)
    due = dict.fromkeys(itertools.product(shortest, rig.clients), 0)
    for _ in _rounds():
        for crew, client in due:
            acknowledged = crew.told("acknowledged", client)
            if acknowledged >= due[crew, client]:
                pids = crew.pids(client)[-PROCESSES:]
                client.run(f"kill -9 {random.choice(pids)} || true")
                due[crew, client] = acknowledged + 2 * PROCESSES
        time.sleep(0.5)
    found = _to_the_end(crews)
    for crew in crews:
        if crew.told("opened") == 2 * PROCESSES:
            found[crew.version].append("nobody was killed: all had left before")
    return found


def clock_off(rig: NfsRig, versions: Versions) -> Problems:
    """One client's clock is a day ahead; trials outlast the time after which silence is a loss, and
    one of those who run them is killed."""
    with rig.clock_off(rig.c2, DAY):
        trials = 4 * PROCESSES
        crews = _crews(rig, versions, trials=trials, heartbeat=1.0, pause=6.0)
        for crew in crews:
            crew.await_notes("reserved", rig.c2, PROCESSES)
            rig.c2.run(f"kill -9 {crew.pids(rig.c2)[0]}")
        found = _to_the_end(crews)
    for crew in crews:
        attempts = sorted(note.attempt for note in crew.notes() if note.what == "acknowledged")
        if attempts != [1] * (trials - 1) + [2]:
            found[crew.version].append(f"one was killed, but the attempts are {attempts}")
    return found


def server_rebooted(rig: NfsRig, versions: Versions) -> Problems:
    """The server's power goes, and it boots again."""
    return _through(rig, _crews(rig, versions, pause=_PAUSE), lambda: rig.reboot_server())


def nfsd_restarted(rig: NfsRig, versions: Versions) -> Problems:
    """The server forgets all locks, but no file."""
    return _through(rig, _crews(rig, versions, pause=_PAUSE), lambda: rig.restart_nfsd())


def disk_full(rig: NfsRig, versions: Versions) -> Problems:
    """The server has no byte free, until all have been told so."""
    crews = _crews(rig, versions, small=True, pause=_PAUSE)
    return _through(rig, crews, lambda: _until_told(rig, crews, rig.full_disk()))


def export_readonly(rig: NfsRig, versions: Versions) -> Problems:
    """Nothing can be written, until all have been told so."""
    crews = _crews(rig, versions, pause=_PAUSE)
    return _through(rig, crews, lambda: _until_told(rig, crews, rig.readonly()))


def cut_at_a_write(rig: NfsRig, versions: Versions) -> Problems:
    """A client is cut off with a write under way, until the other one has got its lock."""
    crews = _crews(rig, versions, pause=_PAUSE)

    def fault() -> None:
        with rig.cut_off(rig.c1, at_write=True):
            _outlast_the_lease(crews, rig.c2)

    return _through(rig, crews, fault)


def cut_with_the_lock(rig: NfsRig, versions: Versions) -> Problems:
    """A client is cut off while it has the lock, at each of `POINTS`, goes on into the silence, and
    comes back when the other one has written."""
    return _away_with_the_lock(rig, versions, rig.cut_off, early=True)


def frozen_with_the_lock(rig: NfsRig, versions: Versions) -> Problems:
    """A client is frozen while it has the lock, at each of `POINTS`, and goes on where it was when
    the other one has written."""
    return _away_with_the_lock(rig, versions, rig.frozen, early=False)


# -- how they are played -------------------------------------------------------------------------


def _wrong_lock(crew: Crew) -> list[str]:
    """Whether the kind of lock that was chosen isn't the one that reaches the other client."""
    right = "lease" if crew.version == "3-nolock" else "flock-database"
    return [] if crew.lock == right else [f"the lock is a {crew.lock}"]


def _crews(
    rig: NfsRig,
    versions: Versions,
    small: bool = False,
    limited: float | None = None,
    trials: int = 1_000_000,
    heartbeat: float = 60.0,
    pause: float = 0.0,
) -> list[Crew]:
    """Have workers on both clients, and one who only looks, on each version.

    `limited` lets them come to an end after about so many times `SECONDS`.
    """
    crews = []
    for version in versions:
        if limited is not None:
            trials = int(_A_SECOND.get(version, 15) * (20 + limited * SECONDS))
        crews.append(Crew(rig, version, small, trials))
    for crew in crews:
        for client in rig.clients:
            crew.hire(client, PROCESSES, heartbeat, pause)
    # All at once: what one client's workers can do alone may be done before the other's are up.
    for crew in crews:
        crew.await_notes("opened", count=2 * PROCESSES)
    for crew in crews:
        crew.begin()
    return crews


def _rounds() -> Iterator[None]:
    """One round, or as many as begin within `SECONDS`."""
    end = time.monotonic() + SECONDS
    yield
    while time.monotonic() < end:
        yield


def _to_the_end(crews: Sequence[Crew]) -> Problems:
    """Let all work until they see themselves that the experiment is done."""
    deadline = time.monotonic() + _PATIENCE
    late = {crew.version: _late(crew, "done", deadline) for crew in crews}
    return {
        version: late[version] + found for version, found in _leave(crews, limited=True).items()
    }


def _late(crew: Crew, what: str, deadline: float) -> list[str]:
    """Whether all have noted something in time; if not, what there is to say of it."""
    try:
        left = max(1.0, deadline - time.monotonic())
        crew.await_notes(what, count=2 * PROCESSES, timeout=left)
    except TimeoutError as error:
        return [f"{error}: {crew.told(what)} did"]
    return []


def _through(rig: NfsRig, crews: Sequence[Crew], fault: Callable[[], None]) -> Problems:
    """Let all work, through a fault; afterwards each client has to go on, without a restart."""
    stuck: dict[Crew, str] = {}
    _progress(crews, rig.clients)
    for _ in _rounds():
        fault()
        stuck = _Marks(crews, rig.clients, "acknowledged").stuck(10)
        if stuck:
            break
    before = {crew.version: crew.told("acknowledged") for crew in crews}
    found = _leave(crews)
    for crew in crews:
        for client in rig.clients:
            seen = [note.count for note in crew.notes(client) if note.what == "seen"]
            if max(seen, default=0) < before[crew.version]:
                found[crew.version].append(
                    f"a reader on {client.name} saw {max(seen, default=0)} completed trials of "
                    f"{before[crew.version]}"
                )
    for crew, told in stuck.items():
        found[crew.version].insert(0, told)
    return found


class _Marks:
    """How often each client of each crew has noted something, to wait until it has more often."""

    def __init__(self, crews: Iterable[Crew], clients: Sequence[Guest], what: str) -> None:
        self._what = what
        self._begun = [
            (crew, client, crew.told(what, client))
            for crew, client in itertools.product(crews, clients)
        ]

    def stuck(self, count: int) -> dict[Crew, str]:
        """Wait until all have, so often; return what there is to say of those that haven't."""
        deadline = time.monotonic() + _PATIENCE
        found = {}
        for crew, client, before in self._begun:
            left = max(1.0, deadline - time.monotonic())
            try:
                crew.await_notes(self._what, client, before + count, left)
            except TimeoutError as error:
                found[crew] = str(error)
        return found

    def wait(self, count: int) -> None:
        """The same; raise `TimeoutError` for those that haven't."""
        if stuck := self.stuck(count):
            raise TimeoutError("; ".join(stuck.values()))


def _progress(crews: Iterable[Crew], clients: Sequence[Guest], count: int = 10) -> None:
    """Wait until on each client so many more results were acknowledged."""
    _Marks(crews, clients, "acknowledged").wait(count)


def _until_told(rig: NfsRig, crews: Sequence[Crew], fault: AbstractContextManager[None]) -> None:
    """Let a fault last until on each client workers of each crew were told of a trouble.

    Those with a lease may just wait for it: its marker can't be removed either.
    """
    end = time.monotonic() + LEASE
    marks = _Marks([crew for crew in crews if crew.lock != "lease"], rig.clients, "trouble")
    with fault:
        marks.wait(2)
        wait_until(lambda: time.monotonic() > end, LEASE + 10, "the fault to have lasted")


def _outlast_the_lease(crews: Sequence[Crew], other: Guest) -> None:
    """Wait until the other client has got the locks of one that is silent, and has written.

    Under version 3 a lock has no end: there, it is waited for longer than another's would last.
    """
    end = time.monotonic() + LEASE + 2
    _progress([crew for crew in crews if crew.version != "3"], [other], count=5)
    wait_until(lambda: time.monotonic() > end, LEASE + 10, "the server's lease to lapse")


def _away_with_the_lock(
    rig: NfsRig,
    versions: Versions,
    fault: Callable[[Guest], AbstractContextManager[None]],
    early: bool,
) -> Problems:
    crews = {(version, point): Crew(rig, version) for version in versions for point in POINTS}
    for (_, point), crew in crews.items():
        crew.hire_held(rig.c1, point)
        crew.hire(rig.c2, 1, pause=_PAUSE)
        crew.begin()
    for crew in crews.values():
        crew.await_notes("opened", rig.c2)
        crew.await_notes("held", rig.c1)
    with fault(rig.c1):
        for crew in crews.values() if early else ():
            crew.go_on()
        _outlast_the_lease(list(crews.values()), rig.c2)
        for crew in crews.values():
            crew.go_on()
    found: Problems = {version: [] for version in versions}
    stuck = _Marks(crews.values(), rig.clients, "acknowledged").stuck(3)
    for (version, point), crew in crews.items():
        if crew in stuck:
            found[version].append(f"{point}: {stuck[crew]}")
    for crew in crews.values():
        crew.stop()
    for (version, point), crew in crews.items():
        crew.await_end(_PATIENCE)
        found[version] += [f"{point}: {one}" for one in crew.problems(bearable=_TROUBLE)]
    return found


def _leave(crews: Sequence[Crew], limited: bool = False) -> Problems:
    """Have all leave, and look whether what they were told is so."""
    for crew in crews:
        crew.stop()
    for crew in crews:
        crew.await_end(_PATIENCE)
        told = {what: crew.told(what) for what in ("acknowledged", "refused", "trouble")}
        print(f"version {crew.version}: {told}")
    if limited:
        return {crew.version: crew.problems(crew.max_trials) for crew in crews}
    return {crew.version: crew.problems(bearable=_TROUBLE) for crew in crews}
