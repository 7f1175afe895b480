"""What ``orion-hpc doctor`` tries out together with its jobs, as one party of several.

The others do as :mod:`orion_hpc.doctor.agent` says. Each step ends by its deadline; who doesn't
answer by then is left out of the next.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from typing import Any

from orion_hpc.doctor import agent, lock_trial
from orion_hpc.doctor.channel import Channel
from orion_hpc.doctor.findings import Findings, LockReport
from orion_hpc.doctor.lock_facts import Tried
from orion_hpc.doctor.probes import Rehearsal
from orion_hpc.errors import OrionHpcError

HERE = -1
"""This host's number among the parties."""

_CONTENTION = 4.0
"""Seconds."""

_TRIALS = 20
"""That each party appends while the others do."""

_ROUNDS, _TURNS = 3, 3
_BEGIN_TIME, _END_TIME = 30.0, 120.0
"""Seconds for the others to begin what they are told, and to be done with it."""

_Message = Mapping[str, Any]


class Trying:
    """Gives the orders that jobs wait for, and hears what they answer.

    Parameters
    ----------
    folder : str
        Which everything lies in; the channels are made there.
    tasks : int
    """

    def __init__(self, folder: str, tasks: int) -> None:
        self._folder = folder
        self._orders = Channel(os.path.join(folder, agent.ORDERS))
        self._answers = [agent.channel_of(folder, party) for party in range(tasks)]
        self._given = 0
        self._parties: dict[int, str] = {}
        for channel in (self._orders, *self._answers):
            channel.create()

    def arrived(self) -> dict[int, _Message]:
        """Return the facts that each task has told when it came."""
        return {
            party: message["arrived"]
            for party in range(len(self._answers))
            for message in self._heard(party)
            if isinstance(message.get("arrived"), dict)
        }

    def dismiss(self) -> None:
        """Have all leave; OSError if they can't be told."""
        self._give("leave")

    def steps(
        self,
        parties: Mapping[int, str],
        apart: Collection[int],
        rehearsal: Rehearsal,
        found: Findings,
    ) -> Iterator[str]:
        """Try everything with ``parties``, tasks with the names of their nodes; yield what.

        Those ``apart`` have another client of the file system than this host.
        """
        self._parties = dict(parties)
        yield from self._try_locks(apart, found)
        if self._parties:
            yield from self._contend(rehearsal, found)
        if self._parties:
            yield from self._append(rehearsal, found)
        if self._parties and not found.journal_trouble and not found.lost:
            yield from self._measure(rehearsal, found)

    # -- the steps -------------------------------------------------------------------------------

    def _try_locks(self, apart: Collection[int], found: Findings) -> Iterator[str]:
        """Hold a lock of each kind, and have the others try for it."""
        what = "trying which locks reach other hosts"
        with lock_trial.held(self._folder) as trouble:
            number = self._give("try locks", self._parties)
            answers = yield from self._done(what, number, self._parties)
        for party, told in answers.items():
            kinds = told.get("tried")
            if not isinstance(kinds, dict):
                kinds = dict.fromkeys(lock_trial.KINDS, str(told.get("trouble", "")))
            found.tried.append(Tried(self._parties[party], party in apart, {**kinds, **trouble}))
        self._leave_out(answers, found)

    def _contend(self, rehearsal: Rehearsal, found: Findings) -> Iterator[str]:
        what = "trying the lock"
        number = yield from self._begun(what, "contend", self._parties)
        end = time.monotonic() + _CONTENTION
        mine = rehearsal.contend(lambda: time.monotonic() > end)
        found.parts.append(LockReport("this host", mine.held, mine.overlaps, mine.trouble))
        self._give("enough")
        answers = yield from self._done(what, number, self._parties)
        for party, told in answers.items():
            found.parts.append(
                LockReport(
                    self._parties[party],
                    int(told.get("held", 0)),
                    int(told.get("overlaps", 0)),
                    str(told.get("trouble", "")),
                )
            )
        self._leave_out(answers, found)

    def _append(self, rehearsal: Rehearsal, found: Findings) -> Iterator[str]:
        what = "appending to a journal"
        number = yield from self._begun(what, "append", self._parties, count=_TRIALS)
        wanted = agent.own_labels(HERE, _TRIALS)
        try:
            rehearsal.be_watched()
            for label in wanted:
                rehearsal.append(label)
        except OrionHpcError as error:
            found.journal_trouble.append(f"this host: {error.message}")
        answers = yield from self._done(what, number, self._parties)
        for party, told in answers.items():
            if told.get("trouble"):
                found.journal_trouble.append(f"{self._parties[party]}: {told['trouble']}")
            wanted += agent.own_labels(party, _TRIALS)
        self._leave_out(answers, found)
        if not answers or found.journal_trouble:
            return
        try:
            wanted += yield from self._take_turns(rehearsal, found)
            yield from self._look(rehearsal, found, wanted)
        except OrionHpcError as error:
            found.journal_trouble.append(f"this host: {error.message}")

    def _take_turns(self, rehearsal: Rehearsal, found: Findings) -> Generator[str, None, list[str]]:
        """Append in turn with each of the others; return what was acknowledged.

        Whose turn it is opens the file for writing without having looked, while its host's reader
        has what was the last page in the cache. Where the client doesn't fetch it anew then, the
        append takes the old page with it, over what the other has just written.
        """
        what = "appending in turn"
        done: list[str] = []
        for turn in range(_TURNS):
            for party in list(self._parties):
                mine, other = agent.turn_label(HERE, len(done)), agent.turn_label(party, turn)
                rehearsal.append(mine)
                done.append(mine)
                number = self._give("turn", [party], label=other)
                answers = yield from self._done(what, number, [party])
                told = answers.get(party)
                if told is None:
                    found.silent.append(self._parties.pop(party))
                elif told.get("trouble"):
                    found.journal_trouble.append(f"{self._parties[party]}: {told['trouble']}")
                    return done
                else:
                    done.append(other)
        return done

    def _look(self, rehearsal: Rehearsal, found: Findings, wanted: Sequence[str]) -> Iterator[str]:
        """Have everybody look for all that was acknowledged."""
        what = "looking for what was appended"
        number = self._give("look", self._parties, labels=wanted)
        missing = {"this host": rehearsal.missing(wanted, agent.MISSING_TIME)}
        answers = yield from self._done(what, number, self._parties)
        for party, told in answers.items():
            if told.get("trouble"):
                found.journal_trouble.append(f"{self._parties[party]}: {told['trouble']}")
            missing.setdefault(self._parties[party], []).extend(told.get("missing", ()))
        self._leave_out(answers, found)
        lost = {label for labels in missing.values() for label in labels}
        found.expected, found.appended = len(wanted), len(wanted) - len(lost)
        found.lost = {name: len(set(labels)) for name, labels in missing.items() if labels}

    def _measure(self, rehearsal: Rehearsal, found: Findings) -> Iterator[str]:
        """Have one party after the other answer appends of this host; half of that is one way."""
        what = "measuring the delay"
        for party, node in self._parties.items():
            yield from self._begun(what, "answer", [party], party=party, rounds=_ROUNDS)
            try:
                for turn in range(_ROUNDS):
                    began = time.monotonic()
                    rehearsal.append(agent.ask_label(party, turn))
                    answer = agent.answer_label(party, turn)
                    if not rehearsal.sees(answer, agent.ANSWER_TIME):
                        found.blind.append(node)
                        break
                    found.delays.setdefault(node, []).append((time.monotonic() - began) / 2)
            except OrionHpcError as error:
                found.journal_trouble.append(f"this host: {error.message}")
                return
            if len(found.blind) > 1:  # each takes long, and two say enough
                return

    # -- orders and answers ----------------------------------------------------------------------

    def _give(self, do: str, parties: Collection[int] = (), **more: Any) -> int:
        """Give an order; return its number."""
        self._orders.say({"do": do, "parties": list(parties), **more})
        self._given += 1
        return self._given - 1

    def _begun(
        self, what: str, do: str, parties: Collection[int], **more: Any
    ) -> Generator[str, None, int]:
        """Give an order, and wait until all have begun; return its number."""
        number = self._give(do, parties, **more)

        def all_begun() -> bool:
            return all(self._said(party, number, "started") for party in parties)

        yield from _until(all_begun, _BEGIN_TIME, what)
        return number

    def _done(
        self, what: str, number: int, parties: Collection[int]
    ) -> Generator[str, None, dict[int, _Message]]:
        """Wait until all are done with an order; return what they said, by party."""
        answers: dict[int, _Message] = {}

        def all_done() -> bool:
            for party in parties:
                if party not in answers and (said := self._said(party, number, "done")):
                    answers[party] = said
            return len(answers) == len(parties)

        yield from _until(all_done, _END_TIME, what)
        return answers

    def _said(self, party: int, number: int, word: str) -> _Message | None:
        for message in self._heard(party):
            if message.get("order") == number and (message.get(word) or message.get("done")):
                return message
        return None

    def _heard(self, party: int) -> list[dict[str, Any]]:
        try:
            return self._answers[party].heard()
        except OSError:  # a stale handle, say; the next look may go well
            return []

    def _leave_out(self, answers: Collection[int], found: Findings) -> None:
        for party in [party for party in self._parties if party not in answers]:
            found.silent.append(self._parties.pop(party))


def _until(true: Callable[[], bool], seconds: float, what: str) -> Iterator[str]:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        yield what
