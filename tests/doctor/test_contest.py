"""What doctor tries out with others, who are processes of this host here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from orion_hpc.doctor.contest import Contest
from orion_hpc.doctor.diagnosis import verdicts
from orion_hpc.doctor.findings import Findings
from orion_hpc.doctor.host_facts import gather_facts
from orion_hpc.doctor.probes import Rehearsal
from orion_hpc.doctor.verdict import Verdict
from tests.rigs.waiting import wait_until

PARTY = """
import sys
from orion_hpc.doctor.agent import run_agent
run_agent(sys.argv[1])
"""

STALE = """
# What a client of NFS 4 does whose reader has the last page in the cache: it opens for writing,
# takes over the new size and not the new bytes, and its append takes the old page with it.
import os, sys
from orion_hpc.doctor.probes import Rehearsal
from orion_hpc.doctor.agent import run_agent

class Stale(Rehearsal):
    known = 0

    def append(self, label):
        path = os.path.join(sys.argv[1], "db.pkl")
        if self.known:
            with open(path, "r+b") as file:
                file.seek(self.known)
                file.write(bytes(os.path.getsize(path) - self.known))
        super().append(label)
        if label.startswith("turn"):
            self.known = os.path.getsize(path)

import orion_hpc.doctor.agent
orion_hpc.doctor.agent.Rehearsal = Stale
run_agent(sys.argv[1])
"""


@contextmanager
def party(folder: Path, program: str) -> Iterator[None]:
    """Have a process take part for the block, which ends as it is told."""
    with subprocess.Popen([sys.executable, "-c", program, folder]) as process:
        try:
            yield
            assert process.wait(30) == 0
        finally:
            process.kill()


def tried(folder: Path, program: str) -> tuple[Findings, set[int]]:
    """Return what was found with one other process that runs ``program``, and which processes had
    the journal open for reading from when appends were made in turn."""
    found = Findings(
        str(folder / "db.pkl"), asked=1, started=True, here=gather_facts(str(folder), {})
    )
    rehearsal = Rehearsal.prepare(str(folder), None)
    found.lock = rehearsal.lock
    readers: set[int] = set()
    try:
        (folder / "brief.json").write_text('{"tasks": 1, "patience": 60}')
        contest = Contest(str(folder), 1)
        with party(folder, program):
            wait_until(lambda: bool(contest.arrivals()), 30, "the other to come")
            for step in contest.steps({0: "c1"}, (), rehearsal, found):
                if step in ("appending in turn", "measuring the delay"):
                    readers |= set(_readers(folder / "db.pkl"))
            contest.end()
    finally:
        rehearsal.close()
    return found, readers


def _readers(path: Path) -> Iterator[int]:
    for process in psutil.Process().children(recursive=True):
        try:
            if {(file.path, file.mode) for file in process.open_files()} == {(str(path), "r")}:
                yield process.pid
        except psutil.Error:  # it has ended
            continue


def journal(found: Findings) -> Verdict:
    return next(one for one in verdicts(found) if one.check == "journal")


def test_all_is_well_beside_readers(tmp_path: Path) -> None:
    """Each of the two has a process beside it that has the journal open; all appends are found."""
    found, readers = tried(tmp_path, PARTY)
    assert len(readers) == 2
    assert (found.appended, found.expected, found.lost) == (46, 46, {})
    assert journal(found).verdict == "ok"
    assert found.delays["c1"]
    assert [set(one.kinds.values()) for one in found.tried] == [{"excluded"}]
    assert not any(map(psutil.pid_exists, readers))


def test_an_append_that_takes_a_stale_page_with_it_is_found(tmp_path: Path) -> None:
    """The zeros in the place of what this host appended are sealed, and all would go on: only that
    each acknowledged trial is looked for tells."""
    found, _ = tried(tmp_path, STALE)
    told = journal(found)
    assert told.verdict == "failed", told
    assert found.lost or found.journal_trouble
    assert told.advice
    if found.lost:  # and not damage that is met while the others append
        assert found.lost == {"this host": 2, "c1": 2}
        assert "44 trials were found of 46" in told.found
    assert not found.delays
