"""Compares the resources that an experiment requested and used, and advises for the next run. Pure.

The figures come from the journal: each attempt's measurements, and each worker's when it left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orion_hpc.experiments.progress import duration
from orion_hpc.model import event as ev
from orion_hpc.model.history import KINDS
from orion_hpc.model.state import ExperimentState
from orion_hpc.text import memory_size

_HOUR = 3600.0
_HEADROOM = 1.25
"""Factor on the largest observed use: another trial may need somewhat more."""
_MIB = 1024**2
_ROUND = 256 * _MIB

_BUSY = 0.9
"""Target share of a worker's CPUs in use."""

_SHORTEST = 10
"""Minutes of a job; a shorter one would spend its time on its start and its stop notice."""

_WELL_USED = 0.75
"""Share of the CPUs or of the memory in use above which no advice is given."""

_ENOUGH = 60.0
"""Seconds of measured trials below which their processor time isn't significant."""

IDLE = "idle"


def cpu_shares(state: ExperimentState) -> Callable[[str | None], float]:
    """Return the number of CPUs that a trial has, by its worker's name.

    Of a worker that didn't leave in order it is unknown; then it is that of the last one that did.
    """
    left = {one.worker: one for one in state.departures}
    typical = _typical(state)

    def share(worker: str | None) -> float:
        facts = left.get(worker or "", typical)
        return facts.cpus / facts.n_workers if facts else 1.0

    return share


def _typical(state: ExperimentState) -> ev.LeaveWorker | None:
    return max(state.departures, key=lambda one: one.time, default=None)


def resources(state: ExperimentState) -> dict[str, Any]:
    """Return the requested and the used resources; an unknown figure is None.

    Returns
    -------
    dict
        ``workers`` (``left``: workers that ended in order; ``lost``: the others, also those that
        still run), ``asked`` (requested for a worker: ``cpus``, ``n_workers``, ``memory`` in bytes,
        ``time`` in seconds), ``used`` (``cpus``: CPUs of a worker in use on average; ``memory``:
        peak bytes of a worker; ``trial_memory``: peak bytes of a trial; ``time``: longest run of a
        worker in seconds), ``core_hours`` (by the outcome of attempts, and ``idle``), ``done``,
        ``advice`` (texts).
    """
    left = {one.worker: one for one in state.departures}
    typical = _typical(state)
    share = cpu_shares(state)
    core_hours = dict.fromkeys((*KINDS, IDLE), 0.0)
    for worker, spent in state.spent.items():
        for kind, seconds in zip(KINDS, spent, strict=True):
            core_hours[kind] += seconds * share(worker) / _HOUR
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
    """Yield the options of sbatch to change next time, each with its reason."""
    if typical is None:
        return
    cpus, memory = found["used"]["cpus"], found["used"]["memory"]
    if measured and cpus < _WELL_USED * typical.cpus:
        wanted = max(typical.n_workers, math.ceil(cpus / _BUSY))
        if wanted < typical.cpus:
            yield f"--cpus-per-task {wanted}: trials kept {cpus:.1f} of {typical.cpus} CPUs busy"
    if memory is not None:
        room = math.ceil(memory * _HEADROOM / _ROUND) * _ROUND
        reason = f"a worker and its trials used {memory_size(memory)} at most"
        if typical.memory is None or room < _WELL_USED * typical.memory:
            yield f"--mem {room // _MIB}M: {reason}"
        elif memory > typical.memory / _HEADROOM:
            yield f"--mem {room // _MIB}M: {reason}, of {memory_size(typical.memory)}"
    longest, is_done = found["used"]["time"], found["done"]
    if is_done and measured and typical.limit is not None:
        # The longest worker ran this long; the headroom includes the time for the stop notice.
        minutes = max(_SHORTEST, math.ceil(longest * _HEADROOM / 60))
        if minutes * 60 < typical.limit / 2:
            yield f"--time {minutes}: no worker took longer than {duration(longest)}"
    hours = found["core_hours"]
    whole = sum(hours.values())
    if whole and hours[IDLE] > (1 - _WELL_USED) * whole:
        yield "a smaller --array: workers were idle for a good part of their time"


def resource_lines(title: str, found: Mapping[str, Any]) -> list[str]:
    """Return the lines of the report on :func:`resources`."""
    lines = [f"{title}: resources"]
    asked, used = found["asked"] or {}, found["used"]
    rows = (
        ("CPUs of a worker", asked.get("cpus"), used["cpus"], lambda value: f"{value:.2g}"),
        ("memory of a worker", asked.get("memory"), used["memory"], memory_size),
        ("time of a worker", asked.get("time"), used["time"], duration),
    )
    for name, wanted, had, shown in rows:
        value = "unknown" if had is None else shown(had)
        of = "" if wanted is None else f" of {shown(wanted)} requested"
        lines.append(f"  {name + ':':<20} {value}{of}")
    hours = found["core_hours"]
    whole = sum(hours.values())
    parts = [
        f"{kind} {value:.3g} ({value / whole:.0%})" for kind, value in hours.items() if value
    ] if whole else []  # fmt: skip
    lines.append(f"  {'core-hours:':<20} {whole:.3g}{': ' if parts else ''}{', '.join(parts)}")
    if found["asked"] is None and whole:
        lines.append(
            "  No worker has ended yet: the CPUs of each aren't known, and 1 each is assumed."
        )
    if lost := found["workers"]["lost"]:
        workers = f"{lost} workers" if lost > 1 else "1 worker"
        lines.append(f"  Of {workers}, running or lost, only the trials are counted.")
    lines += [f"  Next time: {text}" for text in found["advice"]]
    return lines
