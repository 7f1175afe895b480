"""The commands that report a user's quota, and the parsing of their output. Pure.

Sources: quota(1); lfs-quota(1) of Lustre. Both print, after the file system's name, blocks of a
kibibyte (used, soft limit, hard limit, grace) and the same of files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"(\d+)\*?")
_BLOCK = 1024
_ENDLESS = 1 << 50
"""Blocks or files; a number such as 2**64 - 1 means "no limit"."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes and files that are left of a user's quota; None where there is no limit."""

    free: int | None
    free_files: int | None


def quota_command(kind: str, path: str, user: int) -> tuple[str, ...]:
    """Return the command that reports the quota of ``user`` on the file system of ``path``."""
    if kind == "lustre":
        return ("lfs", "quota", "-q", "-u", str(user), path)
    return ("quota", "--no-wrap", "--raw-grace", "-f", path)


def read_quota(output: str) -> Quota | None:
    """Return the quota in the command's output; None if it isn't understood."""
    if re.search(r":\s*none\s*$", output):
        return Quota(None, None)
    words = output.split()
    for first in range(1, len(words) - 6):
        found = [_NUMBER.fullmatch(word) for word in words[first : first + 8]]
        if len(found) < 7 or not all(found[:3]) or not all(found[4:7]):
            continue
        numbers = [int(match[1]) if match else 0 for match in found]
        blocks, files = _left(*numbers[:3]), _left(*numbers[4:7])
        return Quota(None if blocks is None else blocks * _BLOCK, files)
    return None


def _left(used: int, soft: int, hard: int) -> int | None:
    # Beyond the soft limit a user can write only for the days of grace.
    limits = [limit for limit in (soft, hard) if 0 < limit < _ENDLESS]
    return max(0, min(limits) - used) if limits else None
