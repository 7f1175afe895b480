"""The trial as the user's function sees it, where ``trial_arg`` names an argument for it.

Reads only; what it tells was fixed when the attempt began. The function's other arguments are left
to ``function``.
"""

from __future__ import annotations

import copy
from typing import Any

from orion_hpc.files.layout import make_folder
from orion_hpc.worker.task import TrialTask


class TrialHandle:
    """An attempt at a trial."""

    __slots__ = ("_task", "params")

    params: dict[str, Any]
    """The hyperparameters, nested as in the space; the function's own to change."""

    def __init__(self, task: TrialTask) -> None:
        self._task = task
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
    def resumed(self) -> bool:
        """Whether an earlier attempt may have left something in :attr:`working_dir`."""
        return self._task.attempt > 1

    @property
    def working_dir(self) -> str:
        """The trial's own directory, the same for all its attempts; created when first used."""
        make_folder(self._task.working_dir)
        return self._task.working_dir

    @property
    def stop_requested(self) -> bool:
        """Whether the function should save its state and return soon."""
        return False

    def __repr__(self) -> str:
        return f"<trial {self.number} of {self._task.experiment!r}, attempt {self.attempt}>"
