"""The programs that run in guests: workers that ask and tell, and note what they were told.

They use the public client, as a user's own loop would; `inside` is asked only where a worker is to
be held in the midst of its append. Each process notes what it is told in a file of its own on the
host, line by line, from which `audit` judges the journal. What a program does is said by its
function, whose arguments are the words behind its name.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orion_hpc import errors
from orion_hpc.client import build_experiment, get_experiment
from tests.rigs.nfs import inside
from tests.rigs.waiting import wait_until

NAME = "storm"
LEASE = 8.0
"""Seconds; what the rig's server takes for a lease of its own is about the same."""

_LONGEST = 3600.0


class Notes:
    """The file in which one process notes what happened, each line durable when it is written."""

    def __init__(self, folder: Path) -> None:
        # By the worker's own number too: numbers of processes come again when a guest boots again.
        name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}.notes"
        self._file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def add(self, what: str, **about: Any) -> None:
        """Note that something happened."""
        line = {"what": what, "pid": os.getpid(), "at": time.monotonic(), **about}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Worker:
    """One process's loop over ``suggest`` and ``observe``; troubles of the storage don't end it."""

    def __init__(self, folder: Path, path: str, heartbeat: float, pause: float = 0.0) -> None:
        self._stop = folder / "stop"
        self._pause = pause
        self._path, self._heartbeat = path, heartbeat
        self.notes = Notes(folder)
        self.most = sys.maxsize
        self.before_all: Callable[[], None] = lambda: None
        self.before_observing: Callable[[int], None] = lambda count: None

    def run(self) -> None:
        """Work until the experiment is done or the file ``stop`` is there."""
        experiment = self._patiently(
            lambda: build_experiment(NAME, storage=self._path, heartbeat=self._heartbeat)
        )
        self.notes.add("opened")
        self.before_all()
        count = 0
        while experiment is not None and count < self.most and not self._stop.exists():
            try:
                trial = self._patiently(experiment.suggest)
            except errors.CompletedExperiment:
                self.notes.add("done")
                return
            except (errors.WaitingForTrials, errors.ReservationRaceCondition):
                time.sleep(0.2)
                continue
            if trial is not None:
                self.notes.add("reserved", trial=trial.id, attempt=trial.attempt)
                time.sleep(self._pause)
                self.before_observing(count)
                self._observe(experiment, trial)
                count += 1
        self.notes.add("stopped")

    def _observe(self, experiment: Any, trial: Any) -> None:
        # No two observations have the same value, so that it tells whose stands in the journal.
        value = random.random()
        self.notes.add("observing", trial=trial.id, attempt=trial.attempt, value=value)

        def observe() -> bool:
            experiment.observe(trial, value)
            return True

        try:
            if self._patiently(observe):
                self.notes.add("acknowledged", trial=trial.id, attempt=trial.attempt, value=value)
        except errors.ReservationLost as error:
            self.notes.add("refused", trial=trial.id, attempt=trial.attempt, told=str(error))

    def _patiently(self, step: Callable[[], Any]) -> Any:
        """Return what a step returns, tried again while the storage is in trouble; None if it still
        was when this was told to stop."""
        while True:
            try:
                return step()
            except errors.StorageError as error:
                self.notes.add("trouble", kind=type(error).__name__, told=str(error))
                if self._stop.exists():
                    return None
                time.sleep(0.5)


def make(path: str, max_trials: str = "1000000") -> None:
    """Make the experiment."""
    space = {"x": "uniform(0, 1, precision=None)", "y": "uniform(0, 1, precision=None)"}
    build_experiment(NAME, space=space, max_trials=int(max_trials), storage=path)
    print(inside.lock_kind(path))


def work(folder: str, path: str, count: str, heartbeat: str, pause: str) -> None:
    """Have so many processes at work once they are told to begin, for `pause` seconds on each
    trial, and one that only looks; replace who is killed."""
    place = Path(folder)

    def worker() -> None:
        one = Worker(place, path, float(heartbeat), float(pause))
        one.before_all = lambda: wait_until((place / "begin").exists, _LONGEST, "to be told to")
        one.run()

    def start(body: Callable[[], None]) -> None:
        if pid := os.fork():
            living[pid] = body
            return
        code = 70
        try:
            random.seed()
            body()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    living: dict[int, Callable[[], None]] = {}
    for body in (*[worker] * int(count), lambda: watch(place, path)):
        start(body)
    codes = []
    while living:
        pid, status = os.wait()
        body = living.pop(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            start(body)
        else:
            codes.append(os.waitstatus_to_exitcode(status))
    if any(codes):
        sys.exit(f"processes ended with {codes}")


def once(folder: str, path: str) -> None:
    """Record one result."""
    worker = Worker(Path(folder), path, 60.0)
    worker.most = 1
    worker.run()


def late(folder: str, path: str) -> None:
    """Record one result, but stand still with the trial in hand until told to go on."""
    worker = Worker(Path(folder), path, 60.0)
    worker.most = 1
    worker.before_observing = lambda count: _hold(worker, Path(folder))
    worker.run()


def _hold(worker: Worker, folder: Path) -> None:
    worker.notes.add("held")
    wait_until((folder / "go").exists, _LONGEST, "to be told to go on")
    worker.notes.add("goes on")


def held(folder: str, path: str, point: str) -> None:
    """Work, but stand still at a point of the third append until told to go on."""
    worker = Worker(Path(folder), path, 60.0, pause=0.1)

    def before_observing(count: int) -> None:
        if count == 2:
            inside.hold_once(point, lambda: _hold(worker, Path(folder)))

    worker.before_observing = before_observing
    worker.run()


def watch(folder: Path, path: str) -> None:
    """Look at the trials all the time, as a user's own program may, until the file ``stop`` is
    there; note how many are seen to be completed."""
    notes, stop, before = Notes(folder), folder / "stop", -1
    experiment = get_experiment(NAME, storage=path)
    while True:
        last = stop.exists()
        try:
            seen = len(experiment.fetch_trials_by_status("completed"))
        except errors.StorageError as error:
            notes.add("trouble", kind=type(error).__name__, told=str(error))
        else:
            if seen != before:
                notes.add("seen", count=seen)
            before = seen
        if last:
            return
        time.sleep(1.0)


def read(folder: str, path: str, how: str) -> None:
    """Have the database open and read, as any program may, until the file ``stop`` is there."""
    with inside.read_open(path) if how == "ours" else open(path, "rb") as file:
        file.read()
        Notes(Path(folder)).add("opened")
        wait_until((Path(folder) / "stop").exists, _LONGEST, "to be told to stop")


PROGRAMS: dict[str, Callable[..., None]] = {
    "make": make,
    "work": work,
    "once": once,
    "late": late,
    "held": held,
    "read": read,
}


def main(words: Sequence[str]) -> None:
    """Do what a program does, whose name is the first word."""
    inside.shorten_lease(LEASE)
    PROGRAMS[words[0]](*words[1:])
