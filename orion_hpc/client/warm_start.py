"""Lets an experiment learn from another one of the same space: its completed trials are history.

They are copied into the journal of the one that learns, so that no worker needs the other file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from orion_hpc.config.settings import Settings
from orion_hpc.errors import ConfigurationError, NoConfigurationError, did_you_mean
from orion_hpc.model import event as ev
from orion_hpc.model.space import Space
from orion_hpc.model.state import State
from orion_hpc.model.trial import Params, Results
from orion_hpc.storage.base import Storage
from orion_hpc.storage.pickleddb import PickledDB

_AT_ONCE = 500
"""Trials in one event."""


class Source(NamedTuple):
    """What there is to learn. ``skipped`` counts completed trials that aren't in the space."""

    title: str
    trials: list[tuple[Params, Results]]
    skipped: int


def source_of(settings: Settings) -> Source | None:
    """Return the trials that ``warm_start`` names, None where it names nothing. Writes nothing.

    Raises
    ------
    ConfigurationError
        There is no such database or experiment, it is this very one, or it has another space.
    StorageError
        The database can't be read.
    """
    wanted = settings.warm_start
    if wanted is None:
        return None
    path, name, version = wanted["storage"] or settings.storage, wanted["name"], wanted["version"]
    if not os.path.exists(path):
        raise NoConfigurationError(
            f"warm_start names the experiment {name!r} in {path}, which isn't there",
            "Write warm_start: {name: first, storage: ./old.pkl}.",
        )
    storage = PickledDB(path, follows=lambda one: one.name == name)
    try:
        state = storage.refresh()
    finally:
        storage.close()
    found = state.find(name, version)
    if found is None:
        names = sorted({one.name for one in state.experiments.values()})
        which = "" if version is None else f" version {version}"
        raise NoConfigurationError(
            f"warm_start names the experiment {name!r}{which}, which isn't in "
            f"{path}{did_you_mean(name, names)}",
            f"There are: {', '.join(names[:20]) or 'none'}.",
        )
    same_file = os.path.realpath(path) == os.path.realpath(settings.storage)
    if same_file and name == settings.name and settings.version in (None, found.version):
        raise ConfigurationError(
            f"warm_start names {found.title}, which is this experiment itself",
            "Name another one, or leave it out: an experiment always goes on from its own trials.",
        )
    space = settings.parsed_space()
    theirs = Space.parse(found.configuration["space"])
    if list(theirs) != list(space):
        raise ConfigurationError(
            f"warm_start names {found.title}, which has other dimensions: {', '.join(theirs)}",
            f"This one has {', '.join(space)}. They need the same names.",
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
        trials.append((trial.params, trial.results or []))
    return Source(f"{found.title} in {os.path.realpath(path)}", trials, skipped)


def learn(storage: Storage, number: int, settings: Settings, now: float) -> list[str]:
    """Write what there is to learn into the journal, once; return a line on what was written."""
    source = source_of(settings)
    if source is None:
        return []
    parts = [
        source.trials[first : first + _AT_ONCE]
        for first in range(0, max(1, len(source.trials)), _AT_ONCE)
    ]

    def decide(state: State) -> Sequence[ev.Event]:
        # What an earlier one learned from there stands, though there may be more by now.
        if source.title in state.experiments[number].sources:
            return []
        return [
            ev.LearnTrials(source.title, place, tuple(part), now)
            for place, part in enumerate(parts)
        ]

    known = source.title in storage.refresh().experiments[number].sources
    if known:
        return []
    storage.transact(number, decide)
    left_out = f" ({source.skipped} aren't in the space)" if source.skipped else ""
    count = len(source.trials)
    return [f"learned {count} trial{'s' * (count != 1)} of {source.title}{left_out}"]
