"""Tells whether what workers were told is so, from their notes and the journal on the server.

The journal is judged twice: an acknowledged value has to stand in the file's bytes, and a fresh
reader of a copy, on a local file system, has to give it for its trial.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orion_hpc.client import get_experiment
from tests.rigs.nfs.workers import NAME


@dataclass(frozen=True)
class Note:
    """One line of a worker's notes."""

    writer: str
    what: str
    trial: str = ""
    attempt: int = 0
    value: float = 0.0
    count: int = 0
    told: str = ""
    at: float = 0.0
    """Seconds of its host's monotonic clock."""


class Notebook:
    """The notes of all workers that write into some folders, each worker's in its order."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._read: dict[Path, tuple[int, list[Note]]] = {}

    def notes(self, of: str = "") -> list[Note]:
        """All that was noted until now, by workers whose name begins so."""
        found = []
        for path in sorted(path for folder in self._folders for path in folder.glob("*.notes")):
            if path.name.startswith(of):
                found += self._notes_of(path)
        return found

    def _notes_of(self, path: Path) -> list[Note]:
        offset, notes = self._read.get(path, (0, []))
        with path.open("rb") as file:
            file.seek(offset)
            # The last line may be under way; a worker that is killed may leave half of one.
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            notes = notes + [_note(path.stem, json.loads(line)) for line in whole.splitlines()]
            self._read[path] = offset + len(whole) + 1, notes
        return notes


def _note(writer: str, line: dict[str, Any]) -> Note:
    told = f"{line['kind']}: {line['told']}" if "kind" in line else line.get("told", "")
    return Note(
        writer,
        line["what"],
        line.get("trial", ""),
        line.get("attempt", 0),
        line.get("value", 0.0),
        line.get("count", 0),
        told,
        line.get("at", 0.0),
    )


def having(notes: Iterable[Note], what: str) -> list[Note]:
    """Those of one kind."""
    return [note for note in notes if note.what == what]


def problems(
    notes: Sequence[Note],
    journal: Path,
    limit: int | None = None,
    bearable: tuple[str, ...] = (),
) -> list[str]:
    """What was promised to workers and isn't so; nothing if all is well.

    Parameters
    ----------
    notes : sequence of Note
        Of all who worked on the experiment.
    journal : Path
        A copy of the server's file.
    limit : int, optional
        How many trials there are to be in the end.
    bearable : tuple of str
        What the troubles that workers may have been told of begin with.
    """
    return [
        *_missing(having(notes, "acknowledged"), journal.read_bytes()),
        *_doubled(notes),
        *_unbearable(having(notes, "trouble"), bearable),
        *_differing(notes, journal, limit),
        *_damage(journal),
    ]


def _missing(acknowledged: Sequence[Note], data: bytes) -> list[str]:
    """Acknowledged values that the file's bytes don't hold (as pickle's BINFLOAT)."""
    return [
        f"{note.writer}: trial {note.trial} was acknowledged, and its value isn't in the file"
        for note in acknowledged
        if b"G" + struct.pack(">d", note.value) not in data
    ]


def _doubled(notes: Sequence[Note]) -> list[str]:
    reserved = Counter((note.trial, note.attempt) for note in having(notes, "reserved"))
    told = Counter(note.trial for note in having(notes, "acknowledged"))
    return [
        *(f"attempt {attempt} of trial {trial} was given to {count}"
          for (trial, attempt), count in reserved.items() if count > 1),
        *(f"trial {trial} was acknowledged {count} times"
          for trial, count in told.items() if count > 1),
    ]  # fmt: skip


def _unbearable(troubles: Sequence[Note], bearable: tuple[str, ...]) -> list[str]:
    """What workers were told, each message once: they say it each second."""
    told = Counter(note.told for note in troubles if not note.told.startswith(bearable))
    return [f"{count} times a worker was told: {text}" for text, count in told.items()]


def _differing(notes: Sequence[Note], journal: Path, limit: int | None) -> list[str]:
    try:
        trials = get_experiment(NAME, storage=journal).fetch_trials()
    except Exception as error:
        return [f"a fresh reader can't read the file: {type(error).__name__}: {error}"]
    completed = {
        one.id: one.objective.value
        for one in trials
        if one.status == "completed" and one.objective is not None
    }
    found = []
    acknowledged = having(notes, "acknowledged")
    for note in acknowledged:
        if note.trial not in completed:
            found.append(f"{note.writer}: trial {note.trial} was acknowledged, and isn't completed")
        elif completed[note.trial] != note.value:
            found.append(f"{note.writer}: trial {note.trial} has another value than acknowledged")
    # Who was killed or told of a trouble may have been recorded without knowing it.
    begun = {(note.trial, note.value) for note in having(notes, "observing")}
    for trial, value in completed.items():
        if (trial, value) not in begun:
            found.append(f"trial {trial} is completed with a value that nobody observed")
    if limit is not None and len(completed) != limit:
        statuses = dict(Counter(one.status for one in trials))
        found.append(f"{limit} trials were to complete; there are {statuses}")
    return found


def _damage(journal: Path) -> list[str]:
    """What the product's own check says of the file."""
    done = subprocess.run(
        [sys.executable, "-m", "orion_hpc", "db", "check", journal],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [f"db check: {done.stdout}{done.stderr}"] if done.returncode else []
