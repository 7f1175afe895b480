"""What only happens on a terminal, on a real one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from orion_hpc.client.trials import read_experiments
from tests.rigs.command import COMMAND
from tests.rigs.database import create, work


def on_a_terminal(words: list[str], answer: bytes, cwd: Path) -> tuple[int, str]:
    """Run a program on a terminal of its own and type ``answer``; return its end and its output."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd)
        os.close(theirs)
        os.write(ours, answer)
        shown = b""
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # how a terminal tells that nobody has it open any more
                break
            if not more:
                break
            shown += more
        return process.wait(60), shown.decode()
    finally:
        os.close(ours)


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 2), (b"\n", 2), (b"y\n", 0), (b"yes\n", 0)])
def test_rm_asks_before_it_removes(tmp_path, answer, code):
    """Only a yes is one."""
    work(create(tmp_path / "db.pkl"), 2)
    ended, shown = on_a_terminal([*COMMAND, "db", "rm", "db.pkl"], answer, tmp_path)
    assert ended == code, shown
    assert "Remove e-v1 with 2 trials from db.pkl? [y/N]" in shown
    assert ("Removed e-v1" in shown) == (code == 0)
    assert len(read_experiments(tmp_path / "db.pkl")) == (code != 0)


STEPS = """
from orion_hpc.cli.terminal import Terminal
Terminal().during(["10% done", "90% done"])
Terminal().say("through")
"""


def test_a_long_work_shows_how_far_it_is_and_leaves_nothing(tmp_path):
    """One line that is written over, and away in the end; elsewhere nothing is shown."""
    words = [sys.executable, "-c", STEPS]
    ended, shown = on_a_terminal(words, b"", tmp_path)
    assert ended == 0, shown
    wiped = "\r\x1b[2K"
    assert shown.split("through")[0] == f"{wiped}10% done{wiped}90% done{wiped}"
    quiet = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (quiet.stdout, quiet.stderr) == ("through\n", "")
