"""Where an experiment of the Python API lives: a database file, or the memory of this process."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from orion_hpc.config.settings import Settings
from orion_hpc.files import layout
from orion_hpc.model.state import ExperimentState
from orion_hpc.storage.base import Storage
from orion_hpc.storage.heartbeat import Heartbeat, Watch
from orion_hpc.storage.memory import MemoryStorage, SharedJournal
from orion_hpc.storage.pickleddb import PickledDB
from orion_hpc.worker.recovery import Recovery

_IN_MEMORY = "ephemeraldb"


class Place:
    """What can be asked of both kinds alike.

    Parameters
    ----------
    path : str or None
        Of the database file; None for memory.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._journal = SharedJournal()
        self._folder: str | None = None

    def create(self, settings: Settings) -> Storage:
        """Open the storage to write into; a file that isn't there is made."""
        if self.path is None:
            return MemoryStorage(self._journal)
        return PickledDB.create(
            self.path, lambda one: one.name == settings.name, settings.lock, settings.allow_group
        )

    def open(self, follows: Callable[[ExperimentState], bool]) -> Storage:
        """Open it for one more reader and writer; StorageUnusable where there is no such file."""
        if self.path is None:
            return MemoryStorage(self._journal, follows)
        return PickledDB(self.path, follows)

    def folder_of(self, experiment: ExperimentState) -> Callable[[int], str]:
        """Return what gives a trial's working directory by its number."""
        return layout.trial_folders(
            self._base(), experiment.title, experiment.configuration["working_dir"]
        )

    def heartbeat(
        self, experiment: ExperimentState, name: str, interval: float, about: dict[str, Any]
    ) -> Heartbeat | None:
        """Return what tells others that this worker lives; nobody needs to know it in memory."""
        if self.path is None:
            return None
        return Heartbeat(self._signs(experiment), name, interval, about)

    def recovery(self, experiment: ExperimentState, interval: float) -> Recovery:
        """Return what finds lost workers."""
        watch = Watch(self._signs(experiment), interval)
        return Recovery(watch, self.folder_of(experiment))

    def _signs(self, experiment: ExperimentState) -> str:
        return layout.workers_folder(self._base(), experiment.title)

    def _base(self) -> str:
        """Return the path beside which files go: in memory, in a folder that ends with this."""
        if self.path is not None:
            return self.path
        if self._folder is None:
            folder = tempfile.TemporaryDirectory(prefix="orion-hpc-")
            weakref.finalize(self, folder.cleanup)
            self._folder = folder.name
        return f"{self._folder}/db.pkl"


def is_in_memory(storage: Any) -> bool:
    """Return whether Oríon's configuration of a storage asks for one in memory."""
    if not isinstance(storage, Mapping):
        return False
    kind = str(storage.get("type", "")).lower()
    return kind == _IN_MEMORY or (kind == "legacy" and is_in_memory(storage.get("database")))
