"""Files that appear whole or not at all."""

from __future__ import annotations

import os

import pytest

from orion_hpc.sharedfs import atomic


def test_it_appears_when_all_is_written(tmp_path):
    """Not before; with the mode that is asked for, whatever the umask says."""
    path = str(tmp_path / "new")
    with atomic.new_file(path, 0o640) as file:
        file.write(b"all of it")
        file.flush()
        assert not os.path.exists(path)
    assert (tmp_path / "new").read_bytes() == b"all of it"
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["new"]


def test_an_error_leaves_nothing(tmp_path):
    """Neither the file nor a half of it under another name."""

    def fail() -> None:
        with atomic.new_file(str(tmp_path / "new")) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path) == []


def test_one_that_is_there_is_replaced_only_where_it_is_said(tmp_path):
    """Also if it came while the new one was being written."""
    path = tmp_path / "there"

    def write(replace: bool) -> None:
        with atomic.new_file(str(path), replace=replace) as file:
            file.write(b"new")
            path.write_bytes(b"old")

    with pytest.raises(FileExistsError):
        write(replace=False)
    assert path.read_bytes() == b"old"
    write(replace=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["there"]


def test_a_temporary_name_may_be_given(tmp_path):
    """The file has it until it is complete; one that is there already is left alone."""
    path, temporary = tmp_path / "there", tmp_path / ".unfinished"
    with atomic.new_file(str(path), durable=False, temporary=str(temporary)) as file:
        file.write(b"new")
        assert os.listdir(tmp_path) == [".unfinished"]
    assert path.read_bytes() == b"new"
    temporary.write_bytes(b"another's")
    with (
        pytest.raises(FileExistsError),
        atomic.new_file(str(path), replace=True, temporary=str(temporary)),
    ):
        pytest.fail("there is nothing to write to")
    assert (path.read_bytes(), temporary.read_bytes()) == (b"new", b"another's")


def test_a_file_is_kept_aside_under_a_name_that_is_free(tmp_path):
    """Nothing that is there is replaced, be it a link that leads nowhere."""
    path = tmp_path / "db"
    path.write_bytes(b"x")
    (tmp_path / "db.1").write_bytes(b"y")
    (tmp_path / "db.2").symlink_to("nowhere")
    assert atomic.keep_aside(str(path), lambda number: f"{path}.{number}") == f"{path}.3"
    assert (tmp_path / "db.3").read_bytes() == b"x"
    assert (tmp_path / "db.1").read_bytes() == b"y"


def test_what_a_killed_process_left_is_cleared(tmp_path):
    """And nothing that has another name."""
    path = tmp_path / "db"
    others = ["db", "db.new", "db.0123456789ab.new.csv", "db2.0123456789ab.new", "db.trials.new"]
    for name in [*others, "db.0123456789ab.new", "db.cdef00000000.new"]:
        (tmp_path / name).touch()
    atomic.clear_unfinished(str(path))
    assert sorted(os.listdir(tmp_path)) == sorted(others)
