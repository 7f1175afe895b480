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
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orion_hpc.files.identity import Identity

SILENT_INTERVALS = 2
"""A worker that was silent for so many of its own intervals is lost."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a worker's file tells: its name, seconds since its last touch, and what it wrote."""

    worker: str
    age: float
    interval: float
    about: dict[str, Any]

    @property
    def silent(self) -> bool:
        """Whether it missed its time so often that it counts as lost."""
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
    """

    def __init__(self, folder: str, worker: str, interval: float, about: dict[str, Any]) -> None:
        self.path = os.path.join(folder, worker)
        self._content = json.dumps({**about, "interval": interval}).encode()
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Give the first sign and go on in the background. Call before the first reservation."""
        self._write()
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
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, self._content)
        finally:
            os.close(fd)

    def _beat(self) -> None:
        while not self._stop.wait(self._interval):
            # A full disk or a hiccup of the file server: the next touch may go well, and two
            # missed ones are what the others wait for.
            with contextlib.suppress(OSError):
                self.touch()


def signs(folder: str) -> dict[str, Sign]:
    """Return every worker's sign by its name, with ages by the file server's clock."""
    now = _server_now(folder)
    found: dict[str, Sign] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if Identity.parse(name) is None:
                continue
            path = os.path.join(folder, name)
            # A worker that leaves takes its file with it; one that starts writes it any moment.
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                age = now - os.stat(path).st_mtime
                with open(path, "rb") as file:
                    about = json.loads(file.read(65536))
                found[name] = Sign(name, age, float(about.pop("interval")), about)
    return found


def _server_now(folder: str) -> float:
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


class Watch:
    """Tells which workers are lost; remembers since when one shows no file at all.

    A missing file is no proof at first sight: a client's cached directory may hide a new one. Only
    when it stays away for as long as a silent worker is waited for, by this process's own clock, is
    its worker lost.

    Parameters
    ----------
    folder : str
        As in :class:`Heartbeat`.
    interval : float
        Seconds; what to assume of a worker that left no file.
    """

    def __init__(self, folder: str, interval: float) -> None:
        self._folder = folder
        self._patience = SILENT_INTERVALS * interval
        self._missing: dict[str, float] = {}

    def lost(self, workers: Iterable[str]) -> set[str]:
        """Return those of ``workers`` that are known to be gone or were silent for too long."""
        workers = set(workers)
        gone = {name for name in workers if (who := Identity.parse(name)) and who.provably_gone}
        rest = workers - gone
        self._missing = {name: since for name, since in self._missing.items() if name in rest}
        if rest:
            found = signs(self._folder)
            now = time.monotonic()
            for name in rest:
                if name in found:
                    self._missing.pop(name, None)
                    if found[name].silent:
                        gone.add(name)
                elif now - self._missing.setdefault(name, now) > self._patience:
                    gone.add(name)
        return gone
