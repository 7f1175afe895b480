"""The events of the journal: one record for each kind.

Pure data. What an event changes, and when it is refused, is defined in
:mod:`orion_hpc.model.replay_rules`; its wire form and the range of its fields in
:mod:`orion_hpc.model.wire`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from orion_hpc.model.trial_record import Params, Results


class CreateExperiment(NamedTuple):
    """Create an experiment. ``configuration`` is plain data.

    That of an imported experiment has an entry ``imported`` and neither ``function`` nor
    ``command``; a second event, with one of them, adds what is missing. A second event with the
    same space and algorithm, and an entry ``replaces``, changes what the trials run.
    """

    name: str
    version: int
    configuration: dict[str, Any]
    time: float


class RegisterTrial(NamedTuple):
    """Add a point of the space as trial ``number``.

    ``id`` is for an imported trial, which keeps its old id. With a ``worker`` the first attempt is
    also reserved, as workers nearly always do both. ``parent`` is the number of the trial whose
    checkpoint it continues.
    """

    number: int
    params: Params
    time: float
    id: str | None = None
    worker: str | None = None
    parent: int | None = None


class ReserveTrial(NamedTuple):
    """Reserve trial ``number`` for ``worker``; ``attempt`` counts its reservations from 1.

    Here and in the next two kinds, ``time`` is None if it is unknown of an imported trial.
    """

    number: int
    attempt: int
    worker: str
    time: float | None


class CompleteTrial(NamedTuple):
    """Record the results of an attempt.

    Here and in the next kind, ``usage`` is what the attempt used: seconds of processor time and the
    peak of memory in bytes, both including child processes; None if unknown.
    """

    number: int
    attempt: int
    results: Results
    time: float | None
    usage: tuple[float, int] | None = None


class ReleaseTrial(NamedTuple):
    """End an attempt without a result; ``status`` is the trial's new one, ``cause`` the reason."""

    number: int
    attempt: int
    status: str
    cause: str
    message: str
    time: float | None
    usage: tuple[float, int] | None = None


class ChangeLimits(NamedTuple):
    """Change both limits; ``max_trials`` None means no limit."""

    max_trials: int | None
    max_broken: int
    time: float


class StopExperiment(NamedTuple):
    """Refuse further reservations and registrations."""

    reason: str
    time: float


class ResumeExperiment(NamedTuple):
    """Undo a stop."""

    time: float


class ExhaustSpace(NamedTuple):
    """Record that the algorithm has no point for trial ``number``: there will be no more trials."""

    number: int
    time: float


class LaunchJobs(NamedTuple):
    """Record jobs that were started for the experiment, where they log, and what code they run.

    ``commit`` and ``digest`` (SHA-256 of all files) are the project's, None if unknown;
    ``snapshot`` is the folder of its copy, None if the project's own files are run.
    """

    launcher: str
    job_ids: tuple[str, ...]
    folder: str
    time: float
    commit: str | None = None
    digest: str | None = None
    snapshot: str | None = None


class LeaveWorker(NamedTuple):
    """Record the end of a worker: its time and the resources of its job.

    ``memory`` (bytes) and ``limit`` (seconds) are what the job requested, None if unlimited or
    unknown; ``peak`` is the peak of memory of the worker's own process, in bytes.
    """

    worker: str
    begin: float
    time: float
    cpus: int
    n_workers: int
    memory: int | None
    limit: float | None
    peak: int


class LearnTrials(NamedTuple):
    """Add completed trials of another experiment, from which algorithms learn.

    ``trials`` are pairs of params and results, ``source`` describes where they come from. Many
    trials take several events, numbered by ``part`` from 0. ``more``: this isn't the last one.
    """

    source: str
    part: int
    trials: tuple[tuple[Params, Results], ...]
    time: float
    more: bool = False


class SetStatus(NamedTuple):
    """Set trial ``number``, whose latest attempt is ``attempt``, to ``status`` by hand."""

    number: int
    attempt: int
    status: str
    time: float


class RemoveExperiment(NamedTuple):
    """Remove experiment ``number``; its name and version are free again."""

    number: int
    time: float


Event: TypeAlias = (
    CreateExperiment
    | RegisterTrial
    | ReserveTrial
    | CompleteTrial
    | ReleaseTrial
    | ChangeLimits
    | StopExperiment
    | ResumeExperiment
    | ExhaustSpace
    | LaunchJobs
    | LeaveWorker
    | LearnTrials
    | SetStatus
    | RemoveExperiment
)
