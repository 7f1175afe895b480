"""Heartbeats: one file for each worker beside the database, touched at an interval.

Ages are differences of modification times that the file server wrote, so the clocks of two hosts
are never compared. Whether to release a silent worker's trials is decided by the worker loop.
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
"""After so many of its own intervals without a heartbeat a worker is lost."""

SUSPENDED = ".suspended"
"""The file that lists the suspended workers."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A worker's heartbeat: its name, seconds since the last touch, and what it wrote.

    ``touched`` is the file's modification time, by the file server's clock.
    """

    worker: str
    age: float
    touched: float
    interval: float
    about: dict[str, Any]

    @property
    def silent(self) -> bool:
        """Whether it has been silent for so long that it counts as lost.

        For a first look only. If a clock is changed, a living worker looks silent until its next
        touch; therefore :class:`Watch` looks twice.
        """
        who = Identity.parse(self.worker)
        if who is not None and (who.provably_gone or who.provably_alive):
            return who.provably_gone
        return self.overdue

    @property
    def overdue(self) -> bool:
        """Whether its file is too old, whether or not its process is seen to run on this host."""
        return self.age > SILENT_INTERVALS * self.interval


class Heartbeat:
    """Touches this worker's file from a thread of its own.

    Parameters
    ----------
    folder : str
        The folder of the experiment's heartbeats; created if needed.
    worker : str
        The worker's name, which is also the file's.
    interval : float
        Seconds between touches.
    about : dict
        Plain data for ``status``: host, job, and so on.

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
        """Write the file, and touch it in the background. Call before the first reservation.

        Raises
        ------
        StorageError
            The file can't be written: no other process could see that this worker is alive.
        """
        try:
            self._write()
        except OSError as error:
            raise StorageError(
                f"can't write the worker's heartbeat {self.path}: {error.strerror}",
                hint(error.errno, self.path, "Check the free space and the permissions there."),
            ) from error
        self._thread.start()

    def stop(self, remove: bool = True) -> None:
        """Stop the touches. With ``remove``, remove the file; call after the last release.

        A worker without a file holds no trial. One that couldn't release its trials leaves the
        file, which then ages.
        """
        self._stop.set()
        self._thread.join()
        if remove:
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def touch(self) -> None:
        """Touch the file now. It is written again if somebody removed it."""
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
            # A process that was stopped for longer is overdue by this clock, and touches at once.
            if time.monotonic() < due:
                continue
            due = time.monotonic() + self._interval
            # A full disk, or a short failure of the file server: the next touch may succeed, and
            # the other workers wait for two missed ones.
            with contextlib.suppress(OSError):
                self.touch()


def signs(folder: str) -> dict[str, Sign]:
    """Return the heartbeats by the workers' names, with ages by the file server's clock."""
    now = server_now(folder)
    found: dict[str, Sign] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if Identity.parse(name) is None:
                continue
            path = os.path.join(folder, name)
            # The file may be removed or written at any moment, as workers end and start.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                with open(path, "rb") as file:
                    # Of the open file: a client of NFS asks its server at each open, but may answer
                    # a stat by name from its cache for a minute.
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
    except OSError:  # a reader without write permission has only its own clock
        return time.time()


def take_turn(folder: str, every: float) -> bool:
    """Return whether no worker of ``folder`` took a turn in the last ``every`` seconds.

    If so, this process takes it. Two processes may take it at the same moment. Without permission
    to write to the folder the answer is False.
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


def write_suspended(folder: str, workers: Iterable[str]) -> None:
    """Publish which workers of ``folder`` are suspended, so that not each has to ask Slurm."""
    path = os.path.join(folder, SUSPENDED)
    with contextlib.suppress(OSError), new_file(path, 0o600, replace=True) as file:
        layout.share(file.fileno(), folder)
        file.write(json.dumps(sorted(workers)).encode())


def read_suspended(folder: str, within: float) -> set[str]:
    """Return the workers published as suspended in the last ``within`` seconds of the server."""
    with contextlib.suppress(OSError, ValueError):
        with open(os.path.join(folder, SUSPENDED), "rb") as file:
            touched = os.fstat(file.fileno()).st_mtime
            names = json.loads(file.read(1 << 20))
        if isinstance(names, list) and 0 <= server_now(folder) - touched < within:
            return {name for name in names if isinstance(name, str)}
    return set()


class Liveness(NamedTuple):
    """What is known of workers beside their heartbeats, by their names.

    ``gone`` lose their trials; ``spared`` keep them, however long they are silent.
    """

    gone: Collection[str] = ()
    spared: Collection[str] = ()


LivenessCheck: TypeAlias = Callable[[Mapping[str, Sign], Collection[str]], Liveness]
"""Given the heartbeats of workers by their names, and which of them were silent for too long,
returns what else is known of them."""


def no_liveness(signs: Mapping[str, Sign], silent: Collection[str]) -> Liveness:
    """Return that only the heartbeats are known."""
    return Liveness()


class Watch:
    """Finds lost workers; remembers what it saw before.

    Processes of this host are seen to run or not, and nothing else counts: one that is stopped, or
    holds Python's lock for minutes, isn't lost. Of another host's process there is only the file,
    and a single look at it proves nothing: if a clock was changed, every file looks old until its
    next touch, and a cached directory may hide a new file. So this process has to observe the
    silence by its own clock: for one and a half of the worker's intervals if the file is old, and
    for ``SILENT_INTERVALS`` intervals if there is no file. That clock stands still while this
    process is stopped itself, as jobs are often suspended and resumed together.

    Parameters
    ----------
    folder : str
        As in :class:`Heartbeat`.
    interval : float
        Seconds; assumed for a worker without a file.
    check : callable
        A :data:`LivenessCheck` for workers on other hosts, and for those that are stopped on this
        one.
    awake : callable, default the monotonic clock
        Seconds without those in which this process was stopped.
    """

    def __init__(
        self,
        folder: str,
        interval: float,
        check: LivenessCheck = no_liveness,
        awake: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._interval = interval
        self._check = check
        self._awake = awake
        self._suspects: dict[str, tuple[float | None, float]] = {}

    def lost(self, workers: Iterable[str]) -> set[str]:
        """Return the ``workers`` that are known to be gone, or were silent for too long.

        Of suspended workers those are among them whose trials go to other workers.
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
        liveness = self._check({name: found[name] for name in asked if name in found}, silent)
        for name in silent.intersection(liveness.spared):
            # When it is resumed, it has the full time again for a touch that is seen here.
            self._suspects[name] = (self._suspects[name][0], self._awake())
        return gone.union((silent - stopped).difference(liveness.spared), liveness.gone)

    def _silent(self, suspects: Mapping[str, Sign | None]) -> set[str]:
        """Return the workers whose silence has lasted for long enough; remember the others."""
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
