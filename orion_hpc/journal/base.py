"""What every storage can do, in five methods.

A storage keeps the journal's transactions and replays them; it knows no rule of the experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from orion_hpc.model.event import Event
from orion_hpc.model.state import ExperimentState, State

Plan: TypeAlias = Callable[[State], Sequence[Event]]
"""Decides, on the state as it is now, which events to append; none leaves the journal alone.

It runs while the lock is held: cheap, without I/O, and without effects, since it may be asked
again.
"""


class Opener(Protocol):
    """Opens a third party's storage.

    An entry point of the group ``orion_hpc.storages`` names what makes one: it is called with the
    keys of ``storage: {type: NAME, …}`` but for ``type``.

    Attributes
    ----------
    folder : str
        A directory that all workers see: for their signs of life and the trials' directories.
    """

    folder: str

    def __call__(self, follows: Callable[[ExperimentState], bool]) -> Storage:
        """Return a storage for one reader and writer, which replays what ``follows`` says: see
        :class:`~orion_hpc.model.state.State`."""
        ...


class Storage(Protocol):
    """A journal of transactions and the state that it makes."""

    @property
    def state(self) -> State:
        """The state as of the last ``refresh`` or ``transact``."""
        ...

    def refresh(self) -> State:
        """Replay what was appended since, without taking the lock; return the state."""
        ...

    def transact(self, number: int, plan: Plan) -> State:
        """Append what ``plan`` decides for experiment ``number``, durably; return the state.

        The events are in the journal on return. Whether they *won* only the state tells: look there
        for the trial you hold.

        Raises
        ------
        StorageError
            The transaction may or may not be in the journal; nothing else is.
        """
        ...

    def position(self) -> int:
        """Return a number that grows with each append. Cheap: idle workers watch it."""
        ...

    def close(self) -> None:
        """Let go of files. The storage may be used again and opens them anew."""
        ...
