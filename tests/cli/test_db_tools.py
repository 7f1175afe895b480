"""``orion-hpc db``: the tools as a user types them, on databases that real workers wrote."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from orion_hpc.client.trials import fetch_trials
from orion_hpc.journal.heartbeat import signs
from tests.rigs.command import COMMAND, CONFIG, orion_hpc, project, status_of
from tests.rigs.database import flip, frames
from tests.rigs.waiting import wait_until

pytestmark = pytest.mark.usefixtures("no_slurm")

SINGLE = CONFIG.replace("worker: {", "worker: {executor: single, ")


@pytest.fixture
def done(tmp_path) -> Path:
    """A project whose eight trials are completed; returns its configuration."""
    config = project(tmp_path / "p", SINGLE)
    ran = orion_hpc("submit", "--executor", "debug", config)
    assert ran.returncode == 0, ran.stderr
    return config


def tool(config: Path, verb: str, *words: str | Path, code: int = 0) -> str:
    """Run ``orion-hpc db VERB db.pkl WORDS`` in the project; return what it says."""
    ran = orion_hpc("db", verb, "db.pkl", *words, cwd=config.parent)
    assert ran.returncode == code, (ran.stdout, ran.stderr)
    assert "Traceback" not in ran.stderr
    return ran.stdout if code in (0, 1) else ran.stderr


def database(config: Path) -> Path:
    """Return the project's database."""
    return config.parent / "db.pkl"


def test_check_tells_in_a_sentence_and_by_its_exit_code(done):
    """0 sound, 1 damaged with the offset and what to type, 2 no database."""
    assert tool(done, "check").startswith("db.pkl is sound: ")
    assert "8 trials (8 completed)" in tool(done, "check")
    assert json.loads(tool(done, "check", "--json"))["sound"] is True
    middle = frames(database(done))[5]
    flip(database(done), middle.start + 20)
    first, *_ = tool(done, "check", code=1).splitlines()
    assert first.startswith(f"db.pkl is damaged at offset {middle.start:,} (")
    assert "can be saved with 'orion-hpc db repair db.pkl'" in first
    assert json.loads(tool(done, "check", "--json", code=1))["damage"][0]["start"] == middle.start
    ran = orion_hpc("db", "check", done)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"Error: {done} isn't a database of orion-hpc")
    ran = orion_hpc("db", "check", "none.pkl", cwd=done.parent)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "there is no file none.pkl" in ran.stderr


def test_a_torn_tail_is_told_and_is_no_damage(done):
    """The next writer goes on behind it, and so does a user."""
    with database(done).open("ab") as file:
        file.write(b"\xf5ofr half")
    told = tool(done, "check").splitlines()
    assert told[1] == (
        "9 bytes are a write that is in progress or was cut short; the next one goes on behind it."
    )
    assert tool(done, "repair").startswith("Nothing is to be repaired. db.pkl is sound")


def test_submit_goes_on_with_a_repaired_database(done):
    """What was lost is run again, and nothing else; the seed's points are the same."""
    before = [trial.params for trial in fetch_trials(database(done))]
    ends = [trial.end_time for trial in fetch_trials(database(done))]
    middle = frames(database(done))[5]
    flip(database(done), middle.start + 20)
    broken = orion_hpc("status", done)
    assert broken.returncode == 1
    assert "orion-hpc db repair" in broken.stderr
    (lost,) = json.loads(tool(done, "check", "--json", code=1))["missing"]
    told = tool(done, "repair")
    assert f"  offset {middle.start:,}: " in told
    whose = f"trial {lost['trial']} of quick-v1 (worker {lost['worker']})"
    assert f"What is missing may be the result of {whose}." in told.splitlines()
    assert f"The damaged file is kept as {database(done)}.damaged-1." in told
    assert "quick-v1: 1 reserved, 7 completed; before the damage: " in told
    assert "the algorithm gave the parameters again" in told
    ran = orion_hpc("submit", "--executor", "debug", done)
    assert ran.returncode == 0, ran.stderr
    assert "Done: 8 trials are completed." in ran.stdout
    trials = fetch_trials(database(done))
    assert [trial.params for trial in trials] == before
    assert sum(old != new.end_time for old, new in zip(ends, trials, strict=True)) == 1
    assert tool(done, "repair", "--json").startswith('{\n  "repaired": false')


