"""Workers on two nodes that share a database, and whether they were told the truth.

Knows how they are started, buried and waited for, and what has to hold in the end; how one works is
in `trial_worker`, what they share in `two_mounts`.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from orion_hpc.journal import framing
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import CATALOGUE
from orion_hpc.model.trial_record import COMPLETED
from tests.rigs.trial_worker import Note, Order, command, notes, results
from tests.rigs.two_mounts import NODES, Shared
from tests.rigs.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_NAME = "db.pkl"
_MOST_TOLD = 20


@dataclass(frozen=True)
class Member:
    """A worker's process, and where it writes down what it is told."""

    name: str
    process: subprocess.Popen[bytes]
    record: Path
    errors: Path
    code: int
    """With what it ends."""

    def notes(self, what: str) -> list[Note]:
        """Return what it wrote down so far of one kind."""
        return [note for note in notes(self.record) if note.what == what]

    def trouble(self) -> str:
        """Say how it ended, if not as it should; `''` while it runs."""
        ended = self.process.poll()
        if ended in (None, self.code):
            return ""
        return f"{self.name} ended with {ended}: {self.errors.read_text()}"

    def wait_for_end(self, timeout: float) -> None:
        """Return when it has ended as it should."""
        wait_until(lambda: self.process.poll() is not None, timeout, f"{self.name} to end")
        assert not self.trouble()

    def wait_until_stopped(self, timeout: float) -> None:
        """Return when it stands still."""
        process = psutil.Process(self.process.pid)
        wait_until(
            lambda: process.status() == psutil.STATUS_STOPPED, timeout, f"{self.name} to stop"
        )


@dataclass
class Crew:
    """A context manager: a new database for `max_trials` trials, and those who work on it."""

    shared: Shared
    directory: Path
    max_trials: int
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        storage = PickledDB.create(str(self.shared.first / _NAME))
        limits = {"max_trials": self.max_trials, "max_broken": 3}
        storage.transact(CATALOGUE, lambda state: [ev.CreateExperiment("e", 1, limits, 0.0)])
        self.lock = storage.lock
        self.started = time.monotonic()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for member in self.members:
            member.process.kill()  # which ends a stopped one, too
            member.process.wait()

    def hire(self, node: int, **options: Any) -> Member:
        """Start a worker on the first node (0) or the second; for the options see `Order`."""
        name = f"w{len(self.members)}"
        order = Order(
            database=str(self.shared[node] / _NAME),
            name=name,
            host=NODES[node],
            record=str(self.directory / name),
            gone=str(self.directory / "gone"),
            **options,
        )
        errors = self.directory / f"{name}.errors"
        with errors.open("wb") as output:
            process = subprocess.Popen(
                command(order), cwd=_ROOT, stdin=subprocess.DEVNULL, stderr=output
            )
        code = -signal.SIGKILL if options.get("fault", "").startswith("die") else 0
        self.members.append(Member(name, process, self.directory / name, errors, code))
        return self.members[-1]

    def bury(self, member: Member) -> None:
        """Let all know that it is dead, whether it is or not."""
        with (self.directory / "gone").open("a") as file:
            file.write(f"{member.name}\n")

    def wait_for_end(self, timeout: float) -> None:
        """Return when all have ended; the first that ends otherwise than it should is a failure."""

        def troubles() -> list[str]:
            return [trouble for member in self.members if (trouble := member.trouble())]

        def over() -> bool:
            return all(one.process.poll() is not None for one in self.members) or bool(troubles())

        wait_until(over, timeout, "all workers to end")
        seconds = time.monotonic() - self.started
        print(f"{self.max_trials / seconds:.0f} trials/s with {len(self.members)} workers")
        assert not troubles(), "\n".join(troubles())

    def check(self, refused: int = 0, trouble: int = 0) -> None:
        """Fail where something isn't as it must be, when all have ended.

        `refused` is how many ends of attempts were to be refused, and `trouble` how many
        transactions were to fail.
        """
        wrong = self._wrong(refused, trouble)
        told = wrong if len(wrong) < _MOST_TOLD else [*wrong[:_MOST_TOLD], f"… {len(wrong)} in all"]
        assert not wrong, "\n".join(told)

    def _wrong(self, refused: int, trouble: int) -> list[str]:
        given: dict[tuple[int, int], list[str]] = defaultdict(list)
        told: dict[tuple[int, int], str] = {}
        kinds: Counter[str] = Counter()
        texts: list[str] = []
        wrong = []
        for member in self.members:
            for note in notes(member.record):
                one = (note.number, note.attempt)
                kinds[note.what] += 1
                if note.what == "given":
                    given[one].append(member.name)
                elif note.what == "acknowledged":
                    told[one] = member.name
                elif note.what == "trouble":
                    texts.append(f"{member.name}: {note.told}")
                elif note.what != "refused":
                    wrong.append(f"{member.name} noted {note}")
        wrong += [f"{one} was given to {who}" for one, who in given.items() if len(who) > 1]
        twice = Counter(number for number, _ in told)
        wrong += [f"trial {one} was completed {n} times" for one, n in twice.items() if n > 1]
        for what, expected in (("refused", refused), ("trouble", trouble)):
            if kinds[what] != expected:
                wrong.append(f"{what} was noted {kinds[what]} times, not {expected}: {texts}")
        for place in self.shared:
            look = partial(self._wrong_at, place, told)
            with contextlib.suppress(TimeoutError):  # the first looks may be of an old cache
                wait_until(lambda look=look: not look(), 20, "all to be well")  # type: ignore[misc]
            wrong += [f"{place}: {what}" for what in look()]
        return wrong + self._unread()

    def _wrong_at(self, place: Path, told: dict[tuple[int, int], str]) -> list[str]:
        """Compare what a new reader finds with what the workers were told."""
        experiment = PickledDB(str(place / _NAME)).refresh().experiments[1]
        completed = {trial.number for trial in experiment.trials if trial.status == COMPLETED}
        wrong = []
        if completed != set(range(self.max_trials)) or len(experiment.trials) != self.max_trials:
            wrong.append(f"{len(completed)} of {len(experiment.trials)} trials are completed")
        for (number, attempt), name in told.items():
            trial = experiment.trials[number] if number < len(experiment.trials) else None
            if trial is None or (trial.attempt, trial.worker) != (attempt, name):
                wrong.append(
                    f"the end of {number, attempt} that {name} was told of is lost: {trial}"
                )
            elif trial.results != results(name, number, attempt):
                wrong.append(f"the results of {number, attempt} aren't {name}'s: {trial.results}")
        return wrong

    def _unread(self) -> list[str]:
        """Look at the server's bytes: whole frames, seals, and nothing else."""
        data = (self.shared.served / _NAME).read_bytes()
        header = framing.decode_header(data)
        assert header is not None
        found = list(framing.frames(data[header[1] :], header[1]))
        seals = sum(frame.experiment == framing.SEAL for frame in found)
        print(f"{len(found)} frames, {seals} of them seals, in {len(data)} bytes")
        end = found[-1].end
        return [f"no frame begins at {end} of {len(data)}"] if end != len(data) else []
