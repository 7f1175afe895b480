"""The protocol of a storage: five methods.

A storage keeps the journal's transactions and replays them. The rules of replay are the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from orion_hpc.model.event import Event
from orion_hpc.model.state import ExperimentState, State

Plan: TypeAlias = Callable[[State], Sequence[Event]]
"""Returns the events to append, given the present state; none leaves the journal as it is.

It is called while the lock is held, perhaps more than once: so it is cheap, without I/O and without
side effects.
"""


class Opener(Protocol):
    """Opens a third party's storage.

    An entry point of the group ``orion_hpc.storages`` names a factory of such openers. It is called
    with the keys of ``storage: {type: NAME, …}``, except ``type``.

    Attributes
    ----------
    folder : str
        A directory that all workers see, for their heartbeats and the trials' directories.
    """

    folder: str

    def __call__(self, follows: Callable[[ExperimentState], bool]) -> Storage:
        """Return a storage for one reader and writer, which replays the experiments that
        ``follows`` selects: see :class:`~orion_hpc.model.state.State`."""
        ...


class Storage(Protocol):
    """A journal of transactions, and the state that results from it."""

    @property
    def state(self) -> State:
        """The state as of the last ``refresh`` or ``transact``."""
        ...

    def refresh(self) -> State:
        """Replay what was appended since the last call, without the lock; return the state."""
        ...

    def transact(self, number: int, plan: Plan) -> State:
        """Append what ``plan`` decides for experiment ``number``, durably; return the state.

        The events are in the journal on return. Whether they were *accepted* only the state shows:
        look there for the trial that you hold.

        Raises
        ------
        StorageError
            The transaction may or may not be in the journal; nothing else was appended.
        """
        ...

    def position(self) -> int:
        """Return a number that grows with each append. Cheap: idle workers poll it."""
        ...

    def close(self) -> None:
        """Close the files. The storage opens them again when it is used again."""
        ...
