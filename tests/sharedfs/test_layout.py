"""The names of experiments' folders: no name leads elsewhere, and no two share one."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orion_hpc.model.wire import valid_name
from orion_hpc.sharedfs import layout

NAMES = st.text(max_size=300).filter(valid_name)


def folder(name: str, version: int = 1) -> str:
    """Return the name of the experiment's folder."""
    return os.path.basename(layout.experiment_folder("/d/db.pkl", f"{name}-v{version}"))


@pytest.mark.parametrize(
    "name", ["e", "quick", "a.b-c_1", "größe", "7", "e-v1", "x" * 252, "数" * 84, "lost-1", "_"]
)
def test_a_safe_name_keeps_its_folder(name: str) -> None:
    """Names that were allowed before lie where they lay."""
    assert layout.safe_name(name) == name
    assert folder(name, 2) == f"{name}-v2"
    assert layout.trial_folders("/d/db.pkl", f"{name}-v2", "/w")(3) == f"/w/{name}-v2/3"


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("my run", "my_run"),
        ("lr=0.1, a/b", "lr_0.1_a_b"),
        ("../../etc", "_.._etc"),
        ("..", ""),
        ("-x", "x"),
        (" ", "_"),
        ("100%A", "100_A"),
        ("a\\b$(c)`d`'e'", "a_b_c_d_e_"),
        ("x" * 300, "x" * 60),
        ("数" * 100, "数" * 20),
        ("a+b", "a_b"),
    ],
)
def test_another_name_is_mapped(name: str, readable: str) -> None:
    """People recognise it, and shells, sbatch and file systems take it."""
    assert re.fullmatch(f"{re.escape(readable)}\\+[0-9a-f]{{20}}", layout.safe_name(name))
    assert folder(name) == f"{layout.safe_name(name)}-v1"


@given(NAMES, st.integers(1, 1 << 53))
@example("/", 1)
@example("..", 1)
@example("x" * 252, 10)
def test_no_name_leads_elsewhere(name: str, version: int) -> None:
    """The folder is one level below the database's files, and can be made."""
    made = folder(name, version)
    assert layout.experiment_folder("/d/db.pkl", f"{name}-v{version}") == f"/d/db.pkl.files/{made}"
    assert "/" not in made
    assert made[0] not in ".-"
    assert len(os.fsencode(made)) <= 255
    assert not re.search(r"[\x00-\x1f\x7f-\x9f %\\\\'\"$`*?\[]", made)


@given(NAMES, st.integers(1, 99), NAMES, st.integers(1, 99))
@example("a b", 1, "a_b", 1)
@example("a/b", 1, "a b", 1)
@example("a b", 1, layout.safe_name("a b"), 1)
@example("a-v1", 2, "a", 1)
def test_no_two_share_a_folder(one: str, first: int, other: str, second: int) -> None:
    """Not even if one is called as the other's folder is."""
    same = (one, first) == (other, second)
    assert (folder(one, first) == folder(other, second)) == same
