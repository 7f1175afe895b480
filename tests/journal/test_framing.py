"""The journal's bytes: what is read back, and what torn and strange bytes lead to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_hpc.journal import framing

BASE = 100


def read(data: bytes) -> list[tuple[int, bytes]]:
    """Return the experiments and payloads of the frames in ``data``, seals left out."""
    found = framing.frames(data, BASE)
    return [(one.experiment, one.payload) for one in found if one.experiment != framing.SEAL]


payloads = st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=60)), max_size=6)


@given(payloads)
def test_frames_are_read_as_they_were_written(written):
    """Frames follow each other without a gap, and their ends are where the next one starts."""
    data = b"".join(framing.encode_frame(*one) for one in written)
    assert read(data) == written
    frames = list(framing.frames(data, BASE))
    assert [one.start for one in frames[1:]] == [one.end for one in frames[:-1]]


@given(payloads.filter(len), st.data())
def test_a_cut_leaves_the_frames_before_it(written, data):
    """A torn tail of any length hides no whole frame and yields no false one."""
    whole = b"".join(framing.encode_frame(*one) for one in written)
    cut = data.draw(st.integers(0, len(whole)))
    got = read(whole[:cut])
    assert got == written[: len(got)]
    assert len(b"".join(framing.encode_frame(*one) for one in got)) <= cut


@given(payloads, st.binary(min_size=1, max_size=80), payloads)
def test_a_seal_takes_readers_past_torn_bytes(before, torn, after):
    """Whatever a dead writer left, behind its seal the journal goes on."""
    head = b"".join(framing.encode_frame(*one) for one in before)
    if read(head + torn) != before:
        return  # the drawn bytes happen to be a frame
    seal = framing.encode_seal(BASE + len(head))
    tail = b"".join(framing.encode_frame(*one) for one in after)
    assert read(head + torn + seal + tail) == before + after


def test_a_reader_who_sees_whole_frames_passes_over_a_seal():
    """A seal that another client wrote over a stale view hides nothing from those who see well."""
    one, two = framing.encode_frame(1, b"one"), framing.encode_frame(1, b"two")
    seal = framing.encode_seal(BASE + len(one))
    assert read(one + two + seal) == [(1, b"one"), (1, b"two")]


@pytest.mark.parametrize("length", [1, 15, 16, 64, 5000])
def test_zeros_are_no_frame(length):
    """A hole reads as zeros; neither it nor a piece of it may pass for a frame."""
    assert read(bytes(length)) == []


def test_every_flipped_bit_is_noticed():
    """No single flipped bit in a frame goes through."""
    frame = framing.encode_frame(7, b"payload")
    for position in range(len(frame) * 8):
        flipped = bytearray(frame)
        flipped[position // 8] ^= 1 << position % 8
        assert read(bytes(flipped)) == []


def test_a_header_is_read_as_it_was_written():
    """The lock kind that the creator chose is what every host reads."""
    content = {"lock": "flock", "id": "ab"}
    header = framing.encode_header(content)
    found = framing.decode_header(header + b"frames")
    assert found is not None
    assert (found.content, found.end, found.version) == (content, len(header), framing.VERSION)
    assert found.link == framing.link_to_header(header)
    for cut in range(len(header)):
        assert framing.decode_header(header[:cut]) is None


@pytest.mark.parametrize("data", [b"hello", b"\x80\x04K\x01.", b"\x93ORION\n\n" + bytes(20)])
def test_another_file_is_not_a_journal(data):
    """A text, somebody's pickle or a mangled transfer is told apart at once."""
    with pytest.raises(framing.NotAJournal):
        framing.decode_header(data)


def test_a_newer_format_is_named():
    """The error can say which version the file has."""
    header = bytearray(framing.encode_header({}))
    header[8:10] = (9).to_bytes(2, "little")
    with pytest.raises(framing.NewerVersion) as caught:
        framing.decode_header(bytes(header))
    assert caught.value.version == 9
