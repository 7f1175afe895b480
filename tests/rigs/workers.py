"""Real workers on a real experiment, whose trials wait for the test to let them go on.

Knows how to make the experiment and to start a worker's process; what happens to the database in
the meantime is the test's.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE, ExperimentState
from orion_hpc.sharedfs.layout import workers_folder
from tests.rigs.waiting import wait_until

_FUNCTION = """
import os, time
HERE = os.path.dirname(os.path.abspath(__file__))

def main(x, trial):
    with open(os.path.join(HERE, "runs"), "a") as runs:
        print(trial.number, trial.attempt, file=runs)
    while os.path.exists(os.path.join(HERE, "hold")):
        time.sleep(0.01)
    return x
"""

_WORKER = """
import functools, json, sys, time
settings = json.loads(sys.argv[1])
# libfaketime would do this to the time of day, and breaks Python's sleep.
right, skew = time.time, settings.pop("skew")
time.time = lambda: right() + skew
from orion_hpc.sharedfs import mounts
from orion_hpc.worker import job
from orion_hpc.worker.job_spec import JobSpec
if settings.pop("incoherent"):
    mounts.is_coherent = lambda mount: False
patience = settings.pop("patience")
job.RuntimeOptions = functools.partial(job.RuntimeOptions, patience=patience)
from orion_hpc.errors import OrionHpcError
try:
    job.run_job(JobSpec(**settings))
except OrionHpcError as error:
    sys.exit(f"told: {error}")
"""


class Experiment:
    """An experiment whose trials don't end while the test holds them.

    Parameters
    ----------
    folder : Path
        For everything but the database: the function, the trials' directories, logs.
    path : Path
        The database.
    """

    def __init__(self, folder: Path, path: Path, max_trials: int, lock: str | None = None) -> None:
        self.folder, self.path = folder, path
        self._hold = folder / "hold"
        self._workers: list[subprocess.Popen[bytes]] = []
        (folder / "held.py").write_text(_FUNCTION)
        configuration = {
            "space": {"x": "uniform(0, 1)"},
            "algorithm": {"random": {"seed": 1}},
            "max_trials": max_trials,
            "max_broken": 3,
            "max_attempts": 3,
            "function": "held:main",
            "path": str(folder),
            "kwargs": {},
            "trial_arg": "trial",
            "working_dir": str(folder / "trials"),
        }
        storage = PickledDB.create(str(path), lock=lock)
        new = ev.CreateExperiment("held", 1, configuration, 0.0)
        storage.transact(CATALOGUE, lambda state: [new])
        storage.close()
        self.hold()

    def hold(self) -> None:
        """Let no trial end from now on."""
        self._hold.touch()

    def let_go(self) -> None:
        """Let the trials end."""
        self._hold.unlink()

    def start(
        self,
        prefix: tuple[str, ...] = (),
        patience: float = 600.0,
        incoherent: bool = False,
        skew: float = 0.0,
    ) -> int:
        """Start a worker, whose clock is `skew` seconds ahead; return the number to ask for it by.

        `prefix` is a command that starts it, `patience` how long it bears a trouble.
        """
        number = len(self._workers)
        settings: dict[str, Any] = {
            "storage": str(self.path),
            "name": "held",
            "version": 1,
            "n_workers": 1,
            "executor": "single",
            "heartbeat": 0.5,
            "idle_timeout": 60.0,
            "patience": patience,
            "incoherent": incoherent,
            "skew": skew,
        }
        command = [*prefix, sys.executable, "-c", _WORKER, json.dumps(settings)]
        with self._log(number).open("wb") as log:
            self._workers.append(subprocess.Popen(command, stdout=log, stderr=log))
        return number

    def kill(self, number: int) -> None:
        """Kill a worker as nobody can hinder."""
        self._workers[number].kill()
        self._workers[number].wait()

    def _log(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def told(self, number: int) -> str:
        """Return what a worker has told until now."""
        return self._log(number).read_text()

    def await_told(self, number: int, text: str, timeout: float = 30.0) -> None:
        """Wait until a worker tells something."""
        try:
            wait_until(
                lambda: text in self.told(number), timeout, f"worker {number} tells {text!r}"
            )
        except TimeoutError as error:
            raise AssertionError(f"{error}; it told: {self.told(number)[-3000:]}") from None

    def runs(self) -> list[tuple[int, int]]:
        """Return which attempts were begun: trial, attempt."""
        try:
            lines = (self.folder / "runs").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(int(number), int(attempt)) for number, attempt in map(str.split, lines)]

    def await_runs(self, count: int) -> None:
        """Wait until so many attempts were begun."""
        wait_until(lambda: len(self.runs()) >= count, 30, f"{count} attempts are begun")

    def await_signs(self, workers: int, count: int) -> None:
        """Wait until so many workers have given `count` more signs of life each."""
        seen: dict[str, set[int]] = {}

        def enough() -> bool:
            folder = Path(workers_folder(str(self.path), "held-v1"))
            for sign in folder.iterdir():
                if sign.name[0] != ".":
                    with contextlib.suppress(FileNotFoundError):
                        seen.setdefault(sign.name, set()).add(sign.stat().st_mtime_ns)
            return sum(len(times) > count for times in seen.values()) >= workers

        wait_until(enough, 60, f"{count} signs of life of {workers} workers")

    def end(self, number: int) -> tuple[int, str]:
        """Return a worker's exit code and what it told, once it has left."""
        try:
            code = self._workers[number].wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"worker {number} stays: {self.told(number)[-3000:]}") from None
        return code, self.told(number)

    @property
    def state(self) -> ExperimentState:
        """What a fresh reader sees."""
        storage = PickledDB(str(self.path))
        try:
            return storage.refresh().experiments[1]
        finally:
            storage.close()

    def stop_all(self) -> None:
        """Leave no process behind."""
        for worker in self._workers:
            worker.kill()
            worker.wait()
