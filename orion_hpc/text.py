"""Formats of counts and sizes, the same in all messages and tables."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


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


def html_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Return names and values as a table for a notebook; nothing in them is taken for HTML.

    Examples
    --------
    >>> from orion_hpc.text import html_table
    >>> html_table("demo", [("x", "1 < 2")])
    '<table><caption>demo</caption><tr><th>x</th><td>1 &lt; 2</td></tr></table>'
    """
    body = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows
    )
    return f"<table><caption>{escape(title)}</caption>{body}</table>"
