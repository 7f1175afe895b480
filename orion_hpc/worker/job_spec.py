"""The settings of one job: plain data, written as JSON beside the jobs of a launch and read by each
of them.

Where the file lies is the launcher's to decide; what a job does by it is in ``job``.
"""

from __future__ import annotations

import dataclasses
import json
import time
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from orion_hpc.errors import ConfigurationError
from orion_hpc.worker.shutdown import GRACE, KILL_WAIT

OnSuspend: TypeAlias = Literal["auto", "keep", "release"]
"""What becomes of a worker's trials while its job is suspended.

``release``: they are handed on as soon as Slurm says so. ``keep``: never.

``auto``: they are handed on when the worker has been silent for as long as counts as lost of one
that isn't suspended (nearly four heartbeats). That is longer than the turns of gang scheduling, of
30 s by default (slurm.conf, SchedulerTimeSlice), in which little would be gained by another start.
And it isn't longer than idle workers wait for a trial, so that at the end of a search there is
still one to take it.
"""

TrialTime: TypeAlias = float | Literal["auto", "off"]
"""Seconds that a trial takes; ``auto``: as completed ones took; ``off``: trials always begin."""

MAX_REQUEUES = 100
"""By default: at a time limit of one hour, a weekend and more."""

_STEP = 0.2
"""Seconds between looks for a file that isn't there yet."""


def _flag(help: str, least: float | None = None, above: bool = False) -> dict[str, Any]:
    """Return the metadata of a setting that is a flag of ``orion-hpc worker``, too.

    ``least`` is the least number that it takes; ``above``: it has to be more than that.
    """
    return {"help": help, "least": least, "above": above}


@dataclass(frozen=True, slots=True)
class JobSpec:
    """The settings of one job; plain data.

    Attributes
    ----------
    storage : str
        Absolute path of the database.
    name, version : str, int
        The experiment.
    n_workers : int
        Trials at once.
    executor : str
        Name of the inner pool.
    heartbeat, idle_timeout : float
        Seconds.
    on_suspend : "auto", "keep" or "release"
        What becomes of its trials while this job is suspended; see :data:`OnSuspend`.
    grace : float
        Seconds that running trials have after a stop notice.
    kill_wait : float
        Seconds from SIGTERM to SIGKILL in a batch job.
    max_requeues : int
        How often this job may go back into the queue at its time limit.
    trial_time : float, "auto" or "off"
        As of :func:`~orion_hpc.worker.walltime.is_too_late`.
    cpus : int or None
        CPUs of the job; None: what the job or, outside of one, the machine offers.
    path : str or None
        Directory of the function's module or the script; None: the one that the database records.
    imports : tuple of str
        Directories to search for modules before others, ``path`` aside.
    reopens : bool
        Whether the experiment was closed when the job was submitted: the job waits until it is
        open again.
    function : str or None
        The file that holds a Python program's function (:mod:`orion_hpc.worker.portable`), instead
        of what the database says that trials run.
    trial_arg : str or None
        Of that function.
    options : mapping
        The executor's own.
    """

    storage: str = field(metadata=_flag("Path of the database."))
    name: str = field(metadata=_flag("Name of the experiment."))
    version: int = field(metadata=_flag("Version of it.  [default: the highest]", 1))
    n_workers: int = field(metadata=_flag("Trials at once.", 1))
    executor: str = field(metadata=_flag("Inner pool"))
    heartbeat: float = field(metadata=_flag("Seconds between signs of life.", 0, above=True))
    idle_timeout: float = field(metadata=_flag("Seconds without a trial after which to leave.", 0))
    on_suspend: OnSuspend = field(
        default="auto",
        metadata=_flag("Whether its trials are handed on while its job is suspended."),
    )
    grace: float = field(
        default=GRACE, metadata=_flag("Seconds for trials after a stop notice.", 0)
    )
    kill_wait: float = field(
        default=KILL_WAIT, metadata=_flag("Seconds from SIGTERM to the kill.", 0)
    )
    max_requeues: int = field(
        default=MAX_REQUEUES, metadata=_flag("Requeues at the time limit.", 0)
    )
    trial_time: TrialTime = field(
        default="auto", metadata=_flag("Seconds that a trial takes, auto or off.", 0, above=True)
    )
    cpus: int | None = field(
        default=None, metadata=_flag("CPUs to use.  [default: those of the job]", 1)
    )
    path: str | None = field(
        default=None,
        metadata=_flag("Directory of the function's module.  [default: as submitted]"),
    )
    imports: tuple[str, ...] = field(
        default=(), metadata=_flag("A directory to search for modules besides.")
    )
    reopens: bool = False
    function: str | None = None
    trial_arg: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the content of the file; :func:`read_job_spec` reads it.

        Raises
        ------
        ConfigurationError
            An option of the executor isn't plain data.
        """
        try:
            return json.dumps(dataclasses.asdict(self), indent=1) + "\n"
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the executor's options can't be written to the jobs' file: {error}",
                "They have to be plain numbers, texts, lists and mappings.",
            ) from error


def read_job_spec(path: str, wait: float = 0.0) -> JobSpec:
    """Return the settings in the file ``path``.

    Parameters
    ----------
    path : str
    wait : float, default 0
        Seconds to wait for the file: a client of a network file system may see it late.

    Raises
    ------
    ConfigurationError
        The file isn't there, can't be read, or its content isn't a job's settings.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            with open(path, encoding="utf-8") as file:
                return _parsed(path, file.read())
        except UnicodeDecodeError as error:
            raise _wrong(path, "isn't text in UTF-8") from error
        except OSError as error:
            late = time.monotonic() >= deadline
            if not isinstance(error, FileNotFoundError) or late:
                raise ConfigurationError(
                    f"can't read the job's settings {path}: {error.strerror}",
                    "'orion-hpc submit CONFIG' writes them for the jobs that it starts.",
                ) from error
        time.sleep(_STEP)


