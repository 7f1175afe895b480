"""The lines of the live view of one experiment. Pure.

What they are made of is read in :mod:`orion_hpc.experiments.live_status`; the terminal shows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from orion_hpc.experiments.broken_trials import broken_groups
from orion_hpc.experiments.failed_starts import FailedStarts
from orion_hpc.experiments.progress import duration
from orion_hpc.experiments.trial_views import local_clock, short, took
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import BROKEN, COMPLETED, RESERVED, TrialRecord
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.text import counted

Part: TypeAlias = tuple[str, str]
"""A text and its style, as rich names them; ``''`` for none."""

Line: TypeAlias = list[Part]

_BLOCKS = "▁▂▃▄▅▆▇█"
_LABEL = 10
"""Characters of the names at the left."""

_RECENT = 20
"""Completions by whose rate the rest is estimated."""

_LAST = 5
_MOST_WORKERS = 10
_MOST_CAUSES = 5

_STATES = {"running": "bold green", "done": "bold green", "broken": "bold red"}


def live_lines(
    state: ExperimentState,
    summary: Mapping[str, Any],
    regret: Sequence[float],
    width: int,
    now: float,
) -> list[Line]:
    """Return the lines; none has more than ``width`` characters.

    Parameters
    ----------
    state : ExperimentState
    summary : mapping
        See :func:`~orion_hpc.experiments.summary.experiment_summary`.
    regret : sequence of float
        See :func:`regret`.
    width : int
    now : float
        Seconds since the epoch.
    """
    lines = [
        _head(state, summary),
        *_progress(state, summary, width, now),
        *_best(state, regret, width),
        *_broken(state),
        *_workers(state, summary, now),
        *_queue(summary),
        *_failed(summary),
        *_last(state, now),
    ]
    return [_cut(line, width) for line in lines]


def _cut(line: Line, width: int) -> Line:
    """Shorten the line to ``width`` characters."""
    found: Line = []
    for text, style in line:
        if len(text) > width:
            found.append((text[: max(0, width - 1)] + "…" if width > 0 else "", style))
            break
        found.append((text, style))
        width -= len(text)
    return found


def _row(name: str, text: str, style: str = "") -> Line:
    return [(f"{name:<{_LABEL}}", "bold"), (text, style)]


def _head(state: ExperimentState, summary: Mapping[str, Any]) -> Line:
    reason = f": {summary['reason']}" if summary["reason"] else ""
    return [
        (f"{state.name} v{state.version}  ", "bold"),
        (summary["state"], _STATES.get(summary["state"], "bold yellow")),
        (reason, ""),
    ]


def _progress(
    state: ExperimentState, summary: Mapping[str, Any], width: int, now: float
) -> Iterator[Line]:
    done, total = state.count(COMPLETED), state.max_trials
    counts = [f"{count:,} {status}" for status, count in summary["trials"].items() if count]
    yield _row("trials", ", ".join(counts) or "none yet")
    if not total:
        return
    share = min(1.0, done / total)
    left = remaining(state, now)
    eta = "" if left is None or state.is_done else f"  about {duration(left)} left"
    text = f" {share:.0%} of {total:,}{eta}"
    room = max(10, min(40, width - _LABEL - len(text)))
    filled = round(share * room)
    yield [
        (" " * _LABEL, ""), ("█" * filled, "green"), ("░" * (room - filled), "dim"), (text, ""),
    ]  # fmt: skip


def remaining(state: ExperimentState, now: float) -> float | None:
    """Return the seconds that the rest takes at the rate of the last trials; None if unknown."""
    if state.max_trials is None:
        return None
    ends = [one.end_time for one in state.having(COMPLETED)[-_RECENT:] if one.end_time is not None]
    left = state.max_trials - state.count(COMPLETED)
    if len(ends) < 2 or max(ends) <= min(ends):
        return None
    each = (max(ends) - min(ends)) / (len(ends) - 1)
    since = now - max(ends)
    # No completion for longer than several should take: the rate isn't that of the past any more.
    return None if since > 5 * each + 60 else max(0.0, left * each - since)


def _best(state: ExperimentState, regret: Sequence[float], width: int) -> Iterator[Line]:
    if state.best is None:
        return
    infeasible = "" if state.best.feasible else ", infeasible"
    objective = short(state.best.objective)
    yield _row("best", f"{objective} (trial {state.best.number}{infeasible})", "bold")
    params = ", ".join(f"{name}={short(value)}" for name, value in state.best.params.items())
    yield _row("", params)
    line = sparkline(regret, max(10, min(40, width - _LABEL)))
    if line:
        yield _row("", line, "cyan")


def regret(state: ExperimentState) -> list[float]:
    """Return the best objective after each completed trial that can be compared."""
    found: list[float] = []
    for one in state.comparable():
        if one.objective is not None and one.feasible:
            found.append(min(found[-1], one.objective) if found else one.objective)
    return found


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the values as one line of bars, the greatest one the highest.

    Examples
    --------
    >>> from orion_hpc.experiments.live_view import sparkline
    >>> sparkline([4.0, 2.0, 1.0, 0.5], 10)
    '█▄▂▁'
    """
    if len(values) < 2:
        return ""
    width = min(width, len(values))
    picked = [values[(index + 1) * len(values) // width - 1] for index in range(width)]
    low, high = min(picked), max(picked)
    if high <= low:
        return _BLOCKS[0] * width
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((one - low) / (high - low) * top)] for one in picked)


