"""The file that tells trials of their worker's stop notice."""

from __future__ import annotations

import os

from orion_hpc.worker.shutdown import NoticeFile, read_notice


def test_a_notice_is_seen_until_it_is_withdrawn(tmp_path):
    path = str(tmp_path / "notices" / "me")
    notice = NoticeFile(path)
    assert read_notice(path) == ""
    notice.post("SIGTERM")
    notice.post("SIGINT")
    assert read_notice(path) == "SIGTERM"
    assert os.listdir(tmp_path / "notices") == ["me"]
    notice.withdraw()
    notice.post("SIGTERM")  # by a thread that was late
    assert read_notice(path) == ""
    assert os.listdir(tmp_path / "notices") == []


def test_nothing_happens_without_a_place_or_where_it_cannot_be(tmp_path):
    """A trial that can't be told is ended in the end; that is no reason for the worker to fail."""
    NoticeFile(None).post("SIGTERM")
    assert read_notice(None) == ""
    (tmp_path / "file").touch()
    notice = NoticeFile(str(tmp_path / "file" / "me"))
    notice.post("SIGTERM")
    notice.withdraw()
    assert read_notice(notice.path) == ""


def test_what_stands_in_the_file_is_bounded(tmp_path):
    (tmp_path / "me").write_bytes(b"\xff" * 100_000)
    assert len(read_notice(str(tmp_path / "me"))) == 32
