"""The file that tells trials of their worker's stop notice."""

from __future__ import annotations

import os

from orion_hpc.worker.notice import Notice, posted


def test_a_notice_is_seen_until_it_is_withdrawn(tmp_path):
    path = str(tmp_path / "notices" / "me")
    notice = Notice(path)
    assert posted(path) == ""
    notice.post("SIGTERM")
    notice.post("SIGINT")
    assert posted(path) == "SIGTERM"
    assert os.listdir(tmp_path / "notices") == ["me"]
    notice.withdraw()
    notice.post("SIGTERM")  # by a thread that was late
    assert posted(path) == ""
    assert os.listdir(tmp_path / "notices") == []


def test_nothing_happens_without_a_place_or_where_it_cannot_be(tmp_path):
    """A trial that can't be told is ended in the end; that is no reason for the worker to fail."""
    Notice(None).post("SIGTERM")
    assert posted(None) == ""
    (tmp_path / "file").touch()
    notice = Notice(str(tmp_path / "file" / "me"))
    notice.post("SIGTERM")
    notice.withdraw()
    assert posted(notice.path) == ""


def test_what_stands_in_the_file_is_bounded(tmp_path):
    (tmp_path / "me").write_bytes(b"\xff" * 100_000)
    assert len(posted(str(tmp_path / "me"))) == 32