def _broken(state: ExperimentState) -> Iterator[Line]:
    groups = broken_groups(state.having(BROKEN))
    for place, one in enumerate(groups[:_MOST_CAUSES]):
        text = f"{counted(len(one.numbers), 'trial')} ({one.cause}): {one.reason}"
        yield _row("broken" if not place else "", text, "red")
        if one.advice:
            yield _row("", one.advice)
    if len(groups) > _MOST_CAUSES:
        yield _row("", f"… and {len(groups) - _MOST_CAUSES} other reasons")


def _workers(state: ExperimentState, summary: Mapping[str, Any], now: float) -> Iterator[Line]:
    held: dict[str, list[TrialRecord]] = {}
    for one in state.having(RESERVED):
        held.setdefault(one.worker or "", []).append(one)
    alive = summary["workers"]
    hosts = Counter(one["host"] for one in alive if one["host"])
    where = f" on {counted(len(hosts), 'host')}" if hosts else ""
    if alive or held:
        yield _row("workers", f"{len(alive)}{where}")
    for one in alive[:_MOST_WORKERS]:
        trials = held.get(one["id"], [])
        runs = ", ".join(
            f"{trial.number} ({took(max(0.0, now - trial.start_time))})" if trial.start_time
            else str(trial.number)
            for trial in trials
        )  # fmt: skip
        what = f"trial{'s' if len(trials) > 1 else ''} {runs}" if trials else "no trial"
        yield _row("", f"{one['host'] or _host(one['id'])}: {what}")
    if len(alive) > _MOST_WORKERS:
        yield _row("", f"… and {len(alive) - _MOST_WORKERS} more")
    for name in summary["suspended"]:
        yield _row("", f"{_host(name)}: suspended", "yellow")
    for name in summary["silent"]:
        yield _row("", f"{_host(name)}: holds a trial and gives no sign of life", "red")


def _host(worker: str) -> str:
    who = Identity.parse(worker)
    return worker if who is None else who.host


def _queue(summary: Mapping[str, Any]) -> Iterator[Line]:
    queue = summary["queue"]
    if queue is None:
        return
    waiting = sum(queue["waiting"].values())
    text = f"{counted(queue['running'], 'task')} running"
    if waiting:
        reasons = [f"{reason} {count}" for reason, count in queue["waiting"].items() if reason]
        text += f", {waiting} waiting" + (f" ({', '.join(reasons)})" if reasons else "")
    yield _row("Slurm", text)


def _failed(summary: Mapping[str, Any]) -> Iterator[Line]:
    if summary["failed_starts"] is not None:
        first, *rest = FailedStarts(**summary["failed_starts"]).text.splitlines()
        yield _row("failed", first, "red")
        for line in rest:
            yield _row("", line)


def _last(state: ExperimentState, now: float) -> Iterator[Line]:
    ended = [*state.having(COMPLETED)[-_LAST:], *state.having(BROKEN)[-_LAST:]]
    ended = [one for one in ended if one.end_time is not None]
    ended.sort(key=lambda one: one.end_time or 0.0, reverse=True)
    for place, one in enumerate(ended[:_LAST]):
        value = one.status if one.objective is None else short(one.objective)
        params = ", ".join(f"{name}={short(value)}" for name, value in one.params.items())
        style = "red" if one.status == BROKEN else ""
        text = f"{local_clock(one.end_time or 0.0)}  {one.number:>4}  {value:<12}  {params}"
        yield _row("last" if not place else "", text, style)
