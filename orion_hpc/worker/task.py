"""One attempt at a trial: what is sent to the process that runs it, and what comes back.

Plain data both ways, except functions that users pass from Python. How an attempt is made is left
to ``attempt``, and when to ``loop``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from orion_hpc.model.trial_record import Params, Results, hash_of


@dataclass(frozen=True, slots=True)
class FunctionTarget:
    """A Python function that trials call.

    Attributes
    ----------
    path : str
        The directory that is searched first for the module.
    name : str
        ``module:function``.
    kwargs : dict
        Constant arguments.
    trial_arg : str or None
        The argument that takes the trial itself.
    """

    path: str
    name: str
    kwargs: dict[str, Any]
    trial_arg: str | None = None


@dataclass(frozen=True, slots=True)
class CallableTarget:
    """A Python function itself, its constant arguments bound to it.

    Attributes
    ----------
    function : callable or bytes
        Bytes where trials run in other processes: see :mod:`orion_hpc.worker.portable`.
    trial_arg : str or None
        As of :class:`FunctionTarget`.
    """

    function: Callable[..., Any] | bytes
    trial_arg: str | None = None


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """A program that trials run, in the directory ``path``; ``argv`` may hold placeholders."""

    argv: tuple[str, ...]
    path: str


Target: TypeAlias = FunctionTarget | CallableTarget | CommandTarget


@dataclass(frozen=True, slots=True)
class TrialTask:
    """An attempt to be made.

    Attributes
    ----------
    target : FunctionTarget, CallableTarget or CommandTarget
    number, id, attempt : int, str, int
        As the journal has them.
    params, flat_params : dict
        The same values, nested and by names joined with dots.
    working_dir : str
        Needn't exist yet: it is created where it is used.
    experiment, version : str, int
        The experiment's name and version.
    notice : str or None
        The file of the worker's stop notice: see :class:`orion_hpc.worker.shutdown.NoticeFile`.
    parent, parent_dir : str or None
        The id and the working directory of the trial that it continues.
    fidelity : str or None
        The flat name of the fidelity.
    submit_time, start_time, worker : float, float or None, str or None
        As the journal has them.
    """

    target: Target
    number: int
    id: str
    attempt: int
    params: dict[str, Any]
    flat_params: Params
    working_dir: str
    experiment: str
    notice: str | None = None
    parent: str | None = None
    parent_dir: str | None = None
    version: int = 1
    fidelity: str | None = None
    submit_time: float = 0.0
    start_time: float | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes
    ----------
    status : str
        ``completed``, ``broken`` or ``interrupted``.
    results : list of dict or None
        Of a completed one.
    cause : str or None
        Of any other one; see the causes in :mod:`orion_hpc.model.trial_record`.
    message : str
        One line. Of a completed one, what was left out of its results.
    detail : str
        The traceback, or the end of the command's output; bounded.
    error : bytes or None
        The pickled exception of a broken one, where it can be pickled.
    usage : (float, int) or None
        Seconds of processor time and the most bytes of memory, child processes included.
    """

    status: str
    results: Results | None = None
    cause: str | None = None
    message: str = ""
    detail: str = ""
    error: bytes | None = None
    usage: tuple[float, int] | None = None


def hash_params_of(params: Params, fidelity: str | None) -> str:
    """Return 32 hex digits that name this point without its fidelity."""
    return hash_of({name: value for name, value in params.items() if name != fidelity})
