"""Selects and reads the logs of the jobs and the trials of an experiment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from orion_hpc.errors import ConfigurationError
from orion_hpc.experiments.launch_logs import job_logs, line_from_end
from orion_hpc.model.state import ExperimentState
from orion_hpc.model.trial_record import TrialRecord
from orion_hpc.sharedfs import layout
from orion_hpc.sharedfs.process_identity import Identity
from orion_hpc.worker.script_results import LOG


def worker_logs(experiment: ExperimentState, worker: str) -> list[str]:
    """Return the paths of the logs of one worker's job.

    ``worker`` is its name, as ``status`` shows it, or its job: ``12_3``, ``12``.
    """
    who = Identity.parse(worker)
    job = (who.job if who else worker).partition(".")[0].removeprefix("local-")
    mine = re.compile(rf"(.*[^0-9])?{re.escape(job)}[^0-9].*") if job else None
    return [
        path for path in job_logs(experiment) if mine and mine.fullmatch(os.path.basename(path))
    ]


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
            "Give a worker as 'orion-hpc status --json' names it, or a job id such as 12_3.",
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """New content of a log; ``title`` is its path, ``''`` for the log of the previous piece."""

    title: str
    content: bytes


class Logs:
    """Reads several logs: first the last lines, and then what is appended.

    Parameters
    ----------
    lines : int or None
        How many lines of each log to begin with; None: all.
    """

    def __init__(self, lines: int | None) -> None:
        self._lines = lines
        self._read: dict[str, int] = {}
        self._last = ""

    def look(self, paths: Sequence[str]) -> Iterator[Piece]:
        """Yield what was appended to ``paths`` since the last call; skip unreadable files."""
        for path in paths:
            try:
                with open(path, "rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    begin = self._read.get(path)
                    if begin is None:
                        begin = 0 if self._lines is None else line_from_end(file, size, self._lines)
                    elif begin > size:  # the log was truncated
                        begin = 0
                    file.seek(begin)
                    content = file.read(size - begin)
            except OSError:
                continue
            self._read[path] = begin + len(content)
            if content:
                yield Piece("" if path == self._last else path, content)
                self._last = path


def failures(trials: Iterable[TrialRecord]) -> Iterator[tuple[str, str]]:
    """Yield a heading and the reason, with its traceback, of each trial that broke."""
    for trial in trials:
        heading = f"trial {trial.number}, attempt {trial.attempt}: {trial.status} ({trial.cause})"
        yield heading, trial.message or "no reason recorded"
