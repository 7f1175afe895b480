"""Folders are removed, and nothing that lies elsewhere."""

from __future__ import annotations

import os

import pytest

from orion_hpc.files import removal


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