def test_info_shows_the_file_and_its_experiments(done):
    """For people and for programs."""
    lines = tool(done, "info").splitlines()
    assert f"path           {database(done)}" in lines
    assert "lock           flock" in lines
    assert any(line.split()[:3] == ["quick-v1", "8", "8"] for line in lines)
    found = json.loads(tool(done, "info", "--json"))
    assert (found["format"], found["mode"], found["group"], found["workers"]) == (
        2, "0600", False, {},
    )  # fmt: skip
    assert found["size"] == database(done).stat().st_size
    assert found["experiments"][0]["trials"]["completed"] == 8


def test_export_writes_tables(done):
    """To standard output, or to a file that isn't replaced."""
    rows = list(csv.DictReader(io.StringIO(tool(done, "export", "--format", "csv"))))
    trials = fetch_trials(database(done))
    assert [float(row["x"]) for row in rows] == [trial.params["x"] for trial in trials]
    records = json.loads(tool(done, "export", "--format", "json", "--name", "quick"))
    assert [one["objective"] for one in records] == [trial.objective.value for trial in trials]
    for kind in ("csv", "json", "parquet"):
        assert tool(done, "export", "--format", kind, "--output", f"out.{kind}") == ""
        told = tool(done, "export", "--format", kind, "-o", f"out.{kind}", code=2)
        assert told.startswith(f"Error: out.{kind} exists")
        tool(done, "export", "--format", kind, "-o", f"out.{kind}", "--force")
    assert "isn't for a terminal" in tool(done, "export", "--format", "parquet", code=2)


def test_an_export_needs_no_format_and_takes_the_configuration(done):
    """The output's name says the format; the configuration, database and experiment."""
    tool(done, "export", "-o", "named.json")
    assert len(json.loads((done.parent / "named.json").read_text())) == 8
    assert tool(done, "export").startswith("experiment,version,number,")
    assert "the name out.xls doesn't say a format" in tool(done, "export", "-o", "out.xls", code=2)
    other = orion_hpc("submit", done, "--executor", "debug", "--name", "other")
    assert other.returncode == 0, other.stderr
    exported = orion_hpc("db", "export", done)
    assert exported.returncode == 0, exported.stderr
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    assert [row["experiment"] for row in rows] == ["quick"] * 8
    for words in (("set", done, "--trial", "0", "--to", "new"), ("rm", done, "--yes")):
        ran = orion_hpc("db", *words)
        assert ran.returncode == 0, ran.stderr
    assert {row["experiment"] for row in csv.DictReader(io.StringIO(tool(done, "export")))} == {
        "other"
    }


def test_set_and_submit_run_a_trial_again(done):
    """The bug is mended, the trial is set, the same submit runs it."""
    told = tool(done, "set", "--name", "quick", "--trial", "3", "--trial", "5", "--to", "new")
    assert told.splitlines()[0] == "Set 2 trials of quick-v1 to new."
    assert status_of(done)["trials"]["completed"] == 6
    ran = orion_hpc("submit", "--executor", "debug", done)
    assert "Done: 8 trials are completed." in ran.stdout
    assert [trial.attempt for trial in fetch_trials(database(done))] == [1, 1, 1, 2, 1, 2, 1, 1]
    out = json.loads(tool(done, "set", "--status", "completed", "--to", "broken", "--json"))
    assert out["trials"] == list(range(8))
    assert "max_broken is 3" in tool(done, "set", "--trial", "0", "--to", "interrupted")
    assert "only a worker" in tool(done, "set", "--trial", "0", "--to", "completed", code=2)


def test_rm_asks_and_frees_the_name(done):
    """Without a terminal it wants --yes; then the same name starts from nothing."""
    told = tool(done, "rm", code=2)
    assert told.splitlines() == [
        "Error: nobody is there to be asked: Remove quick-v1 with 8 trials from db.pkl?",
        "Answer with --yes.",
    ]
    assert tool(done, "rm", "--yes").splitlines() == [
        "Removed quick-v1 with 8 trials.",
        f"Removed {database(done)}.files/quick-v1",
    ]
    assert os.listdir(f"{database(done)}.files") == []
    assert "no experiment in" in tool(done, "rm", "--yes", code=2)
    other = done.parent / "other.yaml"
    other.write_text(SINGLE.replace("max_trials: 8", "max_trials: 2").replace("(0, 1)", "(5, 6)"))
    ran = orion_hpc("submit", "--executor", "debug", other)
    assert "Experiment quick v1 was created" in ran.stderr
    assert "Done: 2 trials are completed." in ran.stdout


