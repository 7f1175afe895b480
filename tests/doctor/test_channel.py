"""Messages between hosts through a file."""

from __future__ import annotations

import pytest

from orion_hpc.doctor.channel import Channel


def test_what_was_said_is_heard_in_order(tmp_path):
    """By whoever opens it anew, as often as they like."""
    channel = Channel(str(tmp_path / "c"))
    channel.create()
    assert channel.messages() == []
    channel.send({"do": "this"})
    channel.send({"do": "that", "text": "ä\n"})
    assert Channel(channel.path).messages() == [{"do": "this"}, {"do": "that", "text": "ä\n"}]


@pytest.mark.parametrize("arrived", [b'{"do": "th', b'\0\0\0\0\0\n{"do": "that"}\n'])
def test_a_message_that_has_arrived_in_part_is_heard_later(tmp_path, arrived):
    """And nothing behind it before it, so that messages keep their numbers."""
    channel = Channel(str(tmp_path / "c"))
    (tmp_path / "c").write_bytes(b'{"do": "this"}\n' + arrived)
    assert channel.messages() == [{"do": "this"}]


def test_a_channel_that_is_gone_doesnt_come_back(tmp_path):
    """Who speaks late leaves no file behind."""
    with pytest.raises(FileNotFoundError):
        Channel(str(tmp_path / "c")).send({})
    assert list(tmp_path.iterdir()) == []
