"""``list``, ``info``, ``best``, ``trials``, ``show`` and ``compare``: the exact text and JSON."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from tests.rigs.command import COMMAND, orion_hpc
from tests.rigs.database import configuration, create, work
from tests.rigs.terminal import on_a_terminal

WORKER = "node1:77:aaaaaa.5:12_3.0"

SPACE = {"lr": "loguniform(1e-5, 1)", "act": "choices(['relu', 'no'])"}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def objective(value: float, *others: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "loss", "type": "objective", "value": value}, *others]


def made(path: Path, **changes: Any) -> PickledDB:
    """Make an experiment with four trials of 100 s: the third is the best, the last one breaks."""
    storage = create(path, space=SPACE, command=["./train", "--lr={lr}", "{trial.id}"], **changes)
    seconds = {"name": "seconds", "type": "statistic", "value": 1.25}
    for number, loss in enumerate((0.5, 0.123456789, 0.25, None)):
        begin = 1000.0 + 100 * number
        params = {"lr": 0.1 ** (number + 1), "act": "no" if number == 1 else "relu"}
        storage.transact(
            1, lambda _, n=number, p=params, b=begin: [ev.RegisterTrial(n, p, b, None, WORKER)]
        )
        end: ev.Event = (
            ev.ReleaseTrial(
                number, 1, "broken", "user error", "ValueError: no\nTraceback", begin + 100
            )
            if loss is None
            else ev.CompleteTrial(number, 1, objective(loss, seconds), begin + 100)
        )
        storage.transact(1, lambda _, end=end: [end])
    return storage


@pytest.fixture
def database(tmp_path: Path) -> Path:
    made(tmp_path / "db.pkl").close()
    return tmp_path / "db.pkl"


def said(*words: str | Path) -> str:
    done = orion_hpc(*words)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(*words: str | Path) -> str:
    done = orion_hpc(*words)
    assert (done.returncode, done.stdout) == (2, ""), done
    return done.stderr


def test_best_shows_results_and_parameters(database: Path) -> None:
    """Of the trial with the least objective."""
    assert said("best", "--storage", database) == (
        "Trial 1 of e v1\n"
        "  loss = 0.123457 (objective)\n"
        "  seconds = 1.25 (statistic)\n"
        "  lr: 0.010000000000000002\n"
        "  act: 'no'\n"
    )


def test_best_in_a_form_for_scripts(database: Path) -> None:
    """The parameters alone, unrounded; the text 'no' stays a text in YAML."""
    params = {"lr": 0.010000000000000002, "act": "no"}
    assert json.loads(said("best", "--storage", database, "--json")) == params
    text = said("best", "--storage", database, "--yaml")
    assert yaml.safe_load(text) == params
    assert text == "lr: 0.010000000000000002\nact: 'no'\n"
    several = json.loads(said("best", "--storage", database, "--json", "-n", "9"))
    assert [one["lr"] for one in several] == pytest.approx([0.01, 0.001, 0.1])
    (id_,) = {one["id"] for one in json.loads(said("trials", "--storage", database, "--json"))[1:2]}
    assert said("best", "--storage", database, "--command") == (
        f"./train --lr=0.010000000000000002 {id_}\n"
    )


def test_a_function_has_no_command(tmp_path: Path) -> None:
    """And a search without a result no best trial."""
    storage = create(tmp_path / "db.pkl")
    assert refused("best", "--storage", tmp_path / "db.pkl") == (
        "Error: e-v1 has no completed trial yet\n"
        f"'orion-hpc status --storage {tmp_path / 'db.pkl'}' shows whether it has workers.\n"
    )
    storage.transact(1, lambda _: [ev.RegisterTrial(0, {"x": 0.5, "kind": "a"}, 1.0, None, "w")])
    storage.transact(1, lambda _: [ev.CompleteTrial(0, 1, objective(1.0), 2.0)])
    assert "runs a function" in refused("best", "--storage", tmp_path / "db.pkl", "--command")


def test_trials_are_a_table(database: Path) -> None:
    """In the order asked for, with the columns asked for."""
    assert said("trials", "--storage", database) == (
        "number  status     objective  lr      act   cause\n"
        "0       completed  0.5        0.1     relu  -\n"
        "1       completed  0.123457   0.01    no    -\n"
        "2       completed  0.25       0.001   relu  -\n"
        "3       broken     -          0.0001  relu  user error\n"
    )
    words = (
        "--sort",
        "objective",
        "--limit",
        "2",
        "--columns",
        "number, objective,duration,seconds",
    )
    assert said("trials", "--storage", database, *words) == (
        "number  objective  duration     seconds\n"
        "1       0.123457   1 min 40 s   1.25\n"
        "2       0.25       1 min 40 s   1.25\n"
    ).replace("   1.25", "  1.25").replace("duration     ", "duration    ")
    reverse = said("trials", "--storage", database, "--sort", "objective", "--reverse")
    assert [line[0] for line in reverse.splitlines()[1:]] == ["0", "2", "1", "3"]
    by_text = said("trials", "--storage", database, "--sort", "act", "--columns", "number")
    assert by_text.split() == ["number", "1", "0", "2", "3"]
    broken = said(
        "trials", "--storage", database, "--status", "broken", "--columns", "number,message"
    )
    assert broken == "number  message\n3       ValueError: no\n"
    assert "did you mean objective?" in refused(
        "trials", "--storage", database, "--sort", "objectiv"
    )
    assert "did you mean broken?" in refused("trials", "--storage", database, "--status", "brokn")


def test_trials_as_records(database: Path) -> None:
    """The same records as ``db export --format json`` writes."""
    exported = json.loads(said("db", "export", database, "--format", "json"))
    assert json.loads(said("trials", "--storage", database, "--json")) == exported
    assert (
        json.loads(said("trials", "--storage", database, "--json", "--limit", "1")) == exported[:1]
    )


def test_rows_fit_a_terminal(database: Path) -> None:
    """Cells are shortened there, and no row is wrapped; in a pipe they are whole."""
    long = said(
        "trials", "--storage", database, "--columns", "number,id,worker,lr,act,message,cause"
    )
    assert WORKER in long
    words = ["trials", "--storage", database, "--columns", "number,id,worker,lr,act,message,cause"]
    code, shown = on_a_terminal([*COMMAND, *words], columns=60)
    assert code == 0, shown
    lines = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= 60, lines
    assert lines[0].split() == ["number", "id", "worker", "lr", "act", "message", "cause"]
    assert lines[1].split()[0] == "0"
    assert "…" in lines[1]


def test_show_tells_all_of_a_trial(database: Path) -> None:
    """By number, by id, or the best."""
    text = said("show", "--storage", database, "best")
    record = json.loads(said("show", "--storage", database, "1", "--json"))
    assert text == (
        "trial       1 of e v1\n"
        f"id          {record['id']}\n"
        "status      completed\n"
        "attempts    1\n"
        "parameters\n"
        "  lr        0.010000000000000002\n"
        "  act       'no'\n"
        "results\n"
        "  loss      0.123456789 (objective)\n"
        "  seconds   1.25 (statistic)\n"
        "submitted   1970-01-01 00:18:20\n"
        "started     1970-01-01 00:18:20\n"
        "ended       1970-01-01 00:20:00\n"
        "took        1 min 40 s\n"
        f"worker      {WORKER}\n"
        "host        node1\n"
        f"folder      {database}.files/e-v1/trials/1\n"
    )
    assert said("show", "--storage", database, record["id"][:6]) == text
    assert record["working_dir"] == f"{database}.files/e-v1/trials/1"
    assert record["logs"] == []
    broken = said("show", "--storage", database, "3")
    assert "status      broken (user error)\n" in broken
    assert broken.endswith("message     ValueError: no\n            Traceback\n")
    assert "there is no trial '9'" in refused("show", "--storage", database, "9")
    assert "Missing argument 'TRIAL'" in refused("show", "config.yaml")
    hint = refused("show", "--storage", database, "9").partition("'orion-hpc trials")[2]
    assert hint.partition("'")[0] == f" --storage {database}"


def test_info_describes_an_experiment(database: Path) -> None:
    """Settings, space, algorithm, best trial, times, submissions."""
    assert said("info", "--storage", database) == (
        "experiment             e v1\n"
        f"database               {database}\n"
        "state                  waiting\n"
        "trials                 3 completed, 1 broken\n"
        "workers                0\n"
        "command                ./train '--lr={lr}' '{trial.id}'\n"
        "code in                /nowhere\n"
        "space\n"
        "  lr                   loguniform(1e-5, 1)\n"
        "  act                  choices(['relu', 'no'])\n"
        "algorithm              random\n"
        "  seed                 3\n"
        "max_trials             8\n"
        "max_broken             3\n"
        "created                1970-01-01 00:00:01\n"
        "first trial            1970-01-01 00:16:40\n"
        "last result            1970-01-01 00:21:40\n"
        "trials took            5 min\n"
        "best trial             1\n"
        "  lr                   0.010000000000000002\n"
        "  act                  'no'\n"
        "  loss                 0.123457 (objective)\n"
        "  seconds              1.25 (statistic)\n"
        "submissions\n"
        "  1970-01-01 00:00:02  local 1, logs in /logs\n"
    )
    found = json.loads(said("info", "--storage", database, "--json"))
    assert found["configuration"] == configuration(
        space=SPACE, command=["./train", "--lr={lr}", "{trial.id}"]
    )
    assert (found["best"]["number"], found["seconds"]) == (1, 300.0)
    assert found["last_end"] == "1970-01-01T00:21:40+00:00"


def test_list_searches_folders(tmp_path: Path, database: Path) -> None:
    """Below a folder, versions under their names; what isn't a database is passed over."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    create(tmp_path / "deep" / "er" / "other.pkl", name="b").close()
    create(tmp_path / "deep" / "er" / "other.pkl", name="b", version=2).close()
    (tmp_path / "deep" / "model.pkl").write_bytes(b"\x80\x04N.")
    (tmp_path / ".hidden").mkdir()
    shutil.copy(database, tmp_path / ".hidden" / "db.pkl")
    found = json.loads(said("list", tmp_path, "--json"))["databases"]
    other = str(tmp_path / "deep" / "er" / "other.pkl")
    assert {
        path: [(one["name"], one["version"]) for one in some] for path, some in found.items()
    } == {
        str(database): [("e", 1)],
        other: [("b", 1), ("b", 2)],
    }
    lines = [line.split() for line in said("list", tmp_path).splitlines()]
    assert lines[0] == [str(database)]
    assert lines[2][:7] == ["e", "v1", "waiting", "3/8", "1", "0", "0.123457"]
    assert [line[:2] for line in lines[5:]] == [["b", "v1"], ["v2", "waiting"]]


