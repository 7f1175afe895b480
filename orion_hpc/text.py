"""Numbers in words, as all messages and tables write them."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Return ``1 trial`` or ``1,234 trials``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def counted_are(number: int, thing: str) -> str:
    """Return ``1 trial is`` or ``1,234 trials are``."""
    return f"{counted(number, thing)} {'is' if number == 1 else 'are'}"


def byte_size(count: float) -> str:
    """Return a number of bytes in decimal units: ``999 B``, ``1.5 GB``, ``84 GB``."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:,.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"


def memory_size(count: float) -> str:
    """Return a number of bytes in Slurm's binary units: ``512 MiB``, ``12.0 GiB``."""
    mib = count / 1024**2
    return f"{mib:,.0f} MiB" if mib < 10 * 1024 else f"{mib / 1024:,.1f} GiB"
