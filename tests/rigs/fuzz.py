"""Opens files that nobody should have written, as commands and workers do, and notes what is bad.

Run as a program: `python -m tests.rigs.fuzz --seed 1 --number 1234` makes one file and examines it.
How many there are, and what becomes of a process that hangs, is `tests/journal/test_fuzz.py`'s.
"""

from __future__ import annotations

import argparse
import copyreg
import json
import mmap
import os
import resource
import struct
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path
from typing import Any

from orion_hpc.algorithms.factory import make_algorithm
from orion_hpc.errors import OrionHpcError
from orion_hpc.experiments.summary import experiment_summary, status_notes, status_rows
from orion_hpc.journal.heartbeat import signs
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import CATALOGUE, State
from orion_hpc.sharedfs import layout, mounts
from orion_hpc.worker import plan
from tests.rigs import nasty
from tests.rigs.mutants import Mutants

ADDRESS_SPACE = 1 << 30
"""Bytes that a process may have at all."""

_GROWTH = 256 << 20
"""Bytes that one file may add to the most that the process ever used: a hundred times its size."""

_CPU = 4.0
"""Seconds of the processor for one file."""


class Examiner:
    """Opens one file after the other.

    Parameters
    ----------
    folder : Path
        Where the file lies that is opened.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "db.pkl"
        self._folder = folder
        self._tripped: list[object] = []
        self._nest()
        self._algorithm = make_algorithm(
            {"random": {"seed": 1}}, Space.parse({"x": "uniform(0, 1)"})
        )
        self._harmless()

    def _nest(self) -> None:
        """Offer what hostile pickles name: all of it leaves a trace."""
        tripped = self._tripped
        nest = types.ModuleType(nasty.CANARY)

        def trip(*args: object, **options: object) -> str:
            tripped.append(args)
            return "tripped"

        class Trip:
            def __new__(cls, *args: object, **options: object) -> Any:
                trip("__new__", *args)
                return super().__new__(cls)

            __setstate__ = append = extend = __setitem__ = add = __setattr__ = trip

        nest.trip, nest.Trip = trip, Trip  # type: ignore[attr-defined]
        trip.__module__ = Trip.__module__ = nasty.CANARY
        trip.__qualname__, Trip.__qualname__ = "trip", "Trip"
        sys.modules[nasty.CANARY] = nest
        for code in (1, 2, 200):
            name = "trip" if code != 2 else "Trip"
            if code == 200:
                nest.again = trip  # type: ignore[attr-defined]
                name = "again"
            copyreg.add_extension(nasty.CANARY, name, code)  # type: ignore[no-untyped-call]

    @staticmethod
    def _harmless() -> None:
        """Save the time that disks and stale caches take; they aren't what is tested."""
        os.fsync = os.fdatasync = lambda fd: None
        time.sleep = lambda seconds: None
        mount = mounts.Mount("tmpfs")
        mounts.mount_of = lambda path: mount  # type: ignore[assignment]

    def examine(self, content: bytes) -> str:
        """Return what is wrong with the way in which the file is treated, or ``''``."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(content)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        trouble = self._use()
        spent = time.process_time() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if self._tripped:
            trouble = f"code was run: {self._tripped}"
            self._tripped.clear()
        elif os.path.exists("/dev/shm/orion-hpc-canary"):
            os.unlink("/dev/shm/orion-hpc-canary")
            trouble = "code was run by a shell"
        elif not trouble and spent > _CPU:
            trouble = f"it took {spent:.1f} s of the processor"
        elif not trouble and grown > _GROWTH:
            trouble = f"it took {grown >> 20} MiB of memory"
        with open(self.path, "rb") as file:
            if file.read(len(content)) != content:
                trouble = f"bytes of the file were overwritten or cut off (and: {trouble})"
        return trouble

    def _use(self) -> str:
        for use in (self._status, self._append):
            try:
                storage = PickledDB(str(self.path), lock_timeout=5)
                try:
                    use(storage)
                finally:
                    storage.close()
            except OrionHpcError as error:
                if trouble := _bad_message(error):
                    return trouble
            except MemoryError:
                return f"MemoryError in {_place()}"
            except Exception:
                return traceback.format_exc(limit=-6)
        return ""

    def _status(self, storage: PickledDB) -> None:
        """Do what ``orion-hpc status`` does."""
        storage.position()
        found = []
        for one in storage.refresh().experiments.values():
            workers = layout.workers_folder(storage.path, one.title)
            if os.path.commonpath((f"{storage.path}.files", os.path.normpath(workers))) != (
                f"{storage.path}.files"
            ):
                raise ValueError(f"the name {one.title!r} leads out of the database's folder")
            found.append(experiment_summary(one, signs(workers)))
        json.dumps({"experiments": found}, indent=2, allow_nan=False).encode()
        for row in status_rows(found):
            "".join(row).encode()
        "\n".join(status_notes(found)).encode()

    def _append(self, storage: PickledDB) -> None:
        """Do what a worker does: release what a lost one held, and reserve a trial."""

        def decide(state: State) -> list[ev.Event]:
            one = state.experiments.get(1)
            if one is None:
                settings = {"max_trials": 3, "max_broken": 3}
                return [ev.CreateExperiment("innocent", 1, settings, 9.0)]
            holders = {trial.worker for trial in one.having("reserved") if trial.worker}
            events = list(plan.losses(one, plan.Loss(holders), 3, 9.0))
            if plan.something_to_reserve(one):
                events += plan.reservations(one, self._algorithm, 1, "innocent", 1, 9.0)
            return events

        known = 1 in storage.refresh().experiments
        storage.transact(1 if known else CATALOGUE, decide)


def _bad_message(error: OrionHpcError) -> str:
    """Return what is wrong with the sentence that a user gets."""
    if not error.message.strip():
        return f"a {type(error).__name__} without a message"
    if "MemoryError" in error.message:
        return f"memory was used up: {error.message:.300}"
    try:
        str(error).encode()
    except UnicodeEncodeError:
        return f"no terminal can show the message {error.message!a:.300}"
    if len(str(error)) > 3000:
        return f"a message of {len(str(error)):,} characters: {error.message:.100}"
    if any(ord(one) < 32 and one != "\n" for one in str(error)):
        return f"control characters of the file reach the terminal: {error.message!a:.300}"
    return ""


def _place() -> str:
    found = traceback.extract_tb(sys.exc_info()[2])
    return f"{found[-1].filename}:{found[-1].lineno}"


def limit_memory() -> None:
    """Let this process have :data:`ADDRESS_SPACE` and no more; no core is dumped either."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def work(seed: int, numbers: range, folder: Path, kept: Path, at: str) -> None:
    """Examine files; print each that is treated badly as a line of JSON, and keep some in `kept`.

    `at` is a file of eight bytes: the number of the one that is being examined.
    """
    mutants, examiner = Mutants(seed, folder), Examiner(folder)
    limit_memory()
    with open(at, "r+b") as file, mmap.mmap(file.fileno(), 8) as now:
        for number in numbers:
            now[:8] = struct.pack("<q", number)
            said, content = mutants.make(number)
            if trouble := examiner.examine(content):
                path = kept / f"{number}.pkl"
                path.write_bytes(content)
                print(json.dumps((number, said, trouble, str(path))), flush=True)
        now[:8] = struct.pack("<q", -1)


def main() -> None:
    """Examine one file, or what a test asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--number", type=int, help="one file")
    parser.add_argument("--keep", help="write that file there too")
    parser.add_argument("--work", nargs=6, help="for the test: start stop step folder kept at")
    given = parser.parse_args()
    if given.work:
        *numbers, folder, kept, at = given.work
        work(given.seed, range(*map(int, numbers)), Path(folder), Path(kept), at)
        return
    with tempfile.TemporaryDirectory() as name:
        mutants, examiner = Mutants(given.seed, Path(name)), Examiner(Path(name))
        limit_memory()
        said, content = mutants.make(given.number)
        if given.keep:
            Path(given.keep).write_bytes(content)
        print(f"{said} ({len(content):,} bytes)")
        print(examiner.examine(content) or "treated well")


if __name__ == "__main__":
    main()
