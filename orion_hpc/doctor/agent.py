"""What a job of ``orion-hpc doctor`` does: tells what its node is like, and does as it is bidden.

The command and its jobs share a folder. The command's channel holds orders; each job has one of
its own for its answers. The words:

=========================  =====================================================================
``try locks``              try each kind of lock while the command holds all
``contend``                say ``started``, then take the lock again and again until ``enough``
``append``, ``count``      append so many trials, beside a process that only reads the journal
``turn``, ``label``        one party only: append one trial, without a look before
``look``, ``labels``       say which of these trials aren't found in the journal
``answer``, ``party``,     one party only: say ``started``, then answer so many of the command's
``rounds``                 trials by one of its own, as soon as it sees them
``leave``                  the end
=========================  =====================================================================

Each carries the ``parties`` that it is for, and an answer the number of its order.
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
from orion_hpc.doctor.host_facts import look_around
from orion_hpc.doctor.probes import Rehearsal
from orion_hpc.errors import OrionHpcError, StorageError

ORDERS = "orders"
BRIEF = "brief.json"

ANSWER_TIME = 30.0
"""Seconds for which either side looks for the other's trial."""

MISSING_TIME = 20.0
"""Seconds for which is looked for a trial that was acknowledged, before it is called lost: some
clients keep an old length of a file for so long."""

_APPEAR = 15.0
"""Seconds for the folder to be seen: a client may remember for so long that it wasn't there."""

_PAUSE = 0.05
_LOOK = 0.1

Heard: TypeAlias = list[dict[str, Any]]


def channel_of(folder: str, party: int) -> Channel:
    """Return the channel of a job's answers."""
    return Channel(os.path.join(folder, f"answers-{party}"))


def ask_label(party: int, turn: int) -> str:
    """Return what the command's trial is called that ``party`` answers."""
    return f"ask {party} {turn}"


def answer_label(party: int, turn: int) -> str:
    """Return what the answer is called."""
    return f"answer {party} {turn}"


def turn_label(party: int, turn: int) -> str:
    """Return what a trial is called that is appended in turn."""
    return f"turn {party} {turn}"


def own_labels(party: int, count: int) -> list[str]:
    """Return what a party's trials are called; the command itself is party -1."""
    return [f"trial {party} {turn}" for turn in range(count)]


def attend(folder: str) -> None:
    """Be one of the parties until there is nothing left to do.

    Raises
    ------
    StorageError
        The folder isn't seen from here.
    """
    brief = _read_brief(folder)
    party = _take_place(folder, brief["tasks"])
    if party is None:  # a task that was started twice
        return
    _Party(folder, party, brief["patience"]).attend()


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


def _take_place(folder: str, tasks: int) -> int | None:
    """Return the first number below ``tasks`` that nobody has taken.

    Slurm's own numbers begin anew in each part of an array that was split.
    """
    for party in range(tasks):
        place = os.path.join(folder, f"place-{party}")
        try:
            os.mkdir(place, 0o700)
            return party
        except OSError as error:
            # sshfs knows but one error for all that a server refuses.
            if error.errno != errno.EEXIST and not os.path.isdir(place):
                raise
    return None


class _Party:
    def __init__(self, folder: str, party: int, patience: float) -> None:
        self._folder = folder
        self._party = party
        self._patience = patience
        self._orders = Channel(os.path.join(folder, ORDERS))
        self._answers = channel_of(folder, party)
        self._rehearsal: Rehearsal | None = None

    def attend(self) -> None:
        try:
            self._attend()
        finally:
            if self._rehearsal is not None:
                self._rehearsal.close()

    def _attend(self) -> None:
        self._answers.say({"arrived": asdict(look_around(self._folder, os.environ))})
        done, since = 0, time.monotonic()
        while time.monotonic() - since < self._patience:
            orders = self._heard()
            if orders is None:
                return
            for number, order in enumerate(orders[done:], done):
                if order["do"] == "leave":
                    return
                if self._party in order.get("parties", ()):
                    self._obey(number, order)
                    since = time.monotonic()
            done = len(orders)
            time.sleep(_PAUSE)

    def _heard(self) -> Heard | None:
        """Return the orders so far; None once the folder is gone."""
        try:
            return self._orders.heard()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # a stale handle, say
            return []

    def _obey(self, number: int, order: Mapping[str, Any]) -> None:
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
            told = step(number, order)
        except (OrionHpcError, OSError, KeyError) as error:
            told = {"trouble": str(error).partition("\n")[0] or type(error).__name__}
        self._answers.say({"order": number, "done": True, **told})

    def _begin(self, number: int) -> Rehearsal:
        if self._rehearsal is None:
            self._rehearsal = Rehearsal(self._folder)
        self._answers.say({"order": number, "started": True})
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
                orders = self._heard()
                over = orders is None or len(orders) > number + 1
            return over or now - begin > self._patience

        return asdict(self._begin(number).contend(enough))

    def _append(self, number: int, order: Mapping[str, Any]) -> Mapping[str, Any]:
        rehearsal = self._begin(number)
        rehearsal.be_watched()
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
