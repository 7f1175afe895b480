"""What a row found, as a table for people and as JSON for machines."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from orion_hpc.sharedfs.mounts import mount_of
from tests.benchmarks import optuna_peer

FORMAT = 1
"""Of the JSON; grows when a key changes its meaning."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached: a bound on the ratio ours/peer or on our own figure."""

    of: Literal["ratio", "ours"]
    bound: float
    least: bool
    unit: str = ""

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.bound:g} {self.unit or 'x'}"

    def reached(self, value: float | None) -> bool | None:
        """Return whether ``value`` reaches it; None if there is no value."""
        if value is None:
            return None
        return value >= self.bound if self.least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes
    ----------
    row : str
        The name by which the row is chosen.
    what : str
    ours, peer, ratio : float or None
        Medians; the ratio is that of the pairs, not of the medians.
    unit : str
    target : Target or None
    peer_name : str
    note : str
        What else is to be known.
    problems : list of str
        What was wrong with the results; a line with any isn't reached.
    runs : list of dict
        Everything that was measured.
    """

    row: str
    what: str
    ours: float | None
    unit: str
    target: Target | None = None
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    note: str = ""
    problems: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none, or no peer to compare with."""
        if self.target is None:
            return None
        if self.problems:
            return False
        return self.target.reached(self.ratio if self.target.of == "ratio" else self.ours)


def compared(
    row: str, what: str, pairs: Sequence[dict[str, Any]], target: Target | None, peer_name: str
) -> Line:
    """Return the line for throughputs of ours and a peer, which were measured in turn."""
    ours = [pair["ours"]["per_second"] for pair in pairs]
    peers = [pair["peer"]["per_second"] for pair in pairs if pair.get("peer")]
    ratios = [one / other for one, other in zip(ours, peers, strict=False)]
    latest = pairs[-1]["ours"]
    return Line(
        row=row,
        what=what,
        ours=statistics.median(ours),
        unit="trials/s",
        target=target,
        peer=statistics.median(peers) if peers else None,
        peer_name=peer_name,
        ratio=statistics.median(ratios) if ratios else None,
        note=f"{latest['user_us'] + latest['system_us']:.0f} µs of CPU a trial",
        problems=[text for pair in pairs for text in pair["ours"]["problems"]],
        runs=list(pairs),
    )


def machine(folder: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) * 1024
    return {
        "python": platform.python_version(),
        "optuna": optuna_peer.version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpus": len(os.sched_getaffinity(0)),
        "memory": memory,
        "file_system": mount_of(folder).kind,
        "load": os.getloadavg()[0],
    }


def as_json(
    lines: Iterable[Line], machine: dict[str, Any], size: str, started: float
) -> dict[str, Any]:
    """Return everything for machines; ``machine`` is what :func:`machine` told before the start."""
    return {
        "format": FORMAT,
        "started": started,
        "size": size,
        "machine": machine,
        "lines": [
            {**asdict(line), "target": line.target and str(line.target), "reached": line.reached}
            for line in lines
        ],
    }


_HEAD = ("row", "what", "ours", "peer", "ratio", "target", "reached")


def table(lines: Iterable[Line]) -> str:
    """Return a table in Markdown, with notes below it."""
    lines = list(lines)
    cells = [_HEAD, *map(_cells, lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    rows = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    rows.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for line in lines:
        if line.note:
            rows.append(f"{line.row}, {line.what}: {line.note}")
        rows.extend(f"{line.row}, {line.what}: WRONG: {text}" for text in line.problems)
    return "\n".join(rows)


def _cells(line: Line) -> tuple[str, ...]:
    reached = {True: "yes", False: "no", None: ""}[line.reached]
    peer = f"{_figure(line.peer)} ({line.peer_name})" if line.peer is not None else line.peer_name
    return (
        line.row,
        line.what,
        f"{_figure(line.ours)} {line.unit}",
        peer,
        f"{line.ratio:.2f} x" if line.ratio is not None else "",
        str(line.target) if line.target else "",
        reached,
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
