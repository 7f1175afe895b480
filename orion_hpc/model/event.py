"""What can be said in the journal: one record for each kind of event.

Pure data. What an event does to the state, and when it is refused, is written in
:mod:`orion_hpc.model.state`; its form on the wire, and which values its fields may have, in
:mod:`orion_hpc.model.wire`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from orion_hpc.model.trial import Params, Results


class CreateExperiment(NamedTuple):
    """Name a new experiment. ``configuration`` is what makes it up (plain data).

    An imported experiment has an entry ``imported`` there and neither ``function`` nor ``command``;
    a second event, with one of them, gives it what it lacks.
    """

    name: str
    version: int
    configuration: dict[str, Any]
    time: float


class RegisterTrial(NamedTuple):
    """Add a point of the space as trial ``number``.

    ``id`` is for an imported trial, which keeps the name that it had. With a ``worker`` this is two
    steps in one, as a worker takes them nearly always: its first attempt is claimed as well.
    ``parent`` is the number of the trial that it goes on from.
    """

    number: int
    params: Params
    time: float
    id: str | None = None
    worker: str | None = None
    parent: int | None = None


class ReserveTrial(NamedTuple):
    """Claim trial ``number`` for ``worker``; ``attempt`` counts its reservations from 1.

    Here and in the two kinds below, ``time`` is None where an imported trial doesn't tell it.
    """

    number: int
    attempt: int
    worker: str
    time: float | None


class CompleteTrial(NamedTuple):
    """Record the results of an attempt.

    Here and in the next kind, ``usage`` is what the attempt used: seconds of processor time, and
    the bytes of memory that it had at most, both with its child processes; None if that isn't
    known.
    """

    number: int
    attempt: int
    results: Results
    time: float | None
    usage: tuple[float, int] | None = None


class ReleaseTrial(NamedTuple):
    """End an attempt without a result; ``status`` is where the trial goes, ``cause`` says why."""

    number: int
    attempt: int
    status: str
    cause: str
    message: str
    time: float | None
    usage: tuple[float, int] | None = None


class ChangeLimits(NamedTuple):
    """Set both limits anew; ``max_trials`` None means no limit."""

    max_trials: int | None
    max_broken: int
    time: float


class StopExperiment(NamedTuple):
    """Let nobody reserve or register any more."""

    reason: str
    time: float


class ResumeExperiment(NamedTuple):
    """Undo a stop."""

    time: float


class ExhaustSpace(NamedTuple):
    """The algorithm has no point for trial ``number``: those before it are all there are."""

    number: int
    time: float


class LaunchJobs(NamedTuple):
    """Tell which jobs were started for the experiment, where they log, and what code they run.

    ``commit`` and ``digest`` (SHA-256 of all files) are of the project, None where that isn't
    known; ``snapshot`` is the folder of its frozen copy, None where the files themselves are run.
    """

    launcher: str
    job_ids: tuple[str, ...]
    folder: str
    time: float
    commit: str | None = None
    digest: str | None = None
    snapshot: str | None = None


class LeaveWorker(NamedTuple):
    """Tell of a worker that leaves what it had: the time, and what its job was given.

    ``memory`` are bytes and ``limit`` seconds that the job was asked for, None where there was no
    bound or nobody knows; ``peak`` are the bytes of memory of the worker's own process.
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
    """Take completed trials of another experiment for history.

    ``trials`` are pairs of params and results. ``source`` says where they come from; it takes
    several events, numbered by ``part`` from 0, to tell many. ``more``: this isn't the last one.
    """

    source: str
    part: int
    trials: tuple[tuple[Params, Results], ...]
    time: float
    more: bool = False


class SetStatus(NamedTuple):
    """Put trial ``number``, whose latest attempt is ``attempt``, into ``status`` by hand."""

    number: int
    attempt: int
    status: str
    time: float


class RemoveExperiment(NamedTuple):
    """Take experiment ``number`` out of the catalogue; its name and version are free again."""

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
