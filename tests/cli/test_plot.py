"""``orion-hpc plot``: each format, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orion_hpc.journal.pickleddb import PickledDB
from tests.rigs.command import orion_hpc
from tests.rigs.database import create, work


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two experiments of one database."""
    for number, name in enumerate(("e", "f"), 1):
        work(create(tmp_path / "db.pkl", name=name), 5, number=number)
    return tmp_path / "db.pkl"


@pytest.mark.parametrize(
    ("name", "begin"),
    [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a.pdf", b"%PDF"), ("a.html", b"<!doctype html>"),
     ("a.json", b'{\n "kind": "regret"')],
)  # fmt: skip
def test_the_ending_says_the_format(tmp_path: Path, name: str, begin: bytes) -> None:
    """An existing file is replaced; a page needs no other host."""
    work(create(tmp_path / "db.pkl"), 3)
    (tmp_path / name).write_text("old")
    done = orion_hpc("plot", "regret", tmp_path / "db.pkl", "-o", tmp_path / name)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr == f"Wrote {tmp_path / name}.\n"
    content = (tmp_path / name).read_bytes()
    assert content.startswith(begin)
    assert b"cdn.plot.ly" not in content.replace(b"https://cdn.plot.ly/un/", b"")


def test_the_default_is_a_picture_of_that_name(tmp_path: Path, database: Path) -> None:
    """In the current directory; of all experiments of the database."""
    done = orion_hpc("plot", "regrets", database, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "regrets.png").stat().st_size > 1000


def test_options_are_values_of_yaml(tmp_path: Path) -> None:
    """A list, a number, a text."""
    work(create(tmp_path / "db.pkl"), 4)
    out = tmp_path / "a.json"
    done = orion_hpc("plot", "slice", tmp_path / "db.pkl", "--option", "params=[x]", "-o", out)
    assert done.returncode == 0, done.stderr
    assert [panel["x"]["label"] for panel in json.loads(out.read_text())["panels"]] == ["x"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["regrt"], "did you mean regret?"),
        (["regret"], "shows one experiment, and 2 are given"),
        (["regrets", "-o", "a.gif"], "must end with one of .png, .svg, .pdf, .html, .json: a.gif"),
        (["regrets", "--option", "order"], "--option is NAME=VALUE: order"),
        (["regrets", "--option", "order_by=size"], "can't be ordered by 'size'"),
    ],
)
def test_what_is_refused(tmp_path: Path, database: Path, words: list[str], told: str) -> None:
    """In one sentence, and nothing is written."""
    before = set(os.listdir(tmp_path))
    done = orion_hpc("plot", words[0], database, *words[1:], cwd=tmp_path)
    assert done.returncode == 2, done
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert set(os.listdir(tmp_path)) == before


def test_a_file_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """And so is what to do."""
    work(create(tmp_path / "db.pkl"), 3)
    done = orion_hpc("plot", "regret", tmp_path / "db.pkl", "-o", tmp_path / "nix" / "a.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: can't write {tmp_path}/nix/a.png: No such file or directory\n"
        "Name another file with --output.\n"
    )


@pytest.mark.parametrize("words", [("plot", "regret"), ("report", "--storage")])
def test_no_database_pipe_or_other_file_is_replaced(tmp_path: Path, words: tuple[str, str]) -> None:
    """Whatever it is called; a symbolic link to one is followed."""
    path = tmp_path / "db.html"
    work(create(path), 3)
    content = path.read_bytes()
    (tmp_path / "link.html").symlink_to(path)
    os.mkfifo(tmp_path / "pipe.html")
    (tmp_path / "c.yaml").write_text("name: e")
    for name, told in (
        ("db.html", "is a database"), ("link.html", "is a database"),
        ("pipe.html", "isn't a file"), ("c.yaml", "--output must end with one of"),
    ):  # fmt: skip
        done = orion_hpc(*words, path, "--output", tmp_path / name)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert told in done.stderr
    assert path.read_bytes() == content
    assert (tmp_path / "c.yaml").read_text() == "name: e"


@pytest.mark.parametrize("command", [("plot", "regrets"), ("compare",)])
def test_what_is_no_database_is_called_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Not a wrong configuration; a pipe isn't waited for, and an empty database is one."""
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.\xff")
    os.mkfifo(tmp_path / "pipe.pkl")
    PickledDB.create(str(tmp_path / "empty.pkl")).close()
    for name, told in (
        ("model.pkl", "isn't a database of orion-hpc"),
        ("pipe.pkl", "isn't a file"),
        ("empty.pkl", "there is no experiment in"),
    ):
        done = orion_hpc(*command, tmp_path / name, timeout=30)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert told in done.stderr