@pytest.mark.parametrize("verb", ["check", "repair", "info", "export", "rm", "set"])
def test_a_wrong_file_is_one_sentence_and_nothing_is_written(tmp_path, verb):
    """For every tool: a directory, a text, nothing."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "text").write_text("text\n" * 50)
    words = {
        "export": ["--format", "csv", "-o", "out"], "rm": ["--yes"],
        "set": ["--trial", "1", "--to", "new"],
    }.get(verb, [])  # fmt: skip
    for name in ("text", "none", "."):
        ran = orion_hpc("db", verb, name, *words, cwd=folder)
        assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
        assert ran.stderr.startswith("Error: ")
        assert "Traceback" not in ran.stderr
    assert os.listdir(folder) == ["text"]


WAITING = """\
import os, time

def main(x):
    open(os.path.join(os.environ["MARKS"], "begun"), "w").close()
    while not os.path.exists(os.path.join(os.environ["MARKS"], "go")):
        time.sleep(0.02)
    return x
"""


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """A project with a worker in the middle of a trial, and what lets the trial end."""
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("MARKS", str(marks))
    config = project(tmp_path / "p", SINGLE, quick=WAITING)
    worker = subprocess.Popen(
        [*COMMAND, "submit", "--executor", "debug", str(config)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_until((marks / "begun").exists, 60, "the trial begins")
        yield config, worker, marks / "go"
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()


def test_no_tool_that_writes_gets_in_the_way_of_a_worker(at_work):
    """It is named with what to type, and goes on to its end as if nothing had been asked."""
    config, worker, go = at_work
    (name,) = signs(f"{database(config)}.files/quick-v1/workers")
    for verb, words in (
        ("rm", ["--yes"]), ("set", ["--trial", "0", "--to", "broken"]),
    ):  # fmt: skip
        told = tool(config, verb, *words, code=2)
        assert name in told
        assert "top " in told
    told = tool(config, "rm", "--yes", code=2)
    assert f"kill {worker.pid}" in told
    assert tool(config, "check").startswith("db.pkl is sound")
    assert "workers alive  1" in tool(config, "info")
    assert tool(config, "export", "--format", "csv").count("reserved") == 1
    go.touch()
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, output
    assert "Done: 8 trials are completed." in output


def test_repair_waits_for_no_worker_and_refuses(at_work):
    """A file that is replaced under a worker would lose what it does now."""
    config, worker, _ = at_work
    flip(database(config), frames(database(config))[0].start + 20)
    damaged = database(config).read_bytes()
    told = tool(config, "repair", code=2)
    assert "can't be repaired while 1 worker runs on quick-v1" in told
    assert f"kill {worker.pid}" in told
    assert database(config).read_bytes() == damaged
    assert not list(config.parent.glob("*.damaged-*"))


def test_trials_of_a_killed_worker_can_be_set_and_removed(at_work):
    """It is known to be gone on this host, and needs not be waited for."""
    config, worker, _ = at_work
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    told = tool(config, "set", "--trial", "0", "--to", "broken")
    assert told.startswith("Set 1 trial of quick-v1 to broken.")
    assert status_of(config)["trials"]["broken"] == 1
    assert tool(config, "rm", "--yes").startswith("Removed quick-v1 with 1 trial.")


def test_a_set_trial_is_run_again_by_a_worker_that_is_at_work(at_work):
    """Completed by it before, set while it runs another, run again by it: the budget is exact."""
    config, worker, go = at_work
    go.touch()
    wait_until(
        lambda: any(trial.status == "completed" for trial in fetch_trials(database(config))),
        60, "a trial completes",
    )  # fmt: skip
    ran = orion_hpc("db", "set", database(config), "--trial", "0", "--to", "interrupted")
    output, _ = worker.communicate(timeout=60)
    trials = fetch_trials(database(config))
    assert ran.returncode == 0, ran.stderr
    # The worker may have ended before the trial was set; then the next submit runs it.
    if "Done: 8" in output and trials[0].status != "completed":
        again = orion_hpc("submit", "--executor", "debug", config)
        assert "Done: 8 trials are completed." in again.stdout
        trials = fetch_trials(database(config))
    assert [trial.status for trial in trials] == ["completed"] * 8
    assert [trial.attempt for trial in trials] == [2, *[1] * 7]
