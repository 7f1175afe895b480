"""Finds the logs of an experiment's jobs, and reads the end of one.

What a command shows of them is the part of ``jobs.logs``.
"""

from __future__ import annotations

import glob
import os
import re
from typing import BinaryIO

from orion_hpc.model.event import LaunchJobs
from orion_hpc.model.state import ExperimentState

_NUMBERS = re.compile(r"%[0-9]*[a-zA-Z]")
"""What sbatch replaces in a path, such as ``%A_%a`` and ``%4j``."""

_BLOCK = 65536


def job_logs(experiment: ExperimentState) -> list[str]:
    """Return the paths of all existing logs of the experiment's jobs, oldest launch first."""
    found: dict[str, None] = {}
    for launch in experiment.jobs:
        found.update(dict.fromkeys(launch_logs(launch)))
    return list(found)


def launch_logs(launch: LaunchJobs) -> list[str]:
    """Return the paths of the existing logs of one launch, in the order of its tasks."""
    folder, name = os.path.split(launch.folder)
    name = _NUMBERS.sub("*", name)
    matches = glob.glob(os.path.join(glob.escape(folder), name))
    return sorted(filter(os.path.isfile, matches), key=_by_numbers)


def _by_numbers(path: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)
    ]


def line_from_end(file: BinaryIO, size: int, lines: int) -> int:
    """Return the offset of the last ``lines`` lines of an open file."""
    begin, seen = size, 0
    while begin > 0:
        step = min(_BLOCK, begin)
        file.seek(begin - step)
        block = file.read(step)
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            # The line break at the very end closes the last line.
            seen += begin - step + position != size - 1
            if seen == lines:
                return begin - step + position + 1
        begin -= step
    return 0


def last_lines(path: str, lines: int) -> list[str]:
    """Return the last ``lines`` lines of a file that aren't empty; none if it can't be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BLOCK))
            text = file.read(_BLOCK).decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
