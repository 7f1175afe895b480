"""Paths of the database: every form ends as the same absolute path, or in one clear sentence."""

# ruff: noqa: E501 - a row of a table is easier to read in one line, with the whole message.

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orion_hpc.config.paths import absolute_path, storage_path
from orion_hpc.config.slurm_formats import InvalidValue

BASE = Path("/exp/svm")


@pytest.mark.parametrize(
    "value",
    [
        "./db.pkl",
        "db.pkl",
        "/exp/svm/db.pkl",
        "../svm/db.pkl",
        "$HERE/db.pkl",
        "${HERE}/db.pkl",
        "~/svm/db.pkl",
        Path("db.pkl"),
        {"type": "pickleddb", "host": "db.pkl"},
        {"type": "PickledDB"},
        {"host": "./db.pkl"},
        {"type": "legacy", "database": {"type": "pickleddb", "host": "./db.pkl"}},
        {"type": "Legacy", "database": {"type": "PickledDB", "host": "$HERE/db.pkl"}},
        {"type": "legacy"},
    ],
)
def test_every_form_is_one_path(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, absolute, with ``~`` or variables, in Oríon's mappings: the same database."""
    monkeypatch.setenv("HERE", "/exp/svm")
    monkeypatch.setenv("HOME", "/exp")
    assert storage_path(value, BASE) == "/exp/svm/db.pkl"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "expected a path"),
        (5, "expected a path"),
        (["db.pkl"], "expected a path"),
        (b"db.pkl", "expected a path"),
        ("a\nb", "expected a path of printable characters"),
        ("a\0b", "expected a path of printable characters"),
        ("$NOBODY_SET/db.pkl", "the environment variable NOBODY_SET isn't set"),
        ("${NOBODY_SET}/db.pkl", "the environment variable NOBODY_SET isn't set"),
        ("~nobody-here/db.pkl", "there is no user 'nobody-here' on this machine"),
        ({"type": "mongodb", "name": "orion"}, "there is no storage of type 'mongodb': there is pickleddb, a file"),
        ({"type": "legacy", "database": {"type": "ephemeraldb"}}, "there is no storage of type 'ephemeraldb': there is pickleddb, a file"),
        ({"type": "pickledb"}, "there is no storage of type 'pickledb' (did you mean pickleddb?): there is pickleddb, a file"),
        ({"type": None}, "there is no storage of type 'none': there is pickleddb, a file"),
        ({"type": "legacy", "database": "db.pkl"}, "expected a mapping in database, as in {type: pickleddb, host: ./db.pkl}"),
        ({"type": "legacy", "database": {"type": "legacy"}}, "expected the type pickleddb in database"),
        ({"type": "pickleddb", "hots": "db.pkl"}, "unknown key 'hots' (did you mean host?): there are type and host"),
        ({"type": "legacy", "host": "db.pkl"}, "unknown key 'host': there are type and database"),
        ({"host": 5}, "expected a path"),
    ],
)  # fmt: skip
def test_refused(value: Any, message: str) -> None:
    """What is no path to a pickled database says what there is instead."""
    with pytest.raises(InvalidValue) as caught:
        storage_path(value, BASE)
    assert str(caught.value) == message


def test_a_working_directory_is_a_path_only() -> None:
    """A mapping is no directory."""
    with pytest.raises(InvalidValue, match="expected a path"):
        absolute_path({"host": "x"}, BASE)


@pytest.mark.parametrize("folder", ["/a\nb", "/a\tb", "/a\\b", "/a\x9bb"])
@pytest.mark.parametrize("value", ["db.pkl", {"type": "pickleddb", "host": "db.pkl"}])
def test_what_sbatch_cannot_do_with_is_refused_wherever_it_comes_from(
    folder: str, value: Any
) -> None:
    """The directory of the configuration counts too: scripts and logs lie beside the database."""
    with pytest.raises(InvalidValue, match="a control character or a backslash"):
        storage_path(value, Path(folder))


def test_a_backslash_in_the_path_itself_is_refused() -> None:
    """It is printable, and sbatch reads it as an instruction."""
    with pytest.raises(InvalidValue, match="a control character or a backslash"):
        storage_path("a\\b.pkl", Path("/"))
