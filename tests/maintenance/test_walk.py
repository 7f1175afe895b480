"""Walking a journal past what no reader would go beyond."""

from __future__ import annotations

import random

import pytest

from orion_hpc.journal import framing
from orion_hpc.maintenance import walk
from orion_hpc.maintenance.walk import DAMAGE, TAIL, TORN, Gap

START = 100


def walked(data: bytes) -> list[tuple[str, int, int]]:
    """Return what is found in ``data``, which stands behind a header: what, start, end."""
    whole = bytes(START) + data
    found = walk.walk(lambda at, count: whole[at : at + count], START, len(whole))
    return [
        (one.kind, one.start - START, one.end - START)
        if isinstance(one, Gap)
        else (one.payload.decode("latin-1"), one.start - START, one.end - START)
        for one in found
    ]


def frame(text: str) -> bytes:
    """Return a frame of experiment 1."""
    return framing.encode_frame(1, text.encode("latin-1"))


ONE, TWO, THREE = frame("one"), frame("two"), frame("three")
SIZE = len(ONE)


def flipped(data: bytes, at: int) -> bytes:
    """Return ``data`` with one bit turned over."""
    return data[:at] + bytes((data[at] ^ 16,)) + data[at + 1 :]


def test_a_whole_journal_has_no_gap():
    """Frames only, end to end; and an empty one has nothing."""
    assert walked(ONE + TWO) == [("one", 0, SIZE), ("two", SIZE, 2 * SIZE)]
    assert walked(b"") == []


@pytest.mark.parametrize("at", range(SIZE))
def test_any_flipped_bit_is_a_gap_from_which_the_walk_goes_on(at):
    """In the mark, the checksum, the length, the number or the payload."""
    assert walked(ONE + flipped(TWO, at) + THREE) == [
        ("one", 0, SIZE),
        (DAMAGE, SIZE, 2 * SIZE),
        ("three", 2 * SIZE, 2 * SIZE + len(THREE)),
    ]


def test_two_places_are_two_gaps_and_neighbours_are_one():
    """With what is whole between them."""
    bad = flipped(TWO, 18)
    assert [one[0] for one in walked(bad + ONE + bad + THREE)] == [DAMAGE, "one", DAMAGE, "three"]
    assert walked(bad + bad + ONE)[0] == (DAMAGE, 0, 2 * SIZE)


@pytest.mark.parametrize("cut", range(1, SIZE))
def test_a_cut_at_the_end_is_a_tail(cut):
    """A write in progress, or one that a crash cut short."""
    assert walked(ONE + TWO[:cut])[1:] == [(TAIL, SIZE, SIZE + cut)]


def test_a_last_frame_with_all_its_bytes_and_a_wrong_checksum_is_damage():
    """It wasn't cut short, and its writer was told that it is durable."""
    for at in range(SIZE):
        assert walked(ONE + flipped(TWO, at))[1:] == [(DAMAGE, SIZE, 2 * SIZE)], at
    assert walked(ONE + b"text")[1:] == [(DAMAGE, SIZE, SIZE + 4)]


def test_what_a_crash_left_and_the_next_writer_did_not_see_is_torn():
    """A cut frame and a whole one: the next writer seals it. With a seal it is no gap at all."""
    assert [one[0] for one in walked(ONE + TWO[:9] + THREE)] == ["one", TORN, "three"]
    sealed = ONE + TWO[:9] + framing.encode_seal(START + SIZE) + THREE
    assert [one[1:] for one in walked(sealed)][1] == (SIZE, len(sealed) - len(THREE))
    assert [one[0] for one in walked(sealed)][::2] == ["one", "three"]


def test_a_hole_is_damage():
    """A stretch of zeros, as a file system leaves it that lost a block."""
    assert walked(ONE + bytes(5000) + TWO)[1] == (DAMAGE, SIZE, SIZE + 5000)
    assert walked(ONE + bytes(5000))[1] == (TAIL, SIZE, SIZE + 5000)


def test_the_result_does_not_depend_on_where_the_windows_end(monkeypatch):
    """Gaps larger than a window, frames across its edge: as if all was looked at at once."""
    rng = random.Random(1)
    parts = []
    for number in range(300):
        one = frame("x" * rng.randrange(60) + str(number))
        chance = rng.random()
        parts.append(
            flipped(one, rng.randrange(16, len(one))) if chance < 0.1
            else rng.randbytes(rng.randrange(2000)) if chance < 0.13
            else one
        )  # fmt: skip
    data = b"".join(parts)
    wanted = walked(data)
    assert len([one for one in wanted if one[0] == DAMAGE]) > 10
    monkeypatch.setattr(walk, "_LONGEST_FRAME", 120)
    for window in (250, 300, 777):
        monkeypatch.setattr(walk, "_WINDOW", window)
        assert walked(data) == wanted


def test_a_file_that_shrinks_ends_the_walk():
    """Somebody cut it meanwhile; the walk doesn't wait for bytes that never come."""
    found = walk.walk(lambda at, count: ONE[at : at + count], 0, 10_000)
    assert [type(one).__name__ for one in found] == ["Frame", "Gap"]


def test_the_first_frame_is_found_behind_anything():
    """The header may be damaged in any way."""
    data = b"garbage" + framing.MARK + b"more" + ONE
    found = walk.first_frame(lambda at, count: data[at : at + count], len(data))
    assert found is not None
    assert found.start == len(data) - SIZE
    assert walk.first_frame(lambda at, count: b"nothing"[at : at + count], 7) is None
