"""The state that the journal's events make: all experiments of a database, by their numbers.

Which event is accepted is decided in :mod:`orion_hpc.model.replay_rules`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from orion_hpc.errors import NoConfigurationError
from orion_hpc.model import event as ev
from orion_hpc.model.history import ExperimentHistory, with_run
from orion_hpc.model.replay_rules import RULES


@dataclass(slots=True)
class ExperimentState(ExperimentHistory):
    """One experiment, which events change."""

    def apply(self, event: ev.Event) -> bool:
        """Replay one event; return whether it was accepted."""
        return RULES[type(event)](self, event)


CATALOGUE = 0
"""The experiment number under which experiments are created."""


class Experiments(dict[int, ExperimentState]):
    """Experiments by their number. The error for a removed one names it."""

    def __init__(self) -> None:
        super().__init__()
        self.removed: dict[int, str] = {}

    def __missing__(self, number: int) -> NoReturn:
        if number not in self.removed:
            raise KeyError(number)
        raise NoConfigurationError(
            f"the experiment {self.removed[number]} was removed from the database",
            "'orion-hpc submit CONFIG' makes a new one.",
        )


class State:
    """Everything a database holds: the experiments, by the number of their creation from 1.

    Parameters
    ----------
    follows : callable, default everything
        Given an experiment, returns whether to replay its trials. Of the others only the name is
        known; their frames needn't be unpickled.
    """

    def __init__(self, follows: Callable[[ExperimentState], bool] = lambda experiment: True):
        self.experiments = Experiments()
        self.followed: set[int] = {CATALOGUE}
        self._follows = follows
        self._counters: defaultdict[int, dict[str, int]] = defaultdict(dict)
        # A file may create any number of experiments, and each creation looks for its name.
        self._numbers: dict[tuple[str, int], int] = {}

    def find(self, name: str, version: int | None = None) -> ExperimentState | None:
        """Return the experiment of this name and version (None: its highest), or None."""
        if version is not None:
            number = self._numbers.get((name, version))
            return None if number is None else self.experiments[number]
        found = [one for one in self.experiments.values() if one.name == name]
        return max(found, key=lambda experiment: experiment.version, default=None)

    def apply(
        self, number: int, writer: str, counter: int, events: Iterable[ev.Event]
    ) -> Sequence[bool]:
        """Replay one transaction on experiment ``number``; return what was accepted.

        A transaction whose counter isn't above its writer's last one changes nothing. It is a
        repeat: the writer got an error for the first, which was in the journal all the same.
        """
        counters = self._counters[number]
        if counter <= counters.get(writer, -1):
            return [False for _ in events]
        counters[writer] = counter
        experiment = self.experiments.get(number)
        if experiment is not None:
            return [RULES[type(event)](experiment, event) for event in events]
        return [number == CATALOGUE and self._catalogue(event) for event in events]

    def seen(self, number: int, writer: str) -> int:
        """Return the counter of the last transaction of ``writer`` that was replayed, or -1."""
        return self._counters[number].get(writer, -1)

    def _catalogue(self, event: ev.Event) -> bool:
        if isinstance(event, ev.CreateExperiment):
            return self._create(event)
        return isinstance(event, ev.RemoveExperiment) and self._remove(event)

    def _remove(self, event: ev.RemoveExperiment) -> bool:
        # It stays in ``followed``: a writer must find its own transaction on reading.
        removed = self.experiments.pop(event.number, None)
        if removed is None:
            return False
        del self._numbers[removed.name, removed.version]
        self.experiments.removed[event.number] = removed.title
        return True

    def _create(self, event: ev.CreateExperiment) -> bool:
        found = self.find(event.name, event.version)
        if found is not None:
            changed = with_run(found.configuration, event.configuration)
            if changed is None or changed == found.configuration:
                return False
            found.reconfigure(changed)
            return True
        number = len(self.experiments) + len(self.experiments.removed) + 1
        experiment = ExperimentState(
            number=number,
            name=event.name,
            version=event.version,
            configuration=event.configuration,
            create_time=event.time,
            max_trials=event.configuration["max_trials"],
            max_broken=event.configuration["max_broken"],
        )
        self.experiments[number] = experiment
        self._numbers[event.name, event.version] = number
        if self._follows(experiment):
            self.followed.add(number)
        return True
