"""The trial that a user's function gets, if ``trial_arg`` names an argument for it.

Its values are fixed when the attempt begins, except whether to stop. The function's other arguments
are left to ``function``.
"""

from __future__ import annotations

import copy
import time
from typing import Any

from orion_hpc.executors.trial_process import notices
from orion_hpc.model.trial_record import RESERVED, TrialRecord
from orion_hpc.sharedfs.layout import make_folder
from orion_hpc.worker.shutdown import read_notice
from orion_hpc.worker.task import TrialTask
from orion_hpc.worker.trial_view import Home, Parent, TrialView

_POLL = 0.1
"""Seconds. A function may read it in its innermost loop, and the notice is on a shared disk."""


class TrialHandle(TrialView):
    """An attempt at a trial."""

    __slots__ = ("_next_look", "_noticed", "_stop_requested", "_task", "params")

    params: dict[str, Any]
    """The hyperparameters, nested as in the space; the function's own to change."""

    def __init__(self, task: TrialTask) -> None:
        record = TrialRecord(
            task.number,
            task.flat_params,
            task.submit_time,
            status=RESERVED,
            attempt=task.attempt,
            worker=task.worker,
            start_time=task.start_time,
            imported_id=task.id,
        )
        parent = None
        if task.parent is not None and task.parent_dir is not None:
            parent = Parent(task.parent, task.parent_dir)
        home = Home(task.experiment, task.version, task.fidelity)
        super().__init__(record, home, task.working_dir, parent)
        self._task = task
        self._noticed = notices()
        self._stop_requested = False
        self._next_look = 0.0
        self.params = copy.deepcopy(task.params)

    @property
    def working_dir(self) -> str:
        """The trial's own directory, the same for all its attempts; created when first used."""
        make_folder(self._folder)
        return self._folder

    @property
    def exp_working_dir(self) -> str:
        """The directory that holds those of all trials; created when first used."""
        folder = super().exp_working_dir
        make_folder(folder)
        return folder

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
