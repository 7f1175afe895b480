"""Workers in the guests on one experiment, as the tests see them: hired, counted, audited."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.rigs.nfs.audit import Note, Notebook, having, problems
from tests.rigs.nfs.guest import Guest, GuestError, Job
from tests.rigs.nfs.rig import NfsRig
from tests.rigs.waiting import wait_until

_NUMBERS = itertools.count(1)
_PATIENCE = 240.0
"""Seconds; a machine that others use is slow."""


class Crew:
    """Who works on one new experiment, which both clients have on one version of NFS.

    Parameters
    ----------
    rig : NfsRig
    version : str
        One of `tests.rigs.nfs.rig.VERSIONS`.
    small : bool
        Whether the database is on the small disk.
    max_trials : int
        Of the experiment; there are so many that nobody gets that far unless it is said.
    """

    def __init__(
        self, rig: NfsRig, version: str, small: bool = False, max_trials: int = 1_000_000
    ) -> None:
        self.version = version
        self.max_trials = max_trials
        self._rig = rig
        self._number = next(_NUMBERS)
        shared = rig.folder(version, small)
        self.path, self._served = f"{shared.path}/db.pkl", f"{shared.served}/db.pkl"
        self._jobs: list[tuple[Guest, Job]] = []
        self._failures: list[str] = []
        for client in rig.clients:
            self._folder(client).mkdir()
        self._notebook = Notebook(*(self._folder(client) for client in rig.clients))
        self._made = rig.c1.call("tests.rigs.nfs.workers", "make", self.path, max_trials)

    @property
    def lock(self) -> str:
        """The kind of lock that the database has."""
        return self._made.wait(_PATIENCE).strip()

    # -- hiring --------------------------------------------------------------------------------

    def hire(self, client: Guest, count: int, heartbeat: float = 60.0, pause: float = 0.0) -> None:
        """Have so many processes at work on a client once they are to `begin`, for `pause` seconds
        on each trial, and one that does nothing but look at the trials."""
        self._start(client, "work", count, heartbeat, pause)

    def hire_held(self, client: Guest, point: str) -> None:
        """Have one worker there that will stand still at a point of its append."""
        self._start(client, "held", point)

    def hire_late(self, client: Guest) -> None:
        """Have one process there that takes a trial, and stands still before it records it."""
        self._start(client, "late")

    def keep_open(self, client: Guest, how: str) -> None:
        """Have a process there that keeps the database open for reading, and notes when it does."""
        self._start(client, "read", how)

    def append(self, client: Guest) -> Job:
        """Have one result recorded by a new process there."""
        return self._start(client, "once")

    def _start(self, client: Guest, program: str, *words: object) -> Job:
        self._made.wait(_PATIENCE)
        folder = f"/run/share/{self._folder(client).name}"
        job = client.call("tests.rigs.nfs.workers", program, folder, self.path, *words)
        self._jobs.append((client, job))
        return job

    # -- what they tell ------------------------------------------------------------------------

    def notes(self, client: Guest | None = None) -> list[Note]:
        """What all of them have noted, or those on one client."""
        return self._notebook.notes(f"{client.name}-" if client else "")

    def told(self, what: str, client: Guest | None = None) -> int:
        """How often something was noted."""
        return len(having(self.notes(client), what))

    def await_notes(
        self, what: str, client: Guest | None = None, count: int = 1, timeout: float = _PATIENCE
    ) -> None:
        """Wait until something was noted so often."""
        where = client.name if client else "the clients"
        wait_until(
            lambda: self.told(what, client) >= count,
            timeout,
            f"{count} times {what!r} on {where}, version {self.version}",
        )

    def pids(self, client: Guest) -> list[int]:
        """The numbers of the workers that have opened the experiment there, the oldest first."""
        # By time: by name, number 1000 would come before 999.
        opened = sorted(having(self.notes(client), "opened"), key=lambda note: note.at)
        return [int(note.writer.split("-")[1]) for note in opened]

    # -- the beginning and the end -------------------------------------------------------------

    def begin(self) -> None:
        """Let those at work who were hired."""
        self._touch("begin")

    def go_on(self) -> None:
        """Let those go on who were held."""
        self._touch("go")

    def stop(self) -> None:
        """Tell everybody to leave."""
        self._touch("stop")

    def await_end(self, timeout: float) -> None:
        """Wait until all have left; what was wrong with them is among the `problems`."""
        for client, job in self._jobs:
            try:
                job.wait(timeout)
            except GuestError as error:
                self._failures.append(str(error))
                client.run(f"kill -9 -- -$(cat /run/share/{job.name}.pid) || true")
        self._jobs = []

    def problems(self, limit: int | None = None, bearable: tuple[str, ...] = ()) -> list[str]:
        """What isn't as they were told, once all have left (see `tests.rigs.nfs.audit`)."""
        journal = self._rig.fetch(self._served, f"journal-{self._number}")
        return [*self._failures, *problems(self.notes(), journal, limit, bearable)]

    def _touch(self, name: str) -> None:
        for client in self._rig.clients:
            (self._folder(client) / name).touch()

    def _folder(self, client: Guest) -> Path:
        return client.share / f"notes-{self._number}"
