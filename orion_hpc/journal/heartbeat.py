"""Signs of life: one file for each worker beside the database, touched at an interval.

Ages are differences of modification times that the file server wrote, so that the clocks of two
hosts are never compared. Whether a silent worker's trials are released is the worker loop's
decision.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from orion_hpc.errors import StorageError
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.atomic import new_file
from orion_hpc.sharedfs.awake_clock import AwakeClock
from orion_hpc.sharedfs.hints import hint
from orion_hpc.sharedfs.process_identity import Identity

SILENT_INTERVALS = 2
"""A worker that was silent for so many of its own intervals is lost."""

SUSPENDED = ".suspended"
"""The file that tells which workers are."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a worker's file tells: its name, seconds since its last touch, and what it wrote.

    ``touched`` is the file's modification time, by the file server's clock.
    """

    worker: str
    age: float
    touched: float
    interval: float
    about: dict[str, Any]

    @property
    def silent(self) -> bool:
        """Whether it missed its time so often that it counts as lost.

        For a first look only. A clock that was set makes a living worker look silent until its next
        touch, so :class:`Watch` looks twice.
        """
        who = Identity.parse(self.worker)
        if who is not None and (who.provably_gone or who.provably_alive):
            return who.provably_gone
        return self.overdue

    @property
    def overdue(self) -> bool:
        """Whether it missed its time so often, be its process seen to run here or not."""
        return self.age > SILENT_INTERVALS * self.interval


class Heartbeat:
    """Keeps this worker's file fresh from a thread of its own.

    Parameters
    ----------
    folder : str
        Where the files of the experiment's workers lie; made if need be.
    worker : str
        The worker's name, which is the file's.
    interval : float
        Seconds between touches.
    about : dict
        Plain facts for ``status``: host, job, and the like.

    Attributes
    ----------
    awake : AwakeClock
        Seconds without those in which this process was stopped.
    """

    def __init__(self, folder: str, worker: str, interval: float, about: dict[str, Any]) -> None:
        self.path = os.path.join(folder, worker)
        self._content = json.dumps({**about, "interval": interval}).encode()
        self._interval = interval
        self.awake = AwakeClock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Give the first sign and go on in the background. Call before the first reservation.

        Raises
        ------
        StorageError
            The file can't be written: nobody would know that this worker lives.
        """
        try:
            self._write()
        except OSError as error:
            raise StorageError(
                f"can't write the worker's sign of life {self.path}: {error.strerror}",
                hint(error.errno, self.path, "Check the free space and the permissions there."),
            ) from error
        self._thread.start()

    def stop(self, remove: bool = True) -> None:
        """Give no more signs; ``remove`` takes the last one away, after the last release.

        Who has no file holds no trial. A worker that couldn't release leaves its file to grow old.
        """
        self._stop.set()
        self._thread.join()
        if remove:
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def touch(self) -> None:
        """Give a sign now. A file that somebody removed comes back."""
        try:
            os.utime(self.path)
        except FileNotFoundError:
            self._write()

    def _write(self) -> None:
        folder = os.path.dirname(self.path)
        layout.make_folder(folder)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            layout.share(fd, folder)
            os.write(fd, self._content)
        finally:
            os.close(fd)

    def _beat(self) -> None:
        due = time.monotonic() + self._interval
        while not self._stop.wait(min(AwakeClock.EVERY, max(0.0, due - time.monotonic()))):
            self.awake()
            # One that was stopped for longer is overdue by this clock, and gives its sign at once.
            if time.monotonic() < due:
                continue
            due = time.monotonic() + self._interval
            # A full disk or a hiccup of the file server: the next touch may go well, and two
            # missed ones are what the others wait for.
            with contextlib.suppress(OSError):
                self.touch()


def signs(folder: str) -> dict[str, Sign]:
    """Return every worker's sign by its name, with ages by the file server's clock."""
    now = server_now(folder)
    found: dict[str, Sign] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if Identity.parse(name) is None:
                continue
            path = os.path.join(folder, name)
            # A worker that leaves takes its file with it; one that starts writes it any moment.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                with open(path, "rb") as file:
                    # Of the open file: a client of NFS asks its server at an open, and may answer
                    # a stat by name out of its cache for a minute.
                    touched = os.fstat(file.fileno()).st_mtime
                    about = json.loads(file.read(65536))
                interval = float(about.pop("interval"))
                found[name] = Sign(name, now - touched, touched, interval, about)
    return found


