"""What a host tells of the storage's room."""

from __future__ import annotations

import os

import pytest

from orion_hpc.doctor.host_facts import gather_facts, room


def told(**figures: int) -> os.statvfs_result:
    """Return what a file system says of itself: `frsize`, `blocks`, `bavail`, `files`, `favail`."""
    size, blocks, free = figures["frsize"], figures["blocks"], figures["bavail"]
    files, left = figures["files"], figures["favail"]
    return os.statvfs_result((size, size, blocks, free, free, files, left, left, 0, 255))


EXT4 = {"frsize": 4096, "blocks": 1000, "bavail": 500, "files": 100, "favail": 60}


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, (500 * 4096, 60)),
        ({"files": 0, "favail": 0}, (500 * 4096, None)),
        ({"favail": 0}, (500 * 4096, 0)),
        ({"files": 1, "favail": -1}, (500 * 4096, None)),
        ({"files": -1, "favail": -1}, (500 * 4096, None)),
        ({"files": 2**63 - 1, "favail": 2**63 - 1}, (500 * 4096, None)),
        ({"files": 2**64 - 1, "favail": 2**64 - 1}, (500 * 4096, None)),
        ({"bavail": 0}, (0, 60)),
        ({"blocks": 0, "bavail": 0}, (None, 60)),
        ({"bavail": -1}, (None, 60)),
        ({"blocks": 2**52, "bavail": 2**52 - 1}, (None, 60)),
    ],
)
def test_what_isnt_a_figure_is_unknown(changes, left):
    """CephFS says -1 files, others 0 or more than there can be; none of that is a full disk."""
    assert room(told(**{**EXT4, **changes})) == left


def test_this_machines_room(tmp_path):
    """The real call, of a file system that can tell."""
    facts = gather_facts(str(tmp_path), {})
    assert facts.trouble == ""
    assert facts.free is not None
    assert facts.free > 0
