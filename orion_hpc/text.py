"""Formats of counts and sizes, the same in all messages and tables."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Return a count with its noun: ``1 trial`` or ``1,234 trials``.

    Examples
    --------
    >>> from orion_hpc.text import counted
    >>> counted(1, "trial"), counted(1234, "trial")
    ('1 trial', '1,234 trials')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def counted_are(number: int, thing: str) -> str:
    """Return a count with its noun and verb: ``1 trial is`` or ``1,234 trials are``."""
    return f"{counted(number, thing)} {'is' if number == 1 else 'are'}"


def byte_size(count: float) -> str:
    """Return a number of bytes in decimal units.

    Examples
    --------
    >>> from orion_hpc.text import byte_size
    >>> byte_size(999), byte_size(1.5e9), byte_size(84e9)
    ('999 B', '1.5 GB', '84 GB')
    """
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:,.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"


def memory_size(count: float) -> str:
    """Return a number of bytes in the binary units that Slurm uses.

    Examples
    --------
    >>> from orion_hpc.text import memory_size
    >>> memory_size(512 * 1024**2), memory_size(12 * 1024**3)
    ('512 MiB', '12.0 GiB')
    """
    mib = count / 1024**2
    return f"{mib:,.0f} MiB" if mib < 10 * 1024 else f"{mib / 1024:,.1f} GiB"
