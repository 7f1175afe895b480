"""Numbers in words."""

from __future__ import annotations

import pytest

from orion_hpc.text import byte_size, counted, counted_are, memory_size


def test_counts():
    """One is one, of many the thousands are told apart."""
    assert counted(1, "trial") == "1 trial"
    assert counted(0, "trial") == "0 trials"
    assert counted_are(1, "task") == "1 task is"
    assert counted_are(12345, "task") == "12,345 tasks are"


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (84_512_000_000, "85 GB"), (3e15, "3,000 TB")],
)
def test_bytes_of_files(count, told):
    """In decimal units, as disks are sold."""
    assert byte_size(count) == told


def test_bytes_of_memory():
    """In Slurm's units, where 1G is 1,024 M."""
    assert memory_size(512 * 1024**2) == "512 MiB"
    assert memory_size(12 * 1024**3) == "12.0 GiB"
