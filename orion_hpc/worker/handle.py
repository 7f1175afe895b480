"""The trial as the user's function sees it, where ``trial_arg`` names an argument for it.

Its values are fixed when the attempt begins, except whether to stop. The function's other arguments
are left to ``function``.
"""

from __future__ import annotations

import copy
import time
from typing import Any

from orion_hpc.executors.trial_process import notices
from orion_hpc.sharedfs.layout import make_folder
from orion_hpc.worker.shutdown import read_notice
from orion_hpc.worker.task import TrialTask

_POLL = 0.1
"""Seconds. A function may read it in its innermost loop, and the notice is on a shared disk."""


class TrialHandle:
    """An attempt at a trial."""

    __slots__ = ("_next_look", "_noticed", "_stop_requested", "_task", "params")

    params: dict[str, Any]
    """The hyperparameters, nested as in the space; the function's own to change."""

    def __init__(self, task: TrialTask) -> None:
        self._task = task
        self._noticed = notices()
        self._stop_requested = False
        self._next_look = 0.0
        self.params = copy.deepcopy(task.params)

    @property
    def id(self) -> str:
        """32 hex digits that name this point of the space."""
        return self._task.id

    @property
    def number(self) -> int:
        """0, 1, 2, … in the experiment."""
        return self._task.number

    @property
    def attempt(self) -> int:
        """1 at first, and one more whenever the trial is begun again."""
        return self._task.attempt

    @property
    def parent(self) -> str | None:
        """The :attr:`id` of the trial that this one goes on from, None if there is none."""
        return self._task.parent

    @property
    def resumed(self) -> bool:
        """Whether an earlier attempt, or the trial that this one goes on from, may have left
        something in :attr:`working_dir`."""
        return self._task.attempt > 1 or self._task.parent is not None

    @property
    def working_dir(self) -> str:
        """The trial's own directory, the same for all its attempts; created when first used."""
        make_folder(self._task.working_dir)
        return self._task.working_dir

    @property
    def stop_requested(self) -> bool:
        """Whether the function should save its state in :attr:`working_dir` and end soon.

        It ends by raising :class:`orion_hpc.TrialInterrupted`, and is called again another time,
        with :attr:`resumed`. May be read often: the value is up to 0.1 s old.
        """
        if not self._stop_requested and (now := time.monotonic()) >= self._next_look:
            self._next_look = now + _POLL
            self._stop_requested = notices() > self._noticed or bool(read_notice(self._task.notice))
        return self._stop_requested

    def __repr__(self) -> str:
        return f"<trial {self.number} of {self._task.experiment!r}, attempt {self.attempt}>"
