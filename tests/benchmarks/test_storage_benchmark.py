"""The benchmarks run and tell what they found; how fast anything is isn't looked at."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from tests.benchmarks import apart, experiment, imports, optuna_peer, ours, storage
from tests.benchmarks.processes import Body, race
from tests.benchmarks.report import Line, Target

KEYS = {"row", "what", "ours", "unit", "target", "peer", "peer_name", "ratio", "note", "problems",
        "runs", "reached"}  # fmt: skip


@pytest.mark.parametrize("row", [*storage.ROWS, storage.MOUNTS_ROW])
def test_each_row_runs_and_leaves_its_figures(row: str, tmp_path: Path, capsys):
    """At the smallest size a row finds nothing wrong, fills its lines, and leaves no file."""
    out, mount = tmp_path / "out.json", tmp_path / "mount"
    mount.mkdir()
    words = ["--smallest", "--rows", row, "--json", str(out), "--folder", str(mount)]
    assert storage.main([*words, "--mounts", str(mount), str(mount)]) == 0, capsys.readouterr().out
    told = json.loads(out.read_text())
    assert set(told) == {"format", "started", "size", "machine", "lines"}
    assert told["lines"], "no line"
    for line in told["lines"]:
        assert set(line) == KEYS
        assert line["row"] == row
        assert line["ours"] > 0
        assert line["problems"] == []
        compared = line["peer"] is not None and row != "imports"
        assert (line["ratio"] is not None) == compared
        if not optuna_peer.available() and "Optuna" in line["peer_name"]:
            assert line["peer"] is None
    assert any(line["runs"] for line in told["lines"])
    assert row in capsys.readouterr().out
    assert os.listdir(mount) == []


def test_a_profile_names_the_functions(tmp_path: Path, capsys):
    """--profile shows the transaction among what takes time."""
    words = ["--smallest", "--folder", str(tmp_path), "--profile", "trials", "--processes", "2"]
    assert storage.main(words) == 0
    assert "tottime" in capsys.readouterr().out


def test_a_lost_and_a_doubled_trial_are_found():
    """What the processes ran is compared with what the database holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/db.pkl"
        experiment.fill(path, 2)
        state = ours.PickledDB(path).refresh()
    first, second = experiment.points(state)

    def problems(*calls: tuple) -> list[str]:
        one = {"completed": 2, "lost": 0, "calls": calls}
        return ours.problems([one], state, 2)

    assert problems(first, second) == []
    assert problems(first) == ["1 were never run"]
    assert problems(first, second, second) == ["1 were run too often"]
    state.experiments[experiment.NUMBER].trials[1].params = dict(zip("abcd", first, strict=True))
    assert problems(first, first) == ["1 points are doubled"]


def test_a_line_with_a_problem_is_not_reached():
    """However fast it was: a target counts only with right results."""
    target = Target("ratio", 10, least=True)
    fast = {"row": "r", "what": "w", "ours": 1.0, "unit": "s", "target": target, "ratio": 11.0}
    assert Line(**fast).reached is True
    assert Line(**{**fast, "ratio": 9.0}).reached is False
    assert Line(**{**fast, "ratio": None}).reached is None
    assert Line(**fast, problems=["a trial is lost"]).reached is False


def test_the_processes_begin_together_and_a_failure_is_told():
    """Nobody begins before all are ready, and a process that fails fails the benchmark."""
    with tempfile.TemporaryDirectory() as folder:

        def prepare(index: int) -> Body:
            Path(folder, str(index)).touch()
            return lambda: len(os.listdir(folder))

        assert race(5, prepare).results == [5] * 5
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        race(2, lambda index: lambda: 1 // index)


def test_a_failure_in_the_other_interpreter_is_told(tmp_path: Path):
    """With the traceback of the other side."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RuntimeError, match="isn't a directory"):
        apart.call("ours:run", folders=[str(file)], trials=1, processes=1)


def test_the_libraries_of_a_job_are_seen(tmp_path: Path):
    """psutil is one that a job can't do without: a list without it would be no list."""
    loaded = apart.call("imports:libraries_of_a_job", folder=str(tmp_path))
    assert "psutil" in loaded
    assert not set(loaded) & set(imports.HEAVY)
