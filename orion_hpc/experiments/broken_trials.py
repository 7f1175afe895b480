"""Broken trials in groups of the same reason, so that what repeats is said once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orion_hpc.model.trial_record import TrialRecord

_NO_REASON = "no reason recorded"
_LONGEST = 500
"""Characters of a reason's line that are shown."""

_MOST_NUMBERS = 6
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True, slots=True)
class BrokenGroup:
    """Trials that broke for the same reason.

    Attributes
    ----------
    cause : str
    message : str
        Of the last one.
    numbers : tuple of int
        The trials'.
    """

    cause: str
    message: str
    numbers: tuple[int, ...]

    @property
    def reason(self) -> str:
        """The first line of the message."""
        return _cut(self.message.partition("\n")[0]) or _NO_REASON

    @property
    def advice(self) -> str:
        """What the message says to do, on its second line; ``''`` if that is a traceback."""
        second = self.message.partition("\n")[2].partition("\n")[0].strip()
        return "" if second == _TRACEBACK or second.startswith("File ") else _cut(second)

    @property
    def trials(self) -> str:
        """The trials as text: ``trial 3``, ``trials 3, 4 and 9``; of many the first ones."""
        shown = [str(number) for number in self.numbers]
        if len(shown) == 1:
            return f"trial {shown[0]}"
        if len(shown) > _MOST_NUMBERS:
            shown = [*shown[: _MOST_NUMBERS - 1], f"{len(shown) - _MOST_NUMBERS + 1} others"]
        return f"trials {', '.join(shown[:-1])} and {shown[-1]}"

    def to_dict(self) -> dict[str, Any]:
        """Return the group as plain data."""
        return {
            "cause": self.cause,
            "message": self.message,
            "count": len(self.numbers),
            "trials": list(self.numbers),
        }


def broken_groups(trials: Iterable[TrialRecord], whole: bool = False) -> list[BrokenGroup]:
    """Return broken trials by their causes and the first lines of their messages.

    The largest group comes first. ``whole``: by their whole messages, in the order of the first
    trial of each.
    """
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for one in trials:
        message = (one.message or "").strip()
        key = message if whole else message.partition("\n")[0]
        groups.setdefault((one.cause or "unknown", key), []).append(one)
    found = [
        BrokenGroup(cause, (some[-1].message or "").strip(), tuple(one.number for one in some))
        for (cause, _), some in groups.items()
    ]
    return found if whole else sorted(found, key=lambda one: -len(one.numbers))


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
