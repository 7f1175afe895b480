"""What there is to tell of an import, as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def import_lines(experiments: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each experiment and, below it, for whatever isn't as it was.

    Parameters
    ----------
    experiments : iterable of mapping
        ``name``, ``version``, ``new``, ``trials`` (status -> count), ``notes``.
    """
    for one in experiments:
        title = f"{one['name']} v{one['version']}"
        if not one["new"]:
            yield f"{title} was imported before."
            continue
        counts = [f"{count} {status}" for status, count in one["trials"].items() if count]
        total = sum(one["trials"].values())
        of_which = f" ({', '.join(counts)})" if counts else ""
        yield f"Imported {title}: {total} trial{'' if total == 1 else 's'}{of_which}."
        for note in one["notes"]:
            yield f"  {note}"
