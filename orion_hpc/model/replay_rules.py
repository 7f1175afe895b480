"""The rules of replay: which events are accepted, and what they change in an experiment.

Pure: no clock, no randomness, no I/O. Every reader that replays the same events in the journal's
order gets the same state, so an event that came too late is a no-op for all of them. That, and not
the lock, decides which worker holds a trial.

========================  ========================================================================
event                     accepted when
========================  ========================================================================
create experiment         no experiment has this name and version; or the existing one names nothing
                          to run, and the new one does (the existing space and algorithm stay)
register trial n          n is the next number, no trial is at the same point (an imported trial has
                          an id of its own: no trial has the same), the experiment is open and not
                          exhausted, and completed + live trials < ``max_trials``; with a worker,
                          "reserve trial n, 1" follows at once
reserve trial n, a        the trial is new, interrupted or suspended, a is its last attempt + 1,
                          the experiment is open, and completed + reserved < ``max_trials``
complete trial n, a       a is the latest attempt, and the trial is reserved, or interrupted by a
                          release, and neither reserved again nor set by hand since
release trial n, a        a is the latest attempt and the trial is reserved
set trial n, a            a is the latest attempt, the trial isn't reserved and has another status
                          than the one it is set to, which is new, interrupted, suspended or broken;
                          of a broken one set to anything else, completed + live trials <
                          ``max_trials``
exhaust space n           n is the next number
limits, stop, resume      always
jobs launched             always
learn part p of a source  p is the next part of that source
remove experiment n       it exists; every later event of it is refused
========================  ========================================================================

An experiment is *open* until it is stopped or ``max_broken`` trials are broken.

*Set by hand.* Such a trial belongs to no worker. A result of an earlier attempt is refused, so that
a late worker doesn't complete a trial that the user wants to run again. A completed trial loses its
results and counts as live, or as broken, so the budget stays exact. Its losses are set to 0.

*Removal.* All readers must agree on which names are taken and how experiments are numbered, even a
reader that replays no trial of an experiment. So whether trials are reserved can't matter. Numbers
are never used again.

Creation and removal are rules of :class:`orion_hpc.model.state.State`, the others are here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orion_hpc.model import event as ev
from orion_hpc.model.history import KINDS, ExperimentHistory
from orion_hpc.model.trial_record import (
    BROKEN,
    CANCELLED,
    COMPLETED,
    INTERRUPTED,
    LOST_WORKER,
    NEW,
    PERHAPS_ITS_FAULT,
    RELEASABLE,
    RESERVABLE,
    RESERVED,
    SETTABLE,
    TrialRecord,
)


def _register(state: ExperimentHistory, event: ev.RegisterTrial) -> bool:
    if event.number != len(state.trials) or state.room < 1:
        return False
    number, params, time, id_, worker, parent = event
    if id_ is None:
        added = state.points.add(params)
        if added is None:
            return False
        params = added
    elif id_ in state.imported_ids:
        # The point may be there: Oríon's population based algorithms run one more than once.
        return False
    else:
        state.imported_ids.add(id_)
        params = state.points.add(params) or params
    if worker is None or state.places < 1:
        state.trials.append(TrialRecord(number, params, time))
        state.by_status[NEW][number] = None
    else:
        worker = state.worker_names.setdefault(worker, worker)
        state.trials.append(TrialRecord(number, params, time, RESERVED, 1, worker, time))
        state.by_status[RESERVED][number] = None
    if id_ is not None:
        state.trials[number].imported_id = id_
    if parent is not None:
        state.trials[number].parent = parent
    return True


def _reserve(state: ExperimentHistory, event: ev.ReserveTrial) -> bool:
    number, attempt, worker, time = event
    trial = state.find(number)
    if (
        trial is None
        or trial.status not in RESERVABLE
        or attempt != trial.attempt + 1
        or state.places < 1
    ):
        return False
    state.move(trial, RESERVED)
    trial.attempt = attempt
    trial.worker = state.worker_names.setdefault(worker, worker)
    trial.start_time = time
    trial.end_time = trial.cause = trial.message = None
    return True


def _complete(state: ExperimentHistory, event: ev.CompleteTrial) -> bool:
    trial = state.find(event.number)
    if (
        trial is None
        or trial.status not in (RESERVED, INTERRUPTED)
        or event.attempt != trial.attempt
        # No worker has started it, or it was set by hand since.
        or trial.worker is None
    ):
        return False
    state.move(trial, COMPLETED)
    trial.results = event.results
    trial.end_time = event.time
    trial.cause = trial.message = None
    state.completions.append(trial.number)
    _spend(state, trial, 0, event.usage)
    state.compare(trial)
    return True


def _release(state: ExperimentHistory, event: ev.ReleaseTrial) -> bool:
    trial = state.find(event.number)
    if (
        trial is None
        or trial.status != RESERVED
        or event.attempt != trial.attempt
        or event.status not in RELEASABLE
    ):
        return False
    state.move(trial, event.status)
    trial.end_time = event.time
    trial.cause = event.cause
    trial.message = event.message
    lost = event.cause == LOST_WORKER
    _spend(state, trial, 3 if lost else 1 if event.status == BROKEN else 2, event.usage)
    if event.cause in PERHAPS_ITS_FAULT:
        trial.losses += 1
    return True


def _set(state: ExperimentHistory, event: ev.SetStatus) -> bool:
    trial = state.find(event.number)
    if (
        trial is None
        or trial.status in (RESERVED, event.status)
        or event.attempt != trial.attempt
        or event.status not in SETTABLE
        or (trial.status == BROKEN and not state.fits)
    ):
        return False
    state.forget(trial)
    if trial.status == COMPLETED:
        state.completions.remove(trial.number)
        state.undone += 1
    state.move(trial, event.status)
    # Without a worker no late result is accepted; see _complete.
    trial.worker = trial.start_time = trial.end_time = trial.results = None
    trial.cause = CANCELLED if event.status == BROKEN else None
    trial.message = "set to broken by hand" if event.status == BROKEN else None
    trial.losses = 0
    return True


def _exhaust(state: ExperimentHistory, event: ev.ExhaustSpace) -> bool:
    if event.number != len(state.trials):
        return False
    state.exhausted = True
    return True


def _limits(state: ExperimentHistory, event: ev.ChangeLimits) -> bool:
    state.max_trials = event.max_trials
    state.max_broken = event.max_broken
    return True


def _stop(state: ExperimentHistory, event: ev.StopExperiment) -> bool:
    state.stopped = event.reason
    return True


def _resume(state: ExperimentHistory, event: ev.ResumeExperiment) -> bool:
    state.stopped = None
    return True


def _launched(state: ExperimentHistory, event: ev.LaunchJobs) -> bool:
    state.jobs.append(event)
    return True


def _leave(state: ExperimentHistory, event: ev.LeaveWorker) -> bool:
    state.departures.append(event)
    return True


def _learn(state: ExperimentHistory, event: ev.LearnTrials) -> bool:
    parts, count = state.sources.get(event.source, (0, 0))
    if event.part != parts:  # another process was faster
        return False
    state.sources[event.source] = (parts + 1, count + len(event.trials))
    (state.half_learned.add if event.more else state.half_learned.discard)(event.source)
    for params, results in event.trials:
        trial = TrialRecord(-1 - len(state.learned), params, event.time, COMPLETED, results=results)
        state.learned.append(trial)
    # Algorithms learn it before the trials, so they have to start again.
    state.undone += 1
    return True


def _refuse(state: ExperimentHistory, event: ev.Event) -> bool:
    return False


RULES: dict[type[Any], Callable[[ExperimentHistory, Any], bool]] = {
    ev.CreateExperiment: _refuse,
    ev.RegisterTrial: _register,
    ev.ReserveTrial: _reserve,
    ev.CompleteTrial: _complete,
    ev.ReleaseTrial: _release,
    ev.ChangeLimits: _limits,
    ev.StopExperiment: _stop,
    ev.ResumeExperiment: _resume,
    ev.ExhaustSpace: _exhaust,
    ev.LaunchJobs: _launched,
    ev.LeaveWorker: _leave,
    ev.LearnTrials: _learn,
    ev.SetStatus: _set,
    ev.RemoveExperiment: _refuse,
}


def _spend(
    state: ExperimentHistory, trial: TrialRecord, kind: int, usage: tuple[float, int] | None
) -> None:
    """Add the time of the attempt that has just ended; ``kind`` is an index of KINDS."""
    if trial.worker is None or trial.start_time is None or trial.end_time is None:
        return
    wall = trial.end_time - trial.start_time
    if wall <= 0:  # a clock was changed
        wall = 0.0
    spent = state.spent.get(trial.worker)
    if spent is None:
        spent = state.spent[trial.worker] = [0.0] * len(KINDS)
    spent[kind] += wall
    if usage is not None:
        used = state.used
        used.cpu += usage[0]
        used.wall += wall
        if usage[1] > used.peak:
            used.peak = usage[1]
