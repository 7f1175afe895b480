"""The writers' own files, and the name of the frame that was acknowledged last."""

from __future__ import annotations

import errno
import os
from collections import deque
from contextlib import suppress
from pathlib import Path

import pytest

from orion_hpc.errors import StorageError
from orion_hpc.journal import framing
from orion_hpc.journal.framing import Link
from orion_hpc.journal.write_ahead import (
    LastFrame,
    WriteAheadLog,
    frames_in,
    lost_before,
    settled,
)
from orion_hpc.sharedfs import layout

FIRST = Link(0, 7)


def chain(count: int) -> list[bytes]:
    """Return frames each of which names the one before it."""
    found, before, at = [], FIRST, 100
    for number in range(count):
        frame = framing.encode_frame(1, b"payload %d" % number, before)
        before, at = framing.link_to(frame, at), at + len(frame)
        found.append(frame)
    return found


def test_what_was_written_is_found_again(tmp_path):
    """Of all writers; a frame that was cut short ends its file."""
    one, two, three, four = chain(4)
    log, other = WriteAheadLog(str(tmp_path), "a"), WriteAheadLog(str(tmp_path), "b")
    log.write(one)
    log.write(two)
    other.write(three)
    with open(other.path, "ab") as file:
        file.write(four[:-1])
    payloads = {frame.payload for frame in frames_in(str(tmp_path))}
    assert payloads == {b"payload 0", b"payload 1", b"payload 2"}
    assert list(frames_in(str(tmp_path / "missing"))) == []


def test_a_full_disk_is_told_and_the_next_file_is_whole(small_disk):
    """Nothing may be appended that isn't kept; what is kept later can be read."""
    log = WriteAheadLog(str(small_disk / "kept"), "a")
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    with pytest.raises(StorageError, match="No space left"):
        deque(map(log.write, 10_000 * chain(1)))
    kept = len(list(frames_in(str(small_disk / "kept"))))
    filler.unlink()
    log.write(chain(2)[1])
    assert len(list(frames_in(str(small_disk / "kept")))) == kept + 1


def test_lost_frames_are_found_back_to_one_that_is_known(tmp_path):
    """In their order, with what they follow; the last of them where one is nowhere."""
    log = WriteAheadLog(str(tmp_path), "a")
    for frame in chain(4):
        log.write(frame)
    frames = list(frames_in(str(tmp_path)))
    kept = {frame.link.checksum: frame for frame in frames}
    follows, lost = lost_before(
        kept, frames[3].link, lambda link: link.checksum == frames[0].link.checksum
    )
    assert follows is not None
    assert follows.checksum == frames[0].link.checksum
    assert [frame.payload for frame in lost] == [b"payload 1", b"payload 2", b"payload 3"]
    del kept[frames[1].link.checksum]
    follows, lost = lost_before(kept, frames[3].link, lambda link: link == FIRST)
    assert follows is None
    assert [frame.payload for frame in lost] == [b"payload 2", b"payload 3"]


def test_of_two_who_acknowledge_at_once_the_server_lets_one(tmp_path):
    """Who found an older name is told that it was overtaken."""
    last = LastFrame(str(tmp_path))
    with last.created(group=False):
        pass
    start = last.read()
    assert start is not None
    assert last.advance(start, Link(10, 1))
    assert not last.advance(start, Link(10, 2))
    assert last.read() == Link(10, 1)
    assert len(os.listdir(tmp_path / "last")) == 1


def test_nothing_is_left_where_the_database_cannot_be_made(tmp_path):
    """Its folder goes again with it."""
    last = LastFrame(str(tmp_path / "db.pkl.files" / "write-ahead" / "id"))
    with pytest.raises(RuntimeError), last.created(group=False):
        raise RuntimeError
    assert list(Path(tmp_path).iterdir()) == []


def test_a_header_leads_to_no_other_folder(tmp_path):
    """Whatever it says of the database's id."""
    for name in ("..", "a/b", "", "/etc"):
        folder = layout.write_ahead_folder(str(tmp_path / "db.pkl"), name)
        assert folder == str(tmp_path / "db.pkl.files" / "write-ahead" / "unknown")


def test_a_folder_that_says_nothing_is_told(tmp_path):
    """An empty one is no copy without its folder, which is None."""
    last = LastFrame(str(tmp_path))
    assert last.read() is None
    (tmp_path / "last").mkdir()
    with pytest.raises(StorageError, match="it is empty"):
        last.read()
    (tmp_path / "last").rmdir()
    last.begin(Link(5, 6))
    assert last.read() == Link(5, 6)


def test_of_several_names_the_latest_counts(tmp_path):
    """A copy of the folder that was brought up to date again and again has older names, too."""
    (tmp_path / "last").mkdir()
    for at in (0x20, 0x100, 0x3):
        (tmp_path / "last" / f"{at:x}-00000001").touch()
    assert LastFrame(str(tmp_path)).read() == Link(0x100, 1)


def make_sparse(path):
    with open(path, "wb") as file:
        os.truncate(file.fileno(), 1 << 40)


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, make_sparse, lambda path: os.symlink("/dev/zero", path)]
)
def test_what_is_no_writers_file_is_passed_by(tmp_path, make):
    """It blocks nobody, is read no further than need be, and is nothing to be tidied away."""
    log = WriteAheadLog(str(tmp_path), "b")
    for frame in chain(2):
        log.write(frame)
    make(tmp_path / "a.0")
    found = list(frames_in(str(tmp_path)))
    assert len(found) == 2
    known = {frame.link.checksum for frame in found}
    assert settled(str(tmp_path), ["a.0", "b.0"], known) == ["b.0"]


def test_a_file_of_many_frames_is_read_to_its_end(tmp_path):
    """Also where a frame stands across the places at which reading goes on."""
    payload = bytes(framing.MAX_PAYLOAD // 3)
    frames = [framing.encode_frame(1, payload + b"%d" % n, FIRST) for n in range(8)]
    (tmp_path / "a.0").write_bytes(b"".join(frames) + frames[0][:-1])
    assert len(list(frames_in(str(tmp_path)))) == 8


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_what_cannot_be_read_is_not_taken_for_lost(tmp_path, monkeypatch, number):
    """Else a server that is in trouble would be told as damage, and repair would leave it out."""
    WriteAheadLog(str(tmp_path), "a").write(chain(1)[0])
    real = os.open

    def refuse(path, *rest, **named):
        if str(path).endswith("a.0"):
            raise OSError(number, os.strerror(number))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=r"can't read .*a\.0, which may hold"):
        list(frames_in(str(tmp_path)))
