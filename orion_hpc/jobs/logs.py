"""Selects and reads the logs of the jobs and the trials of an experiment."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.broken_trials import broken_groups
from orion_hpc.experiments.launch_logs import job_logs, launch_logs, line_from_end
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import TrialRecord
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.worker.script_results import LOG

_RECORD = re.compile(
    rb"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8},[0-9]{3} [A-Z]+ "
    rb"(?:(?P<worker>worker [^ ]+: [0-9]+ CPUs)"
    rb"|trial (?P<trial>[0-9]+): (?:attempt [0-9]+ (?:(?P<starts>starts:)|(?P<ends>[a-z]+:)))?)?"
)
"""A line of the worker in its job's log: its first one, or one on a trial. ``starts`` and ``ends``:
of an attempt."""


def worker_logs(experiment: ExperimentState, worker: str) -> list[str]:
    """Return the paths of the logs of one worker's job.

    ``worker`` is its name, as ``status`` shows it, or its job: ``12_3``, ``12``.
    """
    who = Identity.parse(worker)
    job = (who.job if who else worker).partition(".")[0].removeprefix("local-")
    if not job:
        return []
    named = _naming(job, job_logs(experiment))
    array = job.partition("_")[0]
    for launch in [] if named else experiment.jobs:
        # A pattern of the user's may name no job, as with one log for all.
        if array in launch.job_ids and not _naming(array, logs := launch_logs(launch)):
            return logs
    return named


def _naming(job: str, paths: Iterable[str]) -> list[str]:
    """Return those of ``paths`` that have the job's number in their file's name."""
    mine = re.compile(rf"(.*[^0-9])?{re.escape(job)}[^0-9].*")
    return [path for path in paths if mine.fullmatch(os.path.basename(path))]


def trial_logs(experiment: ExperimentState, database: str, number: int) -> list[str]:
    """Return the paths of the logs with a trial's output: its own log, else its job's."""
    trial = experiment.trials[number]
    folder_of = layout.trial_folders(
        database, experiment.title, experiment.configuration["working_dir"]
    )
    own = os.path.join(folder_of(trial.number), LOG)
    if os.path.isfile(own):
        return [own]
    return worker_logs(experiment, trial.worker) if trial.worker else []


def check_worker(experiment: ExperimentState, worker: str) -> None:
    """Raise ConfigurationError if the worker has no log; see :func:`worker_logs`."""
    if not worker_logs(experiment, worker):
        raise ConfigurationError(
            f"there is no log of a worker or job {worker!r:.100} of {experiment.title}",
            "Give a worker as 'orion-hpc status CONFIG --json' names it, or a job id such as 12_3.",
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """New content of a log; ``title`` is its path, ``''`` for the log of the previous piece."""

    title: str
    content: bytes


class TrialOutput:
    """Filters a worker's log: the lines from the start of one trial to its end.

    The worker's own records mark them. Other trials that the worker ran at the same time wrote
    between the same lines.

    Parameters
    ----------
    number : int
        The trial.

    Attributes
    ----------
    is_mixed : bool
        Whether other trials ran at the same time.
    """

    def __init__(self, number: int) -> None:
        self.is_mixed = False
        self._number = number
        self._rest = b""
        self._phase: Literal["outside", "inside", "behind"] = "outside"
        self._running: set[int] = set()

    def __call__(self, content: bytes) -> bytes:
        *lines, self._rest = (self._rest + content).split(b"\n")
        return b"".join(line + b"\n" for line in lines if self._shows(line))

    def _shows(self, line: bytes) -> bool:
        # What was printed last may have had no line break.
        record = _RECORD.search(line)
        if record is None:
            return self._phase != "outside"
        number = int(record["trial"] or -1)
        if record["worker"]:  # the one before may have been killed
            self._phase = "outside"
            self._running.clear()
        elif record["starts"]:
            self._running.add(number)
        elif record["ends"]:
            self._running.discard(number)
        if number != self._number:
            if self._phase == "behind":
                self._phase = "outside"
        elif record["starts"]:
            self._phase = "inside"
        elif record["ends"]:
            self._phase = "behind"  # a traceback may follow
        self.is_mixed |= self._phase == "inside" and len(self._running) > 1
        return self._phase != "outside"


class Logs:
    """Reads several logs: first the last lines, and then what is appended.

    Parameters
    ----------
    lines : int or None
        How many lines of each log to begin with; None: all.
    trial : int, optional
        Only this trial's part of the workers' logs.
    """

    def __init__(self, lines: int | None, trial: int | None = None) -> None:
        self._lines = lines
        self._trial = trial
        self._filters: dict[str, TrialOutput] = {}
        self._read: dict[str, int] = {}
        self._last = ""

    @property
    def is_mixed(self) -> bool:
        """Whether the trial's part has other trials' output, too."""
        return any(one.is_mixed for one in self._filters.values())

    def look(self, paths: Sequence[str]) -> Iterator[Piece]:
        """Yield what was appended to ``paths`` since the last call; skip unreadable files."""
        for path in paths:
            try:
                content = self._next(path)
            except OSError:
                continue
            if content:
                yield Piece("" if path == self._last else path, content)
                self._last = path

    def _next(self, path: str) -> bytes:
        """Return what of the log at ``path`` is to be shown now."""
        is_new = path not in self._read
        if is_new and self._trial is not None and os.path.basename(path) != LOG:
            self._filters[path] = TrialOutput(self._trial)
        chosen = self._filters.get(path)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            begin = self._read.get(path, 0)
            if begin > size:  # the log was truncated
                begin = 0
            elif is_new and self._lines is not None and chosen is None:
                begin = line_from_end(file, size, self._lines)
            file.seek(begin)
            content = file.read(size - begin)
        self._read[path] = begin + len(content)
        if chosen is None:
            return content
        shown = chosen(content)
        if is_new and self._lines is not None:
            shown = shown[line_from_end(io.BytesIO(shown), len(shown), self._lines) :]
        return shown


def failures(trials: Iterable[TrialRecord]) -> Iterator[tuple[str, str]]:
    """Yield a heading and the reason, with its traceback, of the trials that broke for it."""
    trials = list(trials)
    attempts = {trial.number: trial.attempt for trial in trials}
    for one in broken_groups(trials, whole=True):
        attempt = f", attempt {attempts[one.numbers[0]]}" if len(one.numbers) == 1 else ""
        yield f"{one.trials}{attempt}: broken ({one.cause})", one.message or one.reason