def test_list_goes_on_behind_a_damaged_database(tmp_path: Path, database: Path) -> None:
    """It is named, and the exit code says so; the others are listed."""
    create(tmp_path / "a.pkl").close()
    with (tmp_path / "a.pkl").open("r+b") as file:
        file.seek(200)
        file.write(b"\0" * 60)
    done = orion_hpc("list", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/a.pkl" in done.stderr
    assert "e v1" in done.stdout
    assert "there is no file or folder" in refused("list", tmp_path / "nix")
    empty = tmp_path / "empty"
    empty.mkdir()
    done = orion_hpc("list", empty)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"There is no database below {empty}.\n"


def test_compare_at_equal_cost(database: Path) -> None:
    """With as many trials, as much time and as many core-hours as the smallest has."""
    storage = create(database, name="f", space=SPACE)
    (number,) = {one.number for one in storage.refresh().experiments.values() if one.name == "f"}
    for trial, (loss, end) in enumerate([(0.4, 150.0), (0.05, 250.0)]):
        params = {"lr": 0.5 / (trial + 1), "act": "no"}
        storage.transact(
            number, lambda _, t=trial, p=params: [ev.RegisterTrial(t, p, 100.0, None, "w")]
        )
        results = objective(loss)
        storage.transact(
            number, lambda _, t=trial, o=results, e=end: [ev.CompleteTrial(t, 1, o, e)]
        )
    found = json.loads(said("compare", database, "--json"))
    assert found["equal"] == {
        "trials": 2,
        "seconds": 150.0,
        "core_hours": pytest.approx(200 / 3600),
    }
    one, other = found["experiments"]
    assert (one["title"], one["completed"], one["best"]) == ("e v1", 3, 0.123456789)
    assert (one["best_at_trials"], one["best_at_seconds"]) == (0.123456789, 0.5)
    assert one["best_at_core_hours"] == 0.123456789
    assert (other["best"], other["best_at_trials"], other["best_at_seconds"]) == (0.05, 0.05, 0.05)
    assert said("compare", database).splitlines()[0].split("  ")[0] == "experiment"
    assert "there is no file" in refused("compare", database, "nix.yaml")


def test_best_stands_for_a_trials_number(database: Path) -> None:
    """In the other commands, too."""
    done = orion_hpc("logs", "--storage", database, "--trial", "best")
    assert done.stderr.startswith("Trial 1, attempt 1: completed")
    assert "Set 1 trial of e-v1 to new" in said(
        "db", "set", database, "--trial", "best", "--to", "new"
    )


def test_a_search_is_watched(tmp_path: Path) -> None:
    """On a terminal the picture follows the journal; when all is done it stays, and that was it."""
    storage = create(tmp_path / "db.pkl", max_trials=2)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "status", "--storage", str(tmp_path / "db.pkl"), "--watch"],
        stdout=theirs, stderr=theirs, stdin=theirs, env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""

    def read_until(text: bytes) -> None:
        nonlocal shown
        while text not in shown:
            shown += os.read(ours, 4096)

    try:
        read_until(b"none yet")
        work(storage, 2)
        read_until(b"1 reserved, 1 completed")
        read_until(b"best")
        work(storage, 1)
        read_until(b"100% of 2")
        with contextlib.suppress(OSError):  # nobody has it open any more
            while more := os.read(ours, 4096):
                shown += more
    finally:
        os.close(ours)
        assert process.wait(60) == 0


