"""Reads what the live view of an experiment shows, again and again.

The journal is read on from where it was read last, without the lock. Slurm is asked seldom: many
people may watch.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from orion_hpc.config.settings import Settings
from orion_hpc.errors import StorageError
from orion_hpc.experiments.live_view import Line, live_lines, regret
from orion_hpc.experiments.lookup import the_one, wanted
from orion_hpc.experiments.status import summary_of
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import STATUSES

_SUMMARY_AGE = 5.0
"""Seconds between looks at the workers' signs of life."""

_QUEUE_AGE = 30.0
"""Seconds between questions to Slurm."""


class Look(NamedTuple):
    """What was seen of an experiment."""

    state: ExperimentState
    summary: dict[str, Any]
    regret: list[float]


class LiveStatus:
    """An experiment that is watched.

    Raises
    ------
    NoConfigurationError, StorageError
        There is no such experiment, or the database can't be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._storage = settings.storage
        self._database = PickledDB(settings.storage, wanted(settings.name, settings.version))
        experiments = self._database.refresh().experiments.values()
        found = the_one(experiments, settings.storage, settings.name, settings.version)
        self._number = found.number
        self._summary: dict[str, Any] = {}
        self._summary_time = self._queue_time = float("-inf")
        self._regret: list[float] = []
        self._seen: Look | None = None

    def look(self) -> Look:
        """Return the current state; workers, tasks and regret may be some seconds old.

        Raises
        ------
        StorageError
            The database can't be read now.
        """
        state = self._database.refresh().experiments[self._number]
        now = time.monotonic()
        if now - self._summary_time >= _SUMMARY_AGE or state.is_done:
            asks = now - self._queue_time >= _QUEUE_AGE
            before = self._summary.get("queue")
            self._summary = summary_of(state, self._storage, asks)
            if asks:
                self._queue_time = now
            else:
                self._summary["queue"] = before
            self._summary_time = now
            self._regret = regret(state)
        counts = {status: state.count(status) for status in STATUSES}
        return Look(state, {**self._summary, "trials": counts}, self._regret)

    def lines(self, width: int) -> tuple[list[Line], bool]:
        """Return the lines of the live view, and whether the experiment has ended.

        As long as the database can't be read, as while its server restarts, they are the last ones
        that could be, with the reason.
        """
        trouble: list[Line] = []
        try:
            self._seen = self.look()
        except StorageError as error:
            if self._seen is None:
                raise
            trouble = [[(f"Not up to date: {error.message}", "bold red")]]
        state = self._seen.state
        ended = (state.is_done or not state.is_open) and not trouble
        return [*live_lines(*self._seen, width, time.time()), *trouble], ended

    def close(self) -> None:
        """Close the database."""
        self._database.close()