def _parsed(path: str, text: str) -> JobSpec:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"isn't JSON: {error}") from error
    if not isinstance(found, dict):
        raise _wrong(path, "isn't a mapping of settings")
    fields = {one.name: one for one in dataclasses.fields(JobSpec)}
    if missing := [name for name in fields if name not in found and name in required()]:
        raise _wrong(path, f"lacks {', '.join(missing)}")
    if unknown := [name for name in found if name not in fields]:
        raise _wrong(path, f"has the unknown {', '.join(unknown)}")
    for name, kind in kinds().items():
        # A job that was in the queue during an upgrade has the defaults of what is new.
        if name in found and not _fits(found[name], kind, fields[name].metadata):
            raise _wrong(path, f"has a wrong {name}: {found[name]!r:.100}")
    return JobSpec(**{**found, "imports": tuple(found.get("imports", ()))})


def _wrong(path: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the file of a job's settings {path} {what}",
        "Another version of orion-hpc may have written it, or it was edited. Submit again.",
    )


@cache
def required() -> frozenset[str]:
    """Return the names of the settings that have no default."""
    missing = dataclasses.MISSING
    return frozenset(
        one.name
        for one in dataclasses.fields(JobSpec)
        if one.default is missing and one.default_factory is missing
    )


@cache
def kinds() -> dict[str, Any]:
    """Return the types of the settings by their names."""
    return get_type_hints(JobSpec)


def _fits(value: object, kind: Any, limits: Mapping[str, Any]) -> bool:
    """Return whether a value that was read from JSON is of the type ``kind``."""
    outer, parts = get_origin(kind), get_args(kind)
    if outer in (Union, types.UnionType):
        return any(_fits(value, part, limits) for part in parts)
    if outer is Literal:
        return isinstance(value, str) and value in parts
    if outer is tuple:
        return isinstance(value, list) and all(_fits(one, parts[0], {}) for one in value)
    if kind in (int, float):
        numbers = int if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers):
            return False
        least = limits.get("least")
        return least is None or (value > least if limits["above"] else value >= least)
    return isinstance(value, dict if outer is not None else kind)
