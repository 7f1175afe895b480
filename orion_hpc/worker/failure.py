"""The description of an attempt that failed: cause, one line, the traceback of the user's code.

Takes any exception, also one that can't be printed. What follows from it is left to the worker.
"""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from types import TracebackType

from orion_hpc.errors import OrionHpcError
from orion_hpc.model.trial_record import BROKEN, KILLED, OUT_OF_MEMORY, USER_ERROR

LONGEST_MESSAGE = 300
LONGEST_DETAIL = 8_000
"""Characters. Both go into the journal, which every worker reads."""

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class CommandFailed(OrionHpcError):
    """A trial's command ended without success.

    Parameters
    ----------
    message : str
    cause : str
        See the causes in :mod:`orion_hpc.model.trial_record`.
    output : str, default ""
        The end of what it wrote.
    """

    def __init__(self, message: str, cause: str = USER_ERROR, output: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.output = output

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.cause, self.output))


@dataclass(frozen=True, slots=True)
class Failure:
    """The fields of an ``Outcome`` of this kind."""

    cause: str
    message: str
    detail: str = ""
    status: str = BROKEN


def failure(error: BaseException, out_of_memory: bool = False) -> Failure:
    """Return the description of ``error``.

    ``out_of_memory``: whether the kernel killed processes for lack of memory during the attempt.
    """
    if isinstance(error, CommandFailed):
        return Failure(error.cause, one_line(error.message), bounded(error.output))
    if isinstance(error, OrionHpcError):
        return Failure(USER_ERROR, one_line(error.message), bounded(error.hint))
    if isinstance(error, SystemExit):
        return Failure(
            USER_ERROR,
            f"the function called sys.exit({_text(error)}) and returned no result",
            _traceback(error),
        )
    cause = USER_ERROR
    if isinstance(error, MemoryError):
        cause = OUT_OF_MEMORY
    elif any(kind.__name__ == "BrokenProcessPool" for kind in type(error).__mro__):
        # A process of the trial's inner pool died: by a fault of its own, or as the one that held
        # the most memory. Recognised by its name, so that no pool is imported for it.
        killed = out_of_memory and "SIGKILL" in _text(error)
        cause = OUT_OF_MEMORY if killed else KILLED
    text = _text(error)
    name = type(error).__qualname__
    return Failure(cause, one_line(f"{name}: {text}" if text else name), _traceback(error))


def one_line(text: str) -> str:
    """Return ``text`` on one line of bounded length."""
    line = " ".join(_writable(text).split())
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 1]}…"


def bounded(text: str) -> str:
    """Return ``text`` with its middle cut out where it is too long: both ends matter most."""
    text = _writable(text)
    if len(text) <= LONGEST_DETAIL:
        return text
    head = LONGEST_DETAIL // 4
    mark = f"\n[… {len(text) - LONGEST_DETAIL:,} characters left out …]\n"
    return text[:head] + mark + text[len(text) - LONGEST_DETAIL + head + len(mark) :]


def _writable(text: str) -> str:
    """Return ``text`` with what no file takes as an escape: half of a surrogate pair, which Python
    makes of a file's name that isn't UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def users_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins with the user's code; None if none does."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN):
        trace = trace.tb_next
    return trace


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(it can't be printed)"


def _traceback(error: BaseException) -> str:
    try:
        frames = users_frames(error.__traceback__)
        trace = traceback.TracebackException(type(error), error, frames, compact=True)
        return bounded("".join(trace.format()).strip())
    except Exception as second:  # such as no memory for a long text
        return f"(the traceback can't be printed: {type(second).__name__})"
