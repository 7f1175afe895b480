"""Warm start: an experiment learns from the completed trials of another one of the same space.

The trials are copied once into the journal of the experiment that learns, so that neither workers
nor later submissions need the other database. :mod:`orion_hpc.experiments.batches` limits the size
of the transactions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.errors import ConfigurationError, NoConfigurationError, did_you_mean
from orion_hpc.experiments.batches import largest
from orion_hpc.experiments.location import Place
from orion_hpc.journal import creation
from orion_hpc.journal.base import Storage
from orion_hpc.model import event as ev
from orion_hpc.model.result import STATISTIC
from orion_hpc.model.state import ExperimentState, State
from orion_hpc.model.trial_record import Params, Results
from orion_hpc.text import counted


class Source(NamedTuple):
    """The trials to learn.

    Attributes
    ----------
    title : str
        The experiment and its database.
    trials : list of (dict, list)
        Parameters and results.
    skipped : int
        Number of completed trials that aren't in the space.
    """

    title: str
    trials: list[tuple[Params, Results]]
    skipped: int


def to_learn(
    spec: ExperimentSpec, experiment: ExperimentState | None, place: Place
) -> Source | None:
    """Return the trials that ``warm_start`` names; None if it names none or they are learned.

    Writes nothing.

    Parameters
    ----------
    spec : ExperimentSpec
    experiment : ExperimentState or None
        The experiment of ``spec``, with its trials; None if it doesn't exist yet.
    place : Place
        The location of the experiment.

    Raises
    ------
    ConfigurationError
        The database or the experiment doesn't exist, it is the experiment of ``spec`` itself, or
        its space has other dimensions.
    StorageError
        The database can't be read.
    """
    wanted = spec.warm_start
    if wanted is None or (experiment is not None and _is_learned(wanted, experiment, place)):
        return None
    where = place if wanted["storage"] is None else Place(wanted["storage"])
    found = _find(spec, wanted, where, _is_same(where, place))
    space, theirs = spec.space, found.configuration.get("space") or {}
    if sorted(theirs) != sorted(space):
        raise ConfigurationError(
            f"warm_start names {found.title}, which has other dimensions: "
            f"{', '.join(theirs) or 'none'}",
            f"This one has {', '.join(space)}. Both need the same names.",
        )
    trials: list[tuple[Params, Results]] = []
    skipped = 0
    for number in found.completions:
        trial = found.trials[number]
        try:
            space.check(trial.params)
        except ConfigurationError:
            skipped += 1
            continue
        # No algorithm uses statistics, and they may be large.
        results = [one for one in trial.results or [] if one["type"] != STATISTIC]
        trials.append((trial.params, results))
    return Source(f"{found.title} in {_path(where)}", trials, skipped)


def learn(storage: Storage, number: int, source: Source | None, now: float) -> list[str]:
    """Write the trials to learn into the journal; return a line on what was written, if anything.

    This may take several transactions. An interrupted copy is continued.

    Parameters
    ----------
    storage : Storage
    number : int
        Number of the experiment that learns.
    source : Source or None
        The trials to learn, if any.
    now : float
        Seconds since the epoch.
    """
    if source is None:
        return []
    title, trials = source.title, source.trials
    before = storage.state.experiments[number].sources.get(title, (0, 0))

    def missing(state: ExperimentState) -> bool:
        # A complete copy isn't extended, though the source may have more trials by now.
        return title not in state.sources or title in state.half_learned

    def decide(state: State) -> Sequence[ev.Event]:
        learner = state.experiments[number]
        if not missing(learner):
            return []
        part, count = learner.sources.get(title, (0, 0))

        def event(first: int, last: int) -> ev.LearnTrials:
            return ev.LearnTrials(title, part, tuple(trials[first:last]), now, last < len(trials))

        return [largest(event, min(count, len(trials)), len(trials))]

    if not missing(storage.state.experiments[number]):
        return []
    while missing(storage.state.experiments[number]):
        storage.transact(number, decide)
    count = storage.state.experiments[number].sources[title][1] - before[1]
    skipped = f" ({source.skipped} skipped: not in the space)" if source.skipped else ""
    return [f"learned {counted(count, 'trial')} of {title}{skipped}"]


def _is_learned(wanted: Mapping[str, Any], learner: ExperimentState, own: Place) -> bool:
    """Return whether the wanted experiment is completely copied; without a version, any version."""
    path = _path(own if wanted["storage"] is None else Place(str(wanted["storage"])))
    for source in learner.sources.keys() - learner.half_learned:
        # A name may have " in " in it, too, but a version has not.
        head = f"{wanted['name']}-v"
        version, _, there = source.removeprefix(head).partition(" in ")
        # If the database was moved, an experiment that it learned from itself moved with it.
        moved = path == _path(own) and not os.path.exists(there)
        same = source.startswith(head) and str(wanted["version"] or version) == version
        if same and (there == path or moved):
            return True
    return False


def _find(
    spec: ExperimentSpec, wanted: Mapping[str, Any], where: Place, is_here: bool
) -> ExperimentState:
    """Return the experiment to learn from."""
    name, version = str(wanted["name"]), wanted["version"]
    if where.path is not None and not creation.is_there(where.path):
        raise NoConfigurationError(
            f"warm_start names the experiment {name!r} in {where.path}, which doesn't exist",
            "Write warm_start: {name: first, storage: ./old.pkl}, or leave it out.",
        )
    storage = where.open(lambda one: one.name == name)
    try:
        state = storage.refresh()
    finally:
        storage.close()
    there = {one.version: one for one in state.experiments.values() if one.name == name}
    own = (spec.version or max(there, default=1)) if name == spec.name and is_here else 0
    others = there.keys() - {own}
    if version == own or (version is None and own and not others):
        raise ConfigurationError(
            f"warm_start names {name}-v{own}, which is this experiment itself",
            f"To learn from it, create the next version: version: {own + 1}. An experiment always "
            "uses its own trials.",
        )
    found = there.get(int(version) if version is not None else max(others, default=0))
    if found is None:
        names = sorted({one.name for one in state.experiments.values()})
        which = "" if version is None else f" version {version}"
        raise NoConfigurationError(
            f"warm_start names the experiment {name!r}{which}, which isn't in "
            f"{where.name}{did_you_mean(name, names)}",
            f"There are: {', '.join(names[:20]) or 'none'}.",
        )
    return found


def _is_same(one: Place, other: Place) -> bool:
    return one is other or (one.path is not None and _path(one) == _path(other))


def _path(place: Place) -> str:
    return place.name if place.path is None else os.path.realpath(place.path)
