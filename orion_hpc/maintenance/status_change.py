"""Sets the status of trials by hand, so that they are run again, or never."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.lookup import check_status, find_trial, the_one, wanted
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model import event as ev
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.model.trial_record import BROKEN, RESERVED, SETTABLE, TrialRecord
from orion_hpc.worker.recovery import release_lost

_MOST_AT_ONCE = 1000
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class StatusChange:
    """The experiment as it is now, the numbers of the trials that were set, how many had the status
    before, and the numbers of those that another process changed at the same moment."""

    experiment: ExperimentState
    numbers: list[int]
    unchanged: int
    missed: list[int]


def set_status(
    storage: str,
    to: str,
    name: str | None = None,
    version: int | None = None,
    trials: Collection[str] = (),
    status: str | None = None,
) -> StatusChange:
    """Set the status of trials of one experiment.

    Parameters
    ----------
    storage : str
    to : {"new", "interrupted", "suspended", "broken"}
    name, version : optional
        As of :func:`~orion_hpc.client.trials.fetch_trials`.
    trials : collection of str
        Numbers or ids.
    status : str, optional
        Instead of ``trials``: all of this status.

    Raises
    ------
    ConfigurationError
        What is asked for can't be: nothing was written.
    StorageError
        The database can't be read or written.
    """
    _check(to, trials, status)
    database = PickledDB(storage, wanted(name, version))
    try:
        found = the_one(database.refresh().experiments.values(), database.path, name, version)
        asked = {find_trial(found, one).number for one in trials}

        def chosen(experiment: ExperimentState) -> list[TrialRecord]:
            if status is not None:
                return sorted(experiment.having(status), key=lambda trial: trial.number)
            return [experiment.trials[number] for number in sorted(asked)]

        if any(trial.status == RESERVED for trial in chosen(found)):
            release_lost(database, found.number)
        return _set(database, found.number, chosen, to)
    finally:
        database.close()


def _check(to: str, trials: Collection[str], status: str | None) -> None:
    check_status(to)
    if status is not None:
        check_status(status)
    if to not in SETTABLE:
        raise ConfigurationError(
            f"a trial can't be set to {to!r}: only a worker brings it there",
            f"It can be set to {', '.join(sorted(SETTABLE))}.",
        )
    if bool(trials) == (status is not None):
        raise ConfigurationError(
            "it must be said which trials are to be set, in one way",
            "Give their numbers or ids with --trial, or the status they have now with --status.",
        )


def _set(
    database: PickledDB,
    number: int,
    chosen: Callable[[ExperimentState], list[TrialRecord]],
    to: str,
) -> StatusChange:
    done: list[int] = []
    unchanged, first = 0, True
    missed: list[int] = []
    while True:
        events: list[ev.SetStatus] = []

        def plan(state: State, events: list[ev.SetStatus] = events) -> Sequence[ev.Event]:
            nonlocal unchanged, first
            experiment = state.experiments[number]
            past = {*done, *missed}
            trials = [trial for trial in chosen(experiment) if trial.number not in past]
            if first:
                unchanged = sum(trial.status == to for trial in trials)
            trials = [trial for trial in trials if trial.status != to]
            _refuse_reserved(experiment, trials)
            _refuse_beyond_budget(experiment, trials, to)
            first = False
            now = time.time()
            events[:] = [
                ev.SetStatus(trial.number, trial.attempt, to, now)
                for trial in trials[:_MOST_AT_ONCE]
            ]
            return events

        experiment = database.transact(number, plan).experiments[number]
        for event in events:
            good = experiment.trials[event.number].status == to
            (done if good else missed).append(event.number)
        if len(events) < _MOST_AT_ONCE:
            return StatusChange(experiment, done, unchanged, missed)


def _refuse_reserved(experiment: ExperimentState, trials: Sequence[TrialRecord]) -> None:
    reserved = [trial for trial in trials if trial.status == RESERVED]
    if reserved:
        numbers = ", ".join(str(trial.number) for trial in reserved[:_MOST_SHOWN])
        numbers += ", …" if len(reserved) > _MOST_SHOWN else ""
        one = len(reserved) == 1
        raise ConfigurationError(
            f"{'trial' if one else 'trials'} {numbers} of {experiment.title} "
            f"{'is' if one else 'are'} reserved by {reserved[0].worker}"
            + ("" if one else " and others"),
            "Stop the worker and try again; if it is gone already, 'orion-hpc submit CONFIG' takes "
            "the trial from it. Nothing was changed.",
        )


def _refuse_beyond_budget(
    experiment: ExperimentState, trials: Sequence[TrialRecord], to: str
) -> None:
    if to == BROKEN or experiment.max_trials is None:
        return
    back = sum(trial.status == BROKEN for trial in trials)
    wanted = len(experiment.trials) - experiment.count(BROKEN) + back
    if back and wanted > experiment.max_trials:
        raise ConfigurationError(
            f"other trials have taken the place of broken ones: with {back} of them back there "
            f"would be {wanted} in {experiment.title}, and max_trials is {experiment.max_trials}",
            "Set fewer of them, or make room first with 'orion-hpc submit CONFIG --max-trials "
            f"{wanted}'. Nothing was changed.",
        )
