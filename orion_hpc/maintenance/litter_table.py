"""What there was to clean, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orion_hpc.text import byte_size

LITTER_COLUMNS = ("what", "number", "size")


def litter_rows(found: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each kind of what was found: kinds and bytes, in any order."""
    sums: dict[str, tuple[int, int]] = {}
    for kind, size in found:
        number, whole = sums.get(kind, (0, 0))
        sums[kind] = number + 1, whole + size
    for kind, (number, whole) in sorted(sums.items()):
        yield kind, f"{number:,}", byte_size(whole)
