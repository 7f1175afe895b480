"""What only happens on a terminal, on a real one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from orion_hpc.cli.terminal import Terminal
from orion_hpc.experiments.lookup import read_experiments
from orion_hpc.model import event as ev
from orion_hpc.model.trial_record import BROKEN
from tests.rigs.command import COMMAND, orion_hpc
from tests.rigs.database import create, work
from tests.rigs.terminal import on_a_terminal


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 2), (b"\n", 2), (b"y\n", 0), (b"yes\n", 0)])
def test_rm_asks_before_it_removes(tmp_path, answer, code):
    """Only a yes is one."""
    work(create(tmp_path / "db.pkl"), 2)
    ended, shown = on_a_terminal([*COMMAND, "db", "rm", "db.pkl"], answer, cwd=tmp_path)
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
    ended, shown = on_a_terminal(words, cwd=tmp_path)
    assert ended == 0, shown
    wiped = "\r\x1b[2K"
    assert shown.split("through")[0] == f"{wiped}10% done{wiped}90% done{wiped}"
    quiet = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (quiet.stdout, quiet.stderr) == ("through\n", "")


COMMANDS = "\x1b]0;renamed\x07\x1b[2J\x9b31m"


@pytest.mark.parametrize("words", [["status", "--storage"], ["db", "export", "--format", "csv"]])
def test_no_text_of_a_database_commands_the_terminal(tmp_path, words):
    """Somebody else may have written it: it is shown, not carried out."""
    storage = create(tmp_path / "db.pkl")
    event = ev.RegisterTrial(0, {COMMANDS: COMMANDS}, 1.0, None, COMMANDS)
    broken = ev.ReleaseTrial(0, 1, BROKEN, COMMANDS, COMMANDS, 2.0)
    storage.transact(
        1, lambda state: [event, broken, ev.LaunchJobs(COMMANDS, (COMMANDS,), "", 3.0)]
    )
    ended, shown = on_a_terminal([*COMMAND, *words, "db.pkl"], cwd=tmp_path)
    assert ended == 0, shown
    assert r"\x1b]0;renamed\x07\x1b[2J\x9b31m" in shown
    assert not any(one in shown for one in ("\x1b]", "\x1b[2J", "\x07", "\x9b")), repr(shown)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", [["info"], ["export", "--format", "csv"]])
def test_an_output_without_room_is_told_in_a_sentence(tmp_path, words):
    """A full disk under ``> trials.csv``."""
    work(create(tmp_path / "db.pkl"), 2)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "db", *words, "db.pkl"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: can't write the answer to standard output: No space left on device",
        "Redirect it to another file.",
    ]


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {}])
def test_a_name_that_the_locale_cannot_show_is_shown_all_the_same(tmp_path, environment):
    """Letters that it doesn't have, or bytes that are no text at all."""
    name = "ü.pkl" if environment else os.fsdecode(b"\xff.pkl")
    work(create(tmp_path / name), 2)
    done = orion_hpc("db", "check", name, cwd=tmp_path, env=os.environ | environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith((r"\xfc.pkl is sound", r"\udcff.pkl is sound"))


def test_of_a_very_long_table_the_first_rows_are_shown(capsys):
    """A file of ten megabytes can hold 200,000 experiments, and nobody reads them."""
    Terminal().table(["name"], ([f"e{number}"] for number in range(1_234)))
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[1], lines[1000]) == ("name", "e0", "e999")
    assert lines[1001:] == ["… and 234 more"]
