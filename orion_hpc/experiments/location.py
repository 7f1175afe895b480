"""Where an experiment of the Python API lives: a database file, the memory of this process, or a
third party's storage."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from orion_hpc import plugins
from orion_hpc.config.experiment_spec import ExperimentSpec
from orion_hpc.journal import creation
from orion_hpc.journal.base import Opener, Storage
from orion_hpc.journal.memory import MemoryStorage, SharedJournal
from orion_hpc.journal.pickleddb import PickledDB
from orion_hpc.model.state import ExperimentState
from orion_hpc.sharedfs import layout
from orion_hpc.worker.recovery import ExperimentFiles

MEMORY = "ephemeraldb"
FILE = "pickleddb"
_BUILTIN = {
    FILE: "orion_hpc.journal.pickleddb:PickledDB",
    MEMORY: "orion_hpc.journal.memory:MemoryStorage",
}


class Place:
    """What can be asked of all kinds alike.

    Parameters
    ----------
    path : str, optional
        Of the database file.
    opener : Opener, optional
        Of a third party's storage, which is called ``name``. With neither it is memory.
    name : str
    """

    def __init__(
        self, path: str | None = None, opener: Opener | None = None, name: str = MEMORY
    ) -> None:
        self.path = path
        self.name = path or name
        self._opener = opener
        self._journal = SharedJournal()
        self._folder: str | None = opener.folder if opener is not None else None
        self._cleanup: Callable[[], object] | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other processes may be at work on it."""
        return self.path is not None or self._opener is not None

    def create(self, spec: ExperimentSpec) -> Storage:
        """Open the storage to write into; a file that isn't there is made."""
        if self.path is None:
            return self.open(lambda one: one.name == spec.name)
        return PickledDB.create(
            self.path, lambda one: one.name == spec.name, spec.lock, spec.allow_group
        )

    def open_if_there(self, follows: Callable[[ExperimentState], bool]) -> Storage | None:
        """Open it, as :meth:`open` does; return None where there is no such file."""
        if self.path is not None and not creation.is_there(self.path):
            return None
        return self.open(follows)

    def open(self, follows: Callable[[ExperimentState], bool]) -> Storage:
        """Open it for one more reader and writer; StorageUnusable where there is no such file."""
        if self._opener is not None:
            return self._opener(follows)
        if self.path is None:
            return MemoryStorage(self._journal, follows)
        return PickledDB(self.path, follows)

    def discard(self) -> None:
        """Remove what memory needed of the disk."""
        if self._cleanup is not None:
            self._cleanup()
            self._cleanup = self._folder = None

    def folder_of(self, experiment: ExperimentState) -> Callable[[int], str]:
        """Return what gives a trial's working directory by its number."""
        return layout.trial_folders(
            self._base(), experiment.title, experiment.configuration["working_dir"]
        )

    def files_of(self, experiment: ExperimentState) -> ExperimentFiles:
        """Return where the files of the experiment's workers lie."""
        return ExperimentFiles.beside(self._base(), experiment, self.is_shared)

    def _base(self) -> str:
        """Return the path beside which files go: in memory, in a folder that ends with this."""
        if self.path is not None:
            return self.path
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="orion-hpc-")
            self._cleanup = weakref.finalize(self, _remove, self._folder, os.getpid())
        return f"{self._folder}/db.pkl"


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # and not a fork that ends
        shutil.rmtree(folder, ignore_errors=True)


def place_of(storage: Any) -> Place | None:
    """Return the place that Oríon's configuration of a storage names; None if it is a file's.

    Raises
    ------
    ConfigurationError
        There is no such storage; the message lists those there are.
    """
    if not isinstance(storage, Mapping):
        return None
    options = {str(key): value for key, value in storage.items()}
    kind = str(options.pop("type", FILE)).lower()
    if kind == "legacy":
        return place_of(options.get("database"))
    if kind == FILE:
        return None
    if kind == MEMORY:
        return Place()
    make = plugins.load("storage", kind, _BUILTIN)
    return Place(opener=make(**options), name=kind)
