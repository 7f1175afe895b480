"""The location of an experiment: a database file, the memory of this process, or a third party's
storage. Opens storages and names the folders of trials and workers; what a storage does is in
:mod:`orion_hpc.journal`."""

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
from orion_hpc.worker.recovery import ExperimentFiles

MEMORY = "ephemeraldb"
FILE = "pickleddb"
_BUILTIN = {
    FILE: "orion_hpc.journal.pickleddb:PickledDB",
    MEMORY: "orion_hpc.journal.memory:MemoryStorage",
}


class Place:
    """The location of an experiment; the same interface for all kinds of storage.

    Parameters
    ----------
    path : str, optional
        Path of the database file.
    opener : Opener, optional
        Opens a third party's storage. Without ``path`` and ``opener`` the storage is in memory.
    name : str
        Name of the kind of storage; a path takes its place.
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
        """Whether other processes may use the storage."""
        return self.path is not None or self._opener is not None

    def create(self, spec: ExperimentSpec) -> Storage:
        """Open the storage for writing; create a file that doesn't exist."""
        if self.path is None:
            return self.open(lambda one: one.name == spec.name)
        return PickledDB.create(
            self.path, lambda one: one.name == spec.name, spec.lock, spec.allow_group
        )

    def open_if_there(self, follows: Callable[[ExperimentState], bool]) -> Storage | None:
        """Open the storage as :meth:`open` does; return None if the file doesn't exist."""
        if self.path is not None and not creation.is_there(self.path):
            return None
        return self.open(follows)

    def open(self, follows: Callable[[ExperimentState], bool]) -> Storage:
        """Open the storage for a further reader and writer.

        Raises
        ------
        StorageUnusable
            The file doesn't exist.
        """
        if self._opener is not None:
            return self._opener(follows)
        if self.path is None:
            return MemoryStorage(self._journal, follows)
        return PickledDB(self.path, follows)

    def discard(self) -> None:
        """Remove the temporary folder of a storage in memory."""
        if self._cleanup is not None:
            self._cleanup()
            self._cleanup = self._folder = None

    def files_of(self, experiment: ExperimentState) -> ExperimentFiles:
        """Return the locations of the files of the experiment's workers."""
        return ExperimentFiles.beside(self._base(), experiment, self.is_shared)

    def _base(self) -> str:
        """Return the path beside which the files lie.

        For a storage in memory it is in a temporary folder, which is removed with this object.
        """
        if self.path is not None:
            return self.path
        if self._folder is None:
            self._folder = tempfile.mkdtemp(prefix="orion-hpc-")
            self._cleanup = weakref.finalize(self, _remove, self._folder, os.getpid())
        return f"{self._folder}/db.pkl"


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a fork that exits must not remove its parent's folder
        shutil.rmtree(folder, ignore_errors=True)


def place_of(storage: Any) -> Place | None:
    """Return the location that an Oríon storage configuration names; None for a database file.

    Raises
    ------
    ConfigurationError
        The storage is unknown; the message lists the known ones.
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