def server_now(folder: str) -> float:
    """Return the file server's time: the modification time of a file touched just now."""
    path = os.path.join(folder, f".now-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b".")
            return os.fstat(fd).st_mtime
        finally:
            os.close(fd)
            os.unlink(path)
    except OSError:  # a reader who may not write here: the own clock is the best there is
        return time.time()


def take_turn(folder: str, every: float) -> bool:
    """Return whether nobody who works from ``folder`` took a turn in the last ``every`` seconds.

    If so, it is taken. Two may take it at the same moment, and nobody can who mayn't write there.
    """
    path = os.path.join(folder, ".turn")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            taken = os.fstat(fd)
            if taken.st_size and 0 <= server_now(folder) - taken.st_mtime < every:
                return False
            layout.share(fd, folder)
            os.write(fd, b".")
            return True
        finally:
            os.close(fd)
    except OSError:
        return False


def tell_suspended(folder: str, workers: Iterable[str]) -> None:
    """Let all who work from ``folder`` know who is suspended, so that not each has to ask."""
    path = os.path.join(folder, SUSPENDED)
    with contextlib.suppress(OSError), new_file(path, 0o600, replace=True) as file:
        layout.share(file.fileno(), folder)
        file.write(json.dumps(sorted(workers)).encode())


def told_suspended(folder: str, within: float) -> set[str]:
    """Return who was told to be suspended in the last ``within`` seconds, by the server's clock."""
    with contextlib.suppress(OSError, ValueError):
        with open(os.path.join(folder, SUSPENDED), "rb") as file:
            touched = os.fstat(file.fileno()).st_mtime
            names = json.loads(file.read(1 << 20))
        if isinstance(names, list) and 0 <= server_now(folder) - touched < within:
            return {name for name in names if isinstance(name, str)}
    return set()


class Liveness(NamedTuple):
    """What else than their signs is known of workers, by their names.

    ``gone`` lose their trials; ``spared`` keep them, however silent they are.
    """

    gone: Collection[str] = ()
    spared: Collection[str] = ()


Judge: TypeAlias = Callable[[Mapping[str, Sign], Collection[str]], Liveness]
"""Given the signs of workers by their names, and which of them were silent for long enough to count
as lost, returns the verdict."""


def no_verdict(signs: Mapping[str, Sign], silent: Collection[str]) -> Liveness:
    """Know nothing besides the signs."""
    return Liveness()


class Watch:
    """Tells which workers are lost; remembers what it saw before.

    On this host a process is seen to run or not, which is all the proof there is: one that is
    stopped, or holds Python's lock for minutes, isn't lost. Of another host's only the file tells,
    and no single look at it proves anything: a clock may have been set, which makes every file look
    old until its next touch, or a cached directory may hide a new file. So silence has to last
    under this process's own eyes and clock, for the worker's interval and a half if the file is
    old, for as long as a silent worker is waited for if there is no file. That clock stands still
    while this process is stopped itself: jobs are suspended together, and come back together.

    Parameters
    ----------
    folder : str
        As in :class:`Heartbeat`.
    interval : float
        Seconds; what to assume of a worker that left no file.
    judge : callable
        A :data:`Judge`, asked of workers elsewhere, and of those that are stopped on this host.
    awake : callable, default the monotonic clock
        Seconds without those in which this process was stopped.
    """

    def __init__(
        self,
        folder: str,
        interval: float,
        judge: Judge = no_verdict,
        awake: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._interval = interval
        self._judge = judge
        self._awake = awake
        self._suspects: dict[str, tuple[float | None, float]] = {}

    def lost(self, workers: Iterable[str]) -> set[str]:
        """Return those of ``workers`` that are known to be gone or were silent for too long.

        Of those that are only suspended, the ones whose trials are to be handed on.
        """
        gone, elsewhere, stopped = set(), set(), set()
        for name in workers:
            who = Identity.parse(name)
            if who is not None and who.provably_gone:
                gone.add(name)
            elif who is not None and who.stopped:
                stopped.add(name)
            elif who is None or not who.provably_alive:
                elsewhere.add(name)
        asked = elsewhere | stopped
        found = signs(self._folder) if asked else {}
        silent = self._silent({name: found.get(name) for name in asked})
        verdict = self._judge({name: found[name] for name in asked if name in found}, silent)
        for name in silent.intersection(verdict.spared):
            # When it is resumed, it has as long again to give a sign that is seen here.
            self._suspects[name] = (self._suspects[name][0], self._awake())
        return gone.union((silent - stopped).difference(verdict.spared), verdict.gone)

    def _silent(self, suspects: Mapping[str, Sign | None]) -> set[str]:
        """Return those whose silence has lasted for long enough, and take note of the others."""
        now = self._awake()
        before, self._suspects = self._suspects, {}
        silent = set()
        for name, sign in suspects.items():
            if sign is not None and not sign.overdue:
                continue
            touched = sign.touched if sign else None
            seen, since = before.get(name, (touched, now))
            if seen != touched:
                since = now
            self._suspects[name] = (touched, since)
            patience = sign.interval * 1.5 if sign else self._interval * SILENT_INTERVALS
            if now - since > patience:
                silent.add(name)
        return silent