def test_watching_in_a_pipe(database: Path) -> None:
    """Prints what there is; here the search was cancelled."""
    PickledDB(str(database)).transact(1, lambda _: [ev.StopExperiment("cancelled", 2000.0)])
    text = said("status", "--storage", database, "--watch")
    assert text.startswith("e v1  stopped: cancelled\ntrials    3 completed, 1 broken\n")
    assert "\x1b" not in text
    assert "leave out the other flags" in refused(
        "status", "--storage", database, "--watch", "--json"
    )


def test_no_colour_where_none_is_wanted(database: Path) -> None:
    """NO_COLOR (no-color.org) is obeyed."""
    PickledDB(str(database)).transact(1, lambda _: [ev.StopExperiment("cancelled", 2000.0)])
    code, shown = on_a_terminal(
        [*COMMAND, "status", "--storage", database, "--watch"],
        environment={"NO_COLOR": "1", "TERM": "xterm"},
    )
    assert code == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", shown), shown


def test_values_of_hyperparameters_are_told_apart(tmp_path: Path) -> None:
    """A choice of None isn't a missing one, and a narrow interval keeps its digits."""
    storage = create(
        tmp_path / "db.pkl", space={"k": "choices([None, 'a'])", "x": "uniform(1e4, 10001)"}
    )
    for number, k in enumerate([None, "a"]):
        point = {"k": k, "x": 10000.0799 + number / 1e4}
        storage.transact(1, lambda _, n=number, p=point: [ev.RegisterTrial(n, p, 1.0)])
    assert said("trials", "--storage", tmp_path / "db.pkl", "--columns", "number,k,x") == (
        "number  k     x\n0       None  10000.0799\n1       a     10000.08\n"
    )
