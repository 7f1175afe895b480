"""The verdict of one check of ``orion-hpc doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Judgement: TypeAlias = Literal["ok", "warning", "failed", "unknown"]

OK: Judgement = "ok"
WARNING: Judgement = "warning"
FAILED: Judgement = "failed"
UNKNOWN: Judgement = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check: what was found, and what to do (``''``: nothing)."""

    check: str
    verdict: Judgement
    found: str
    advice: str = ""


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return ``a, b and c``; of many names the first, and how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
