"""Export: the file is whole or isn't there, and another program reads what the journal says."""

from __future__ import annotations

import json
import os
import stat
import sys

import pandas
import pytest

from orion_hpc.client.trials import fetch_trials
from orion_hpc.errors import ConfigurationError, NoConfigurationError, StorageError
from orion_hpc.maintenance import exports
from orion_hpc.maintenance.exports import export
from orion_hpc.model import event as ev
from orion_hpc.plugins import install_command
from orion_hpc.sharedfs import atomic
from tests.rigs.database import create, work


@pytest.fixture
def path(tmp_path):
    """A database with e-v1, e-v2 and f-v1."""
    path = tmp_path / "db.pkl"
    work(create(path), 4)
    work(create(path, "e", 2), 2, number=2)
    work(create(path, "f"), 3, number=3)
    return path


def test_all_trials_of_the_experiments_asked_for_are_there(path):
    """By default those of all; of a name, all versions."""
    for asked, wanted in (
        ({}, 9), ({"name": "e"}, 6), ({"name": "e", "version": 2}, 2), ({"version": 1}, 7),
    ):  # fmt: skip
        content, trials = export(str(path), "json", None, **asked)
        assert trials == len(json.loads(content)) == wanted
    with pytest.raises(NoConfigurationError, match="no experiment 'g'"):
        export(str(path), "csv", None, name="g")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_file_is_read_back_as_the_journal_says(path, kind):
    """With pandas, as users do."""
    target = path.parent / f"out.{kind}"
    assert export(str(path), kind, str(target), name="e", version=1) == (b"", 4)
    read = {"csv": pandas.read_csv, "json": pandas.read_json, "parquet": pandas.read_parquet}[kind]
    frame = read(target)
    trials = fetch_trials(path, "e", 1)
    assert frame["number"].tolist() == [0, 1, 2, 3]
    assert frame["id"].tolist() == [trial.id for trial in trials]
    assert frame["status"].tolist() == [trial.status for trial in trials]
    assert frame["objective"].tolist()[:3] == [0.5, 1.5, 2.5]
    xs = [one["x"] for one in frame["params"]] if kind == "json" else frame["x"].tolist()
    assert xs == [trial.params["x"] for trial in trials]
    ends = pandas.to_datetime(frame["end_time"], utc=True)
    assert [end.timestamp() for end in ends[:3]] == [5.0] * 3
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_parquet_holds_values_of_any_kind(tmp_path):
    """Lists stay lists; of values that no one type fits, texts."""
    path = tmp_path / "db.pkl"
    storage = create(path)
    params = [{"a": [1.5, 2.0], "b": 1}, {"a": [3.0], "b": "x"}, {"a": [], "b": None}]
    for number, one in enumerate(params):
        event = ev.RegisterTrial(number, one, 1.0)
        storage.transact(1, lambda state, event=event: [event])
    export(str(path), "parquet", str(tmp_path / "out"))
    frame = pandas.read_parquet(tmp_path / "out")
    assert [list(one) for one in frame["a"]] == [[1.5, 2.0], [3.0], []]
    assert frame["b"].tolist()[:2] == ["1", "x"]
    assert pandas.isna(frame["b"][2])
    assert frame["message"].isna().all()


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_what_is_there_is_replaced_only_with_force(path, kind):
    """And the database never."""
    target = path.parent / "out"
    target.write_text("precious")
    with pytest.raises(ConfigurationError, match="out exists") as caught:
        export(str(path), kind, str(target))
    assert "--force" in caught.value.hint
    assert target.read_text() == "precious"
    export(str(path), kind, str(target), force=True)
    assert target.read_bytes() != b"precious"
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="is a database"):
        export(str(path), kind, str(path), force=True)
    with pytest.raises(ConfigurationError, match="isn't a file"):
        export(str(path), kind, str(path.parent), force=True)
    assert path.read_bytes() == before


def test_a_failure_leaves_no_file(path, monkeypatch):
    """A full disk at the last moment; a directory that isn't there."""

    def fail(*given):
        raise OSError(28, os.strerror(28))

    before = sorted(os.listdir(path.parent))
    with pytest.raises(StorageError, match=r"can't write .*none/out"):
        export(str(path), "csv", str(path.parent / "none" / "out"))
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", fail)
        with pytest.raises(StorageError, match="No space left"):
            export(str(path), "csv", str(path.parent / "out"))
    assert sorted(os.listdir(path.parent)) == before


def test_parquet_needs_a_file_and_pandas(path, monkeypatch):
    """Told before anything is read or written, with the command that helps."""
    with pytest.raises(ConfigurationError, match="isn't for a terminal"):
        export(str(path), "parquet", None)
    for library in ("pyarrow", "pandas"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ConfigurationError, match=f"this needs {library}") as caught:
            export(str(path), "parquet", str(path.parent / "out"))
        assert caught.value.hint == f"Install it with: {install_command('pandas')}"
    assert not os.path.exists(path.parent / "out")
    assert export(str(path), "csv", None)[1] == 9


def test_a_file_that_somebody_else_makes_meanwhile_is_not_replaced(path, monkeypatch):
    """It wasn't there when it was looked for, and is another's now."""
    target = path.parent / "out"
    really = exports.read_experiments

    def read(*given):
        target.write_text("another's")
        return really(*given)

    monkeypatch.setattr(exports, "read_experiments", read)
    with pytest.raises(ConfigurationError, match="out exists"):
        export(str(path), "csv", str(target))
    assert target.read_text() == "another's"
