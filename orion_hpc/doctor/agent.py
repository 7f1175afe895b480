"""The agent of ``orion-hpc doctor``: runs the coordinator's commands on a compute node.

It first reports the facts of its node. Coordinator and agents share a folder: one channel holds
the coordinator's orders, and each agent has a channel for its answers. The orders:

=========================  =====================================================================
``try locks``              try each kind of lock while the coordinator holds all of them
``contend``                send ``started``, then take the lock repeatedly until ``enough``
``append``, ``count``      append so many trials, beside a process that only reads the journal
``turn``, ``label``        one agent only: append one trial, without reading first
``look``, ``labels``       report which of these trials aren't found in the journal
``answer``, ``party``,     one agent only: send ``started``, then answer so many of the
``rounds``                 coordinator's trials, each with a trial of its own, once it reads them
``leave``                  exit
=========================  =====================================================================

Each order has the numbers of its agents in ``parties``; an answer has the number of its order.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from orion_hpc.doctor import lock_trial
from orion_hpc.doctor.channel import Channel
from orion_hpc.doctor.host_facts import gather_facts
from orion_hpc.doctor.probes import Rehearsal
from orion_hpc.errors import OrionHpcError, StorageError

ORDERS = "orders"
BRIEF = "brief.json"

ANSWER_TIME = 30.0
"""Seconds for which either side waits for the other's trial."""

MISSING_TIME = 20.0
"""Seconds until a trial that was acknowledged and isn't found counts as lost: some clients cache
the old length of a file for that long."""

_APPEAR = 15.0
"""Seconds for the folder to appear: a client may cache for that long that it doesn't exist."""

_PAUSE = 0.05
_LOOK = 0.1

Messages: TypeAlias = list[dict[str, Any]]


def channel_of(folder: str, party: int) -> Channel:
    """Return the channel of a job's answers."""
    return Channel(os.path.join(folder, f"answers-{party}"))


def ask_label(party: int, turn: int) -> str:
    """Return the label of the coordinator's trial that ``party`` answers."""
    return f"ask {party} {turn}"


def answer_label(party: int, turn: int) -> str:
    """Return the label of the answer."""
    return f"answer {party} {turn}"


def turn_label(party: int, turn: int) -> str:
    """Return the label of a trial that is appended in turn."""
    return f"turn {party} {turn}"


def own_labels(party: int, count: int) -> list[str]:
    """Return the labels of a party's trials; the coordinator is party -1."""
    return [f"trial {party} {turn}" for turn in range(count)]


def run_agent(folder: str) -> None:
    """Run an agent until the coordinator ends it.

    Raises
    ------
    StorageError
        This host can't read the folder.
    """
    brief = _read_brief(folder)
    party = _claim_number(folder, brief["tasks"])
    if party is None:  # a task that was started twice
        return
    _Agent(folder, party, brief["patience"]).run()


def _read_brief(folder: str) -> dict[str, Any]:
    deadline = time.monotonic() + _APPEAR
    while True:
        try:
            with open(os.path.join(folder, BRIEF), encoding="utf-8") as file:
                brief: dict[str, Any] = json.load(file)
                return brief
        except (OSError, ValueError) as error:
            if time.monotonic() > deadline:
                reason = getattr(error, "strerror", None) or str(error)
                node = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
                raise StorageError(
                    f"{node} can't read {folder}: {reason}",
                    "The database has to lie where all nodes see it under the same path.",
                ) from error
        time.sleep(_PAUSE)


def _claim_number(folder: str, tasks: int) -> int | None:
    """Return the first free number below ``tasks``, and claim it.

    Slurm's task ids don't do: in an array that was split they start at 0 in each part.
    """
    for party in range(tasks):
        place = os.path.join(folder, f"place-{party}")
        try:
            os.mkdir(place, 0o700)
            return party
        except OSError as error:
            # sshfs has one error for everything that a server refuses.
            if error.errno != errno.EEXIST and not os.path.isdir(place):
                raise
    return None


class _Agent:
    def __init__(self, folder: str, party: int, patience: float) -> None:
        self._folder = folder
        self._party = party
        self._patience = patience
        self._orders = Channel(os.path.join(folder, ORDERS))
        self._answers = channel_of(folder, party)
        self._rehearsal: Rehearsal | None = None

    def run(self) -> None:
        try:
            self._run()
        finally:
            if self._rehearsal is not None:
                self._rehearsal.close()

    def _run(self) -> None:
        self._answers.send({"arrived": asdict(gather_facts(self._folder, os.environ))})
        done, since = 0, time.monotonic()
        while time.monotonic() - since < self._patience:
            orders = self._received()
            if orders is None:
                return
            for number, order in enumerate(orders[done:], done):
                if order["do"] == "leave":
                    return
                if self._party in order.get("parties", ()):
                    self._execute(number, order)
                    since = time.monotonic()
            done = len(orders)
            time.sleep(_PAUSE)

    def _received(self) -> Messages | None:
        """Return the orders so far; None once the folder was removed."""
        try:
            return self._orders.messages()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # such as a stale file handle
            return []

    def _execute(self, number: int, order: Mapping[str, Any]) -> None:
        steps: dict[str, Callable[[int, Mapping[str, Any]], Mapping[str, Any]]] = {
            "try locks": self._try_locks,
            "contend": self._contend,
            "append": self._append,
            "turn": self._turn,
            "look": self._look,
            "answer": self._answer,
        }
        step = steps.get(order["do"])
        if step is None:
            return
        try:
            result = step(number, order)
        except (OrionHpcError, OSError, KeyError) as error:
            result = {"trouble": str(error).partition("\n")[0] or type(error).__name__}
        self._answers.send({"order": number, "done": True, **result})

    def _begin(self, number: int) -> Rehearsal:
        if self._rehearsal is None:
            self._rehearsal = Rehearsal(self._folder)
        self._answers.send({"order": number, "started": True})
        return self._rehearsal

    def _try_locks(self, number: int, order: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"tried": lock_trial.tried(self._folder)}

    def _contend(self, number: int, order: Mapping[str, Any]) -> Mapping[str, Any]:
        begin, next_look, over = time.monotonic(), 0.0, False

        def enough() -> bool:
            nonlocal next_look, over
            now = time.monotonic()
            if not over and now >= next_look:
                next_look = now + _LOOK
                orders = self._received()
                over = orders is None or len(orders) > number + 1
            return over or now - begin > self._patience

        return asdict(self._begin(number).contend(enough))

    def _append(self, number: int, order: Mapping[str, Any]) -> Mapping[str, Any]:
        rehearsal = self._begin(number)
        rehearsal.start_reader()
        for label in own_labels(self._party, order["count"]):
            rehearsal.append(label)
        return {}

    def _turn(self, number: int, order: Mapping[str, Any]) -> Mapping[str, Any]:
        self._begin(number).append(order["label"])
        return {}

    def _look(self, number: int, order: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"missing": self._begin(number).missing(order["labels"], MISSING_TIME)}

    def _answer(self, number: int, order: Mapping[str, Any]) -> Mapping[str, Any]:
        rehearsal = self._begin(number)
        for turn in range(order["rounds"]):
            if not rehearsal.sees(ask_label(self._party, turn), ANSWER_TIME):
                return {"unseen": turn}
            rehearsal.append(answer_label(self._party, turn))
        return {}
