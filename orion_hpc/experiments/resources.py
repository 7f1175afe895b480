"""What an experiment asked for, what it used, where the time went, and what to ask for. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from orion_hpc.experiments.progress import duration
from orion_hpc.model import event as ev
from orion_hpc.model.history import KINDS
from orion_hpc.model.state import ExperimentState
from orion_hpc.text import memory_size

_HOUR = 3600.0
_HEADROOM = 1.25
"""Of the memory that was used at most: another trial may need somewhat more."""
_MIB = 1024**2
_ROUND = 256 * _MIB

_BUSY = 0.9
"""Share of its CPUs that a worker is to keep busy."""

_SHORTEST = 10
"""Minutes of a job: less would go into its start and its stop notice."""

_WELL_USED = 0.75
"""Share of the CPUs, or of the memory, from which on there is nothing to be advised."""

_ENOUGH = 60.0
"""Seconds of measured trials from which on their processor time says something."""

IDLE = "idle"


def resources(state: ExperimentState) -> dict[str, Any]:
    """Return what was asked for and used; None stands for what nobody knows.

    Returns
    -------
    dict
        ``workers`` (``left``, ``lost``: how many ended in order, and how many didn't or still
        work), ``asked`` for each worker (``cpus``, ``n_workers``, ``memory`` in bytes, ``time`` in
        seconds), ``used`` (``cpus`` of a worker in use at once on average, ``memory``: the most
        bytes of a worker, ``trial_memory``, ``time``: the longest life of a worker), ``core_hours``
        (by what attempts ended as, and ``idle``), ``done``, ``advice``: texts.
    """
    left = {one.worker: one for one in state.departures}
    typical = max(state.departures, key=lambda one: one.time, default=None)
    core_hours = dict.fromkeys((*KINDS, IDLE), 0.0)
    for worker, spent in state.spent.items():
        facts = left.get(worker, typical)
        share = facts.cpus / facts.n_workers if facts else 1.0
        for kind, seconds in zip(KINDS, spent, strict=True):
            core_hours[kind] += seconds * share / _HOUR
    for one in state.departures:
        busy = sum(state.spent.get(one.worker, ())) / one.n_workers
        core_hours[IDLE] += max(0.0, one.time - one.begin - busy) * one.cpus / _HOUR
    used = state.used
    memory = None
    if used.peak and typical is not None:
        memory = used.peak * typical.n_workers + max(one.peak for one in state.departures)
    cpus = None
    if used.wall and typical is not None:
        cpus = used.cpu / used.wall * typical.n_workers
    asked = None
    if typical is not None:
        asked = {
            "cpus": typical.cpus,
            "n_workers": typical.n_workers,
            "memory": typical.memory,
            "time": typical.limit,
        }
    found: dict[str, Any] = {
        "workers": {"left": len(left), "lost": len(state.spent.keys() - left.keys())},
        "asked": asked,
        "used": {
            "cpus": cpus,
            "memory": memory,
            "trial_memory": used.peak or None,
            "time": max((one.time - one.begin for one in state.departures), default=None),
        },
        "core_hours": core_hours,
    }
    measured = used.wall >= _ENOUGH
    found["done"] = state.is_done
    return {**found, "advice": list(_advice(found, typical, measured))}


def _advice(
    found: Mapping[str, Any], typical: ev.LeaveWorker | None, measured: bool
) -> Iterator[str]:
    """Yield what to ask for next time, as far as the figures say."""
    if typical is None:
        return
    cpus, memory = found["used"]["cpus"], found["used"]["memory"]
    if measured and cpus < _WELL_USED * typical.cpus:
        wanted = max(typical.n_workers, math.ceil(cpus / _BUSY))
        if wanted < typical.cpus:
            yield f"--cpus-per-task {wanted}: trials kept {cpus:.1f} of {typical.cpus} CPUs busy"
    if memory is not None:
        room = math.ceil(memory * _HEADROOM / _ROUND) * _ROUND
        told = f"a worker and its trials had {memory_size(memory)} at most"
        if typical.memory is None or room < _WELL_USED * typical.memory:
            yield f"--mem {room // _MIB}M: {told}"
        elif memory > typical.memory / _HEADROOM:
            yield f"--mem {room // _MIB}M: {told}, of {memory_size(typical.memory)}"
    longest, is_done = found["used"]["time"], found["done"]
    if is_done and measured and typical.limit is not None:
        # All of it was done within that time; a job has to last for the notice, too.
        minutes = max(_SHORTEST, math.ceil(longest * _HEADROOM / 60))
        if minutes * 60 < typical.limit / 2:
            yield f"--time {minutes}: no worker took longer than {duration(longest)}"
    hours = found["core_hours"]
    whole = sum(hours.values())
    if whole and hours[IDLE] > (1 - _WELL_USED) * whole:
        yield "a smaller --array: workers were idle for a good part of their time"


def resource_lines(title: str, found: Mapping[str, Any]) -> list[str]:
    """Return what a person is told of :func:`resources`."""
    lines = [f"{title}: resources"]
    asked, used = found["asked"] or {}, found["used"]
    rows = (
        ("CPUs of a worker", asked.get("cpus"), used["cpus"], lambda value: f"{value:.2g}"),
        ("memory of a worker", asked.get("memory"), used["memory"], memory_size),
        ("time of a worker", asked.get("time"), used["time"], duration),
    )
    for name, wanted, had, shown in rows:
        told = "unknown" if had is None else shown(had)
        of = "" if wanted is None else f" of {shown(wanted)} asked for"
        lines.append(f"  {name + ':':<20} {told}{of}")
    hours = found["core_hours"]
    whole = sum(hours.values())
    parts = [
        f"{kind} {value:.3g} ({value / whole:.0%})" for kind, value in hours.items() if value
    ] if whole else []  # fmt: skip
    lines.append(f"  {'core-hours:':<20} {whole:.3g}{': ' if parts else ''}{', '.join(parts)}")
    if found["asked"] is None and whole:
        lines.append("  No worker has left yet: how many CPUs each has isn't known, 1 is taken.")
    if lost := found["workers"]["lost"]:
        workers = f"{lost} workers" if lost > 1 else "1 worker"
        lines.append(f"  Of {workers}, at work or lost, the trials alone are counted.")
    lines += [f"  Next time: {text}" for text in found["advice"]]
    return lines
