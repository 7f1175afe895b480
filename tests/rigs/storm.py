"""A storm of SIGKILLs over worker processes that are forked from this one.

Run as a program with a JSON document of settings as its argument; prints what happened as JSON.
What the journal must hold afterwards is left to the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from typing import Any

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.worker.job import run_job
from orion_hpc.worker.job_spec import JobSpec


class Storm:
    """Keeps ``workers`` processes at work on one experiment and kills one now and then.

    The settings: ``storage``, ``name``, ``workers``, ``kills``, ``max_trials``, ``seed``, ``log``
    (a directory for the workers' logs), ``calm`` (a file that is written when the last is killed),
    ``deadline`` (seconds for everything), ``replace`` (whether another takes the place
    of one that ends before).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._random = random.Random(settings["seed"])
        self._living: dict[int, str] = {}
        self._started = 0
        self._exits: list[tuple[str, int]] = []
        self._kills = 0
        self._end = time.monotonic() + settings["deadline"]

    def run(self) -> dict[str, Any]:
        """Return how many were killed, and how the others ended."""
        storage = PickledDB(self._settings["storage"])
        try:
            for _ in range(self._settings["workers"]):
                self._start()
            while self._kills < self._settings["kills"]:
                self._in_time("the kills")
                done = storage.refresh().experiments[1].count("completed")
                if done >= self._due():
                    time.sleep(self._random.uniform(0, 0.004))  # a random moment is the point
                    self._kill(self._random.choice(sorted(self._living)))
                self._collect(replace=self._settings["replace"])
            with open(self._settings["calm"], "w", encoding="ascii"):
                pass
            while self._living:
                self._in_time("the workers' end")
                self._collect(replace=False)
                time.sleep(0.01)
        finally:
            for pid in self._living:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return {"kills": self._kills, "started": self._started, "exits": self._exits}

    def _due(self) -> float:
        """Return after how many completed trials the next one is killed: over nine tenths."""
        share = self._kills / self._settings["kills"]
        return 0.9 * share * self._settings["max_trials"] + self._random.uniform(0, 3)

    def _in_time(self, what: str) -> None:
        if time.monotonic() > self._end:
            raise TimeoutError(f"{what} didn't come in time: {self._kills} kills, {self._living}")

    def _start(self) -> None:
        name = f"{self._started:04d}"
        self._started += 1
        pid = os.fork()
        if pid:
            self._living[pid] = name
            return
        status = 70
        try:
            log = os.open(f"{self._settings['log']}/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            random.seed()
            run_job(
                JobSpec(
                    storage=self._settings["storage"],
                    name=self._settings["name"],
                    version=1,
                    n_workers=1,
                    executor="single",
                    heartbeat=1.0,
                    idle_timeout=60.0,
                )
            )
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        name = self._living.pop(pid)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self._kills += 1
        else:
            self._exits.append((name, os.waitstatus_to_exitcode(status)))
        self._start()

    def _collect(self, replace: bool) -> None:
        """Note who ended by itself; ``replace`` starts another one for it."""
        for pid, name in list(self._living.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._living[pid]
                self._exits.append((name, os.waitstatus_to_exitcode(status)))
                if replace or os.WIFSIGNALED(status):
                    self._start()


if __name__ == "__main__":
    print(json.dumps(Storm(json.loads(sys.argv[1])).run()))
