"""Folders are removed, and nothing that lies elsewhere."""

from __future__ import annotations

import os

import pytest

from orion_hpc.sharedfs import removal


@pytest.fixture
def outside(tmp_path):
    """A folder of the user's that must stay as it is."""
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "precious").write_text("x")
    (folder / "file").write_text("x")
    return folder


def content(folder) -> list[str]:
    """Return all paths below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_goes_with_all_that_is_in_it_and_links_are_not_followed(tmp_path, outside):
    """Links to folders, to files and to nowhere are removed themselves."""
    before = content(outside)
    folder = tmp_path / "db.files" / "e-v1"
    (folder / "trials" / "0").mkdir(parents=True)
    (folder / "trials" / "0" / "out").write_text("x")
    (folder / "to-folder").symlink_to(outside)
    (folder / "trials" / "to-file").symlink_to(outside / "file")
    (folder / "to-nowhere").symlink_to("nowhere")
    os.mkfifo(folder / "fifo")
    assert removal.set_aside(str(tmp_path / "db.files"), "e-v1", "gone")
    removal.remove_folder(str(tmp_path / "db.files"), "gone")
    assert os.listdir(tmp_path / "db.files") == []
    assert content(outside) == before


def test_a_folder_that_is_a_link_is_left_alone(tmp_path, outside):
    """Neither it nor what it leads to is touched; so if the folder above is one."""
    before = content(outside)
    files = tmp_path / "db.files"
    files.mkdir()
    (files / "e-v1").symlink_to(outside)
    with pytest.raises(removal.NoFolder):
        removal.set_aside(str(files), "e-v1", "gone")
    (tmp_path / "linked.files").symlink_to(outside)
    with pytest.raises(removal.NoFolder):
        removal.set_aside(str(tmp_path / "linked.files"), "deep", "gone")
    with pytest.raises(OSError):  # noqa: PT011 (whichever the system says)
        removal.remove_folder(str(files), "e-v1")
    assert content(outside) == before
    assert (files / "e-v1").is_symlink()


def test_what_is_not_there_is_no_error(tmp_path):
    """An experiment that never ran has no folder."""
    assert not removal.set_aside(str(tmp_path / "none.files"), "e-v1", "gone")
    assert not removal.set_aside(str(tmp_path), "e-v1", "gone")


def seen(root, *names: str) -> os.stat_result:
    """Return the facts of what ``names`` lead to, as they are listed."""
    *outer, name = names
    return dict(removal.look(str(root), *outer))[name]


def test_what_was_seen_goes_only_as_it_was_seen(tmp_path):
    """Not if it was touched since, or another has taken its name."""
    (tmp_path / "workers").mkdir()
    (tmp_path / "trials" / "0").mkdir(parents=True)
    (tmp_path / "trials" / "0" / "model").write_text("x")
    for name in ("old", "touched", "another"):
        (tmp_path / "workers" / name).write_text("x")
        os.utime(tmp_path / "workers" / name, (1, 1))
    facts = {name: seen(tmp_path, "workers", name) for name in ("old", "touched", "another")}
    os.utime(tmp_path / "workers" / "touched", (2, 2))
    (tmp_path / "new").write_text("y")
    (tmp_path / "new").replace(tmp_path / "workers" / "another")
    gone = {name: removal.remove_seen(str(tmp_path), ("workers", name), facts[name])
            for name in facts}  # fmt: skip
    assert gone == {"old": True, "touched": False, "another": False}
    assert not removal.remove_seen(str(tmp_path), ("workers", "old"), facts["old"])
    assert removal.size_below(str(tmp_path), "trials", "0") == 1
    trial = seen(tmp_path, "trials", "0")
    assert removal.remove_seen(str(tmp_path), ("trials", "0"), trial)
    assert content(tmp_path) == ["trials", "workers", "workers/another", "workers/touched"]


def test_below_a_folder_no_link_is_followed(tmp_path, outside):
    """Not even one that takes a folder's place after its files were seen."""
    (tmp_path / "jobs" / "launch").mkdir(parents=True)
    (tmp_path / "jobs" / "launch" / "file").write_text("x")
    facts = seen(tmp_path, "jobs", "launch", "file")
    (tmp_path / "jobs").rename(tmp_path / "before")
    (tmp_path / "jobs").symlink_to(outside)
    for names in (("jobs",), ("jobs", "deep"), ("before", "launch", "file")):
        with pytest.raises(removal.NoFolder):
            removal.look(str(tmp_path), *names)
    with pytest.raises(removal.NoFolder):
        removal.remove_seen(str(tmp_path), ("jobs", "file"), facts)
    removal.remove_if_empty(str(tmp_path), "jobs", "deep")
    assert content(outside) == ["deep", "deep/precious", "file"]
    assert removal.look(str(tmp_path), "none", "deeper") == []
