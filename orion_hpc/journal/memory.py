"""The storage of ``debug`` runs and of tests: a journal in memory, lost with the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from orion_hpc.journal import safe_pickle
from orion_hpc.journal.base import Plan
from orion_hpc.model import wire
from orion_hpc.model.state import ExperimentState, State


class SharedJournal:
    """The journal that several :class:`MemoryStorage` of one process share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.transactions: list[tuple[int, bytes]] = []


class MemoryStorage:
    """One reader and writer of a journal in memory.

    Parameters
    ----------
    journal : SharedJournal, default a new one
        Storages with the same journal are like workers with the same file.
    follows : callable, default everything
        See :class:`~orion_hpc.model.state.State`.
    """

    def __init__(
        self,
        journal: SharedJournal | None = None,
        follows: Callable[[ExperimentState], bool] = lambda experiment: True,
    ) -> None:
        self.journal = journal or SharedJournal()
        self._state = State(follows)
        self._read = 0
        self._writer = os.urandom(8).hex()
        self._counter = 0

    @property
    def state(self) -> State:
        return self._state

    def refresh(self) -> State:
        for number, payload in self.journal.transactions[self._read :]:
            self._read += 1
            if number in self._state.followed:
                self._state.apply(number, *wire.decode_transaction(safe_pickle.loads(payload)))
        return self._state

    def transact(self, number: int, plan: Plan) -> State:
        with self.journal.lock:
            events = plan(self.refresh())
            if events:
                # Pickled and unpickled: so it refuses what a file would refuse, and no reader
                # shares a mutable value with the writer.
                payload = safe_pickle.dumps(
                    wire.encode_transaction(self._writer, self._counter, events)
                )
                wire.decode_transaction(safe_pickle.loads(payload))
                self._counter += 1
                self.journal.transactions.append((number, payload))
        return self.refresh()

    def position(self) -> int:
        return len(self.journal.transactions)

    def close(self) -> None:
        pass
