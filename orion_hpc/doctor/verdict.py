"""What a check of ``orion-hpc doctor`` comes to: a verdict, and the words for it."""

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
    """Of one check: what was found, and what to do about it (``''``: nothing)."""

    check: str
    verdict: Judgement
    found: str
    advice: str = ""


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return ``a, b and c``; of many, the first."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
