"""What there was to clean, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LITTER_COLUMNS = ("what", "number", "size")


def litter_rows(found: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each kind of what was found: kinds and bytes, in any order."""
    sums: dict[str, tuple[int, int]] = {}
    for kind, size in found:
        number, whole = sums.get(kind, (0, 0))
        sums[kind] = number + 1, whole + size
    for kind, (number, whole) in sorted(sums.items()):
        yield kind, f"{number:,}", _size(whole)


def _size(count: int) -> str:
    """Return so many bytes in words."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
