"""Thousands of files that nobody should have written: none breaks or stops the reader."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import options
from tests.rigs.mutants import Mutants

SEED = int(os.environ.get("ORION_HPC_FUZZ_SEED", "31337"))
FILES = options.FUZZ_FILES
PROCESSES = 2
STEP = PROCESSES * options.FUZZ_STEP
STUCK = 30.0
"""Seconds for one file, by the wall: the processes share the machine with others. What takes more
than four of the processor is noted anyway."""

ENOUGH = 400
MOST_DEATHS = 5
"""Bad files, and such as hang or crash a process, after which no more are made: the faults are
known by then."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one."""
    with tempfile.TemporaryDirectory(
        prefix="fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    ) as name:
        yield Path(name)


class Fuzzer:
    """A process that examines every `step`-th file from `start` on, and its successors.

    One that hangs is killed, and one that crashed is noted; another goes on behind that file.
    """

    def __init__(self, start: int, folder: Path, kept: Path) -> None:
        self._next = start
        self._folder = folder / f"fuzzer-{start}"
        self._folder.mkdir()
        self._kept = kept
        self._at = folder / f"at-{start}"
        self._told = folder / f"told-{start}"
        self._errors = folder / f"errors-{start}"
        self._deaths = 0
        self.troubles: list[tuple[int, str, str, str]] = []
        self._start()

    def _start(self) -> None:
        self._at.write_bytes(struct.pack("<q", self._next))
        for old in self._folder.iterdir():
            old.unlink()
        arguments = (self._next, FILES, STEP, self._folder, self._kept, self._at)
        with self._told.open("wb") as told, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.rigs.fuzz", "--seed", str(SEED), "--work"),
                    *map(str, arguments),
                ],
                stdout=told,
                stderr=errors,
            )
        self._since = time.monotonic()

    @property
    def now(self) -> int:
        """The number of the file that is being examined; -1 at the end."""
        number: int = struct.unpack("<q", self._at.read_bytes())[0]
        return number

    def look(self) -> bool:
        """See how far the process is; return whether it has come to the end."""
        ended, now = self._process.poll(), self.now
        if ended is None:
            if now != self._next:
                self._next, self._since = now, time.monotonic()
            elif time.monotonic() - self._since > STUCK:
                self._process.kill()
                self._process.wait()
                self._gather(f"it hangs: no end after {STUCK} s")
                return self._go_on()
            if self._told.stat().st_size > 1_000_000 or self._many():
                self._process.kill()
                self._process.wait()
                self._gather()
                return True
            return False
        if ended == 0 and now == -1:
            self._gather()
            return True
        name = signal.Signals(-ended).name if ended < 0 else f"exit code {ended}"
        self._next = now
        self._gather(f"it crashes the reader: {name}\n{self._errors.read_text()[-1500:]}")
        return self._go_on()

    def _many(self) -> bool:
        return self._told.read_bytes().count(b"\n") > ENOUGH

    def _go_on(self) -> bool:
        self._next += STEP
        self._deaths += 1
        if self._next >= FILES or self._deaths == MOST_DEATHS:
            return True
        self._start()
        return False

    def _gather(self, last: str = "") -> None:
        for line in self._told.read_text().splitlines():
            self.troubles.append(tuple(json.loads(line)))
        if last:
            with tempfile.TemporaryDirectory() as name:
                said, content = Mutants(SEED, Path(name)).make(self._next)
            path = self._kept / f"{self._next}.pkl"
            path.write_bytes(content)
            self.troubles.append((self._next, said, last, str(path)))

    def end(self) -> None:
        """Leave no process behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def signature(trouble: str) -> str:
    """Return what troubles of the same cause have in common."""
    places = re.findall(r'File "(?:\S*/)?(\w+/\w+\.py)", line (\d+)', trouble)
    last = trouble.strip().splitlines()[-1]
    kind = re.sub(r"\d[\d.,]*|'.*|\".*|0x\w+", "…", last)[:60]
    return f"{kind} {':'.join(places[-1]) if places else ''}"


def report(troubles: list[tuple[int, str, str, str]]) -> str:
    """Return the troubles by their causes, with an example of each and how to repeat it."""
    causes: dict[str, list[tuple[int, str, str, str]]] = {}
    for one in sorted(troubles):
        causes.setdefault(signature(one[2]), []).append(one)
    parts = []
    for ones in sorted(causes.values(), key=len, reverse=True)[:25]:
        number, said, trouble, path = ones[0]
        numbers = ", ".join(str(one[0]) for one in ones[:8])
        shown = "\n    ".join(trouble.strip().splitlines()[-5:])
        parts.append(
            f"{len(ones)} files (numbers {numbers}), the first of them with {said[:200]}:\n"
            f"    {shown[:1500]}\n"
            f"  repeat: python -m tests.rigs.fuzz --seed {SEED} --number {number}  "
            f"(kept as {path})"
        )
    return f"{len(causes)} causes\n" + "\n".join(parts)


@pytest.mark.timeout(max(600, FILES // 100))
def test_no_file_breaks_stops_or_uses_the_reader(folder, tmp_path):
    """Each wrong file works or is refused with a sentence: nothing in it is run, none
    takes long or much memory, and none is damaged further."""
    kept = tmp_path / "kept"
    kept.mkdir()
    print(f"seed {SEED}, {FILES // options.FUZZ_STEP:,} files; kept in {kept}")
    started = time.monotonic()
    fuzzers = [Fuzzer(start, folder, kept) for start in range(0, STEP, options.FUZZ_STEP)]
    try:
        running = list(fuzzers)
        while running:
            running = [one for one in running if not one.look()]
            time.sleep(0.1)
    finally:
        for one in fuzzers:
            one.end()
    print(f"{time.monotonic() - started:.0f} s")
    troubles = [trouble for one in fuzzers for trouble in one.troubles]
    assert not troubles, f"seed {SEED}: {report(troubles)}"


def test_the_same_number_is_the_same_file(tmp_path):
    """A file that breaks the reader can be made again from what the failure tells."""
    ones, others = tmp_path / "a", tmp_path / "b"
    ones.mkdir()
    others.mkdir()
    one, other = Mutants(SEED, ones), Mutants(SEED, others)
    for number in (0, one.systematic // 2, *range(one.systematic, one.systematic + 300)):
        assert one.make(number) == other.make(number), number


@pytest.mark.parametrize("broken", ["loads", "message"])
def test_the_examiner_sees_what_is_bad(folder, broken):
    """A reader that runs what is in a pickle, and one that fails without a word, are caught."""
    code = """
import pickle, sys
from pathlib import Path
from orion_hpc import errors
from orion_hpc.journal import safe_pickle
from tests.rigs.fuzz import Examiner
from tests.rigs.mutants import Mutants
folder = Path(sys.argv[1])
mutants, examiner = Mutants(1, folder), Examiner(folder)
if sys.argv[2] == "loads":
    safe_pickle.loads = pickle.loads
else:
    safe_pickle.loads = lambda data: 1 / 0
print(examiner.examine(mutants.make(4)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, folder, broken],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ("code was run" if broken == "loads" else "ZeroDivisionError") in done.stdout
