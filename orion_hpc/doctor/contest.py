"""The probes that ``orion-hpc doctor`` makes together with its agents.

The agents' side is :mod:`orion_hpc.doctor.agent`. Each step has a deadline; an agent that doesn't
answer by then is left out of the next step.
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
"""The coordinator's number among the parties."""

_CONTENTION = 4.0
"""Seconds."""

_TRIALS = 20
"""Appended by each party at the same time as by the others."""

_ROUNDS, _TURNS = 3, 3
_BEGIN_TIME, _END_TIME = 30.0, 120.0
"""Seconds for the agents to begin an order, and to complete it."""

_Message = Mapping[str, Any]


class Contest:
    """Sends orders to the agents and collects their answers.

    Parameters
    ----------
    folder : str
        The folder for all files of the check; the channels are created in it.
    tasks : int
        How many agents were started.
    """

    def __init__(self, folder: str, tasks: int) -> None:
        self._folder = folder
        self._orders = Channel(os.path.join(folder, agent.ORDERS))
        self._answers = [agent.channel_of(folder, party) for party in range(tasks)]
        self._given = 0
        self._parties: dict[int, str] = {}
        for channel in (self._orders, *self._answers):
            channel.create()

    def arrivals(self) -> dict[int, _Message]:
        """Return the facts that each agent reported when it started."""
        return {
            party: message["arrived"]
            for party in range(len(self._answers))
            for message in self._received(party)
            if isinstance(message.get("arrived"), dict)
        }

    def end(self) -> None:
        """Send all agents the order to exit; raise OSError if that fails."""
        self._give("leave")

    def steps(
        self,
        parties: Mapping[int, str],
        apart: Collection[int],
        rehearsal: Rehearsal,
        found: Findings,
    ) -> Iterator[str]:
        """Make all probes with ``parties``; yield what is being done.

        Parameters
        ----------
        parties : mapping of int to str
            The agents' numbers and the names of their nodes.
        apart : collection of int
            Those that use another client of the file system than this host.
        rehearsal : Rehearsal
            The coordinator's part.
        found : Findings
            Receives the results.
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
        """Hold a lock of each kind while the agents try to take it."""
        what = "trying which locks reach other hosts"
        with lock_trial.held(self._folder) as trouble:
            number = self._give("try locks", self._parties)
            answers = yield from self._done(what, number, self._parties)
        for party, answer in answers.items():
            kinds = answer.get("tried")
            if not isinstance(kinds, dict):
                kinds = dict.fromkeys(lock_trial.KINDS, str(answer.get("trouble", "")))
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
        for party, answer in answers.items():
            found.parts.append(
                LockReport(
                    self._parties[party],
                    int(answer.get("held", 0)),
                    int(answer.get("overlaps", 0)),
                    str(answer.get("trouble", "")),
                )
            )
        self._leave_out(answers, found)

    def _append(self, rehearsal: Rehearsal, found: Findings) -> Iterator[str]:
        what = "appending to a journal"
        number = yield from self._begun(what, "append", self._parties, count=_TRIALS)
        wanted = agent.own_labels(HERE, _TRIALS)
        try:
            rehearsal.start_reader()
            for label in wanted:
                rehearsal.append(label)
        except OrionHpcError as error:
            found.journal_trouble.append(f"this host: {error.message}")
        answers = yield from self._done(what, number, self._parties)
        for party, answer in answers.items():
            if answer.get("trouble"):
                found.journal_trouble.append(f"{self._parties[party]}: {answer['trouble']}")
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
        """Append in turn with each agent; return the labels that were acknowledged.

        The host whose turn it is opens the file for writing without reading first, while its
        reader process has the last page of before in the cache. Where the client doesn't fetch
        that page again, the append writes the old page over what the other host has just written.
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
                answer = answers.get(party)
                if answer is None:
                    found.silent.append(self._parties.pop(party))
                elif answer.get("trouble"):
                    found.journal_trouble.append(f"{self._parties[party]}: {answer['trouble']}")
                    return done
                else:
                    done.append(other)
        return done

    def _look(self, rehearsal: Rehearsal, found: Findings, wanted: Sequence[str]) -> Iterator[str]:
        """Let all parties look for all trials that were acknowledged."""
        what = "looking for what was appended"
        number = self._give("look", self._parties, labels=wanted)
        missing = {"this host": rehearsal.missing(wanted, agent.MISSING_TIME)}
        answers = yield from self._done(what, number, self._parties)
        for party, answer in answers.items():
            if answer.get("trouble"):
                found.journal_trouble.append(f"{self._parties[party]}: {answer['trouble']}")
            missing.setdefault(self._parties[party], []).extend(answer.get("missing", ()))
        self._leave_out(answers, found)
        lost = {label for labels in missing.values() for label in labels}
        found.expected, found.appended = len(wanted), len(wanted) - len(lost)
        found.lost = {name: len(set(labels)) for name, labels in missing.items() if labels}

    def _measure(self, rehearsal: Rehearsal, found: Findings) -> Iterator[str]:
        """Let each agent in turn answer appends of this host; half of the time is one way."""
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
            if len(found.blind) > 1:  # each takes long, and two are enough
                return

    # -- orders and answers ----------------------------------------------------------------------

    def _give(self, do: str, parties: Collection[int] = (), **more: Any) -> int:
        """Send an order; return its number."""
        self._orders.send({"do": do, "parties": list(parties), **more})
        self._given += 1
        return self._given - 1

    def _begun(
        self, what: str, do: str, parties: Collection[int], **more: Any
    ) -> Generator[str, None, int]:
        """Send an order and wait until all have begun; return its number."""
        number = self._give(do, parties, **more)

        def all_begun() -> bool:
            return all(self._message(party, number, "started") for party in parties)

        yield from _until(all_begun, _BEGIN_TIME, what)
        return number

    def _done(
        self, what: str, number: int, parties: Collection[int]
    ) -> Generator[str, None, dict[int, _Message]]:
        """Wait until all have completed an order; return their answers, by party."""
        answers: dict[int, _Message] = {}

        def all_done() -> bool:
            for party in parties:
                if party not in answers and (message := self._message(party, number, "done")):
                    answers[party] = message
            return len(answers) == len(parties)

        yield from _until(all_done, _END_TIME, what)
        return answers

    def _message(self, party: int, number: int, word: str) -> _Message | None:
        for message in self._received(party):
            if message.get("order") == number and (message.get(word) or message.get("done")):
                return message
        return None

    def _received(self, party: int) -> list[dict[str, Any]]:
        try:
            return self._answers[party].messages()
        except OSError:  # such as a stale file handle: the next read may succeed
            return []

    def _leave_out(self, answers: Collection[int], found: Findings) -> None:
        for party in [party for party in self._parties if party not in answers]:
            found.silent.append(self._parties.pop(party))


def _until(true: Callable[[], bool], seconds: float, what: str) -> Iterator[str]:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        yield what
